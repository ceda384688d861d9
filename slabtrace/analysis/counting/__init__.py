# SPDX-License-Identifier: Apache-2.0
"""Counts made by one pass over the events: by site, cache, age and time."""
