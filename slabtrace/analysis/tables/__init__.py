# SPDX-License-Identifier: Apache-2.0
"""Tables that commands show as they are: caches, totals, lifetimes, outstanding objects."""
