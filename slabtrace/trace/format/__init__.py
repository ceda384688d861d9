# SPDX-License-Identifier: Apache-2.0
"""The columns of a trace, and their types in memory."""
