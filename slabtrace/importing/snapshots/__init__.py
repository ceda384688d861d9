# SPDX-License-Identifier: Apache-2.0
"""Counts that a kernel printed at some moments: slabinfo, allocinfo, alloc_traces, kmemleak."""
