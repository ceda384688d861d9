# SPDX-License-Identifier: Apache-2.0
"""All scenarios.  Every second name of the sorted list is kept aside: no threshold may be chosen by it."""

from __future__ import annotations

from tests.verdict import flat, leaks

ALL = tuple(sorted((*leaks.LEAKS, *flat.FLAT), key=lambda each: each.name))
NAMED = {each.name: each for each in ALL}
ASIDE = frozenset(each.name for each in ALL[1::2])
