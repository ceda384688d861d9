# SPDX-License-Identifier: Apache-2.0
"""What a part of a series ends and begins with."""

from __future__ import annotations

from slabtrace.series.last_known import LastKnown


def test_a_part_begins_and_ends_with_all_counters_of_memory() -> None:
    last = LastKnown(is_there=lambda tid: True)
    last.take("memory", {"ts_ns": [1, 1, 3], "counter": ["a", "b", "a"], "value": [10, 20, 11]}, None)
    last.take("memory", {"ts_ns": [8, 12], "counter": ["a", "b"], "value": [12, 21]}, 9)
    assert dict(last.at_end(9))["memory"] == {"ts_ns": [9, 9], "counter": ["a", "b"], "value": [12, 20]}
    begin = dict(last.at_begin(9))["memory"]
    assert begin == {"ts_ns": [9, 9, 12], "counter": ["a", "b", "b"], "value": [12, 20, 21]}
    assert dict(last.at_end(15))["memory"]["value"] == [12, 21]
