# SPDX-License-Identifier: Apache-2.0
"""The kernel's counters of memory in /proc and /sys: their texts as numbers, and a thread that reads them."""
