# SPDX-License-Identifier: Apache-2.0
"""What the numbers in a trace mean: sites, symbols, caches, tasks, gfp flags, times of marks."""
