# SPDX-License-Identifier: Apache-2.0
"""Who a process was at a time: its command, parent, namespaces and cgroups, and what people call these."""
