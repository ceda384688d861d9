# SPDX-License-Identifier: Apache-2.0
"""Commands that make of a trace what others can read: one file, a redacted copy, formats of other tools."""
