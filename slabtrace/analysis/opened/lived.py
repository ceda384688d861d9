# SPDX-License-Identifier: Apache-2.0
"""How long the objects of an opened trace lived, in groups: one pass over its events."""

from __future__ import annotations

import pandas as pd

from slabtrace.analysis.grouping.groups import group_sites, modules
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.tables.lifetime_table import Lived, Temporaries, lifetime_table


def lived(recorded: Recorded, passes: Passes, by: str) -> pd.DataFrame:
    """Columns as columns.LIFETIMES; `by`: "stack", "call_site", "module" or "cache"."""
    lookup = recorded.lookup
    temporaries, ages = Temporaries(len(recorded.sites)), passes.new_ages()
    objects = passes.run([temporaries, ages]).objects
    module = modules(recorded.sites, lookup.stacks, lookup.symbols)
    groups = group_sites(recorded.sites, recorded.caches, by, module)
    counted = Lived(recorded.sites, recorded.caches, objects, ages.lived)
    return lifetime_table(counted, temporaries.objects, lookup, groups)
