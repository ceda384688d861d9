# SPDX-License-Identifier: Apache-2.0
"""Two recordings compared: what can be compared, group by group, and which differences chance explains."""
