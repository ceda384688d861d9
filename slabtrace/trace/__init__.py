# SPDX-License-Identifier: Apache-2.0
"""The trace on disk: its format, its writer and its reader."""
