# SPDX-License-Identifier: Apache-2.0
"""Text for terminals: one module a table, one function that escapes."""
