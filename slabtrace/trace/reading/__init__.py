# SPDX-License-Identifier: Apache-2.0
"""Reading a trace, or a window of it."""
