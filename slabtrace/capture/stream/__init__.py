# SPDX-License-Identifier: Apache-2.0
"""From the rings to columns: draining, sites, order, task names and stacks."""
