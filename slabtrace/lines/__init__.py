# SPDX-License-Identifier: Apache-2.0
"""Source lines of kernel addresses: debug info found by build id, read by an installed symbolizer."""
