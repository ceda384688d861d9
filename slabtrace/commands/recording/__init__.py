# SPDX-License-Identifier: Apache-2.0
"""The commands that need a kernel to trace."""
