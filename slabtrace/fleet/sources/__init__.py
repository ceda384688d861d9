# SPDX-License-Identifier: Apache-2.0
"""Where traces and digests come from: folders, packed files, object stores."""
