# SPDX-License-Identifier: Apache-2.0
"""Reading the slab allocator's own memory: caches, slabs, free objects."""
