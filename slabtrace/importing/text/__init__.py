# SPDX-License-Identifier: Apache-2.0
"""Text of ftrace and its kin, read many lines at once."""
