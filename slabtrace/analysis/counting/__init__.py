# SPDX-License-Identifier: Apache-2.0
"""What one pass over the events counts, by site, cache, age and time."""
