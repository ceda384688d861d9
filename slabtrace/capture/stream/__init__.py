# SPDX-License-Identifier: Apache-2.0
"""From the rings to columns: drained, interned, ordered, with names and stacks."""
