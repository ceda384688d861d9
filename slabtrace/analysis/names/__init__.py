# SPDX-License-Identifier: Apache-2.0
"""What the numbers in a trace are called: sites, symbols, caches, tasks, gfp flags, moments."""
