# SPDX-License-Identifier: Apache-2.0
"""All memory of a machine by the kernel's own counters: its parts over time, what grew, the words for it."""
