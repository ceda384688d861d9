# SPDX-License-Identifier: Apache-2.0
"""The BPF programs: compile, patch, load and attach them, and find the numbers that they need."""
