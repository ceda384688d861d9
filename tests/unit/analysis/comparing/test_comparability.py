# SPDX-License-Identifier: Apache-2.0
"""Which recordings are refused, and what is said about those that are compared."""

from __future__ import annotations

from typing import Any

import pytest

from slabtrace.analysis.comparing.comparability import notes, refuse_unlike, unlike_lengths
from slabtrace.errors import UsageError
from slabtrace.trace.manifest import Manifest

SECOND = 10**9
NO_FILTER = {
    "cache": [],
    "min_size": None,
    "max_size": None,
    "pid": None,
    "comm": None,
    "cgroup": None,
    "stacks": "auto",
}


def recorded(**options: Any) -> Manifest:
    return Manifest(options=NO_FILTER | options)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({"comm": "nginx*"}, {}, "with --comm nginx*, the newer recording without --comm"),
        ({}, {"comm": "nginx"}, "without --comm"),
        ({"comm": "a"}, {"comm": "b"}, "with --comm a, the newer recording with --comm b"),
        ({"cgroup": "/a/*"}, {}, "with --cgroup /a/*, the newer recording without --cgroup"),
        ({"min_size": 1024}, {}, "--min-size 1.0 KiB"),
        ({"max_size": 64}, {"max_size": 128}, "--max-size 64 B"),
        ({"pid": 7}, {}, "--pid 7"),
        ({"cache": ["dentry"]}, {}, "--cache dentry"),
        ({"cache": ["dentry"]}, {"cache": ["filp", "dentry"]}, "dentry, filp"),
    ],
)
def test_different_filters_are_refused(old: dict[str, Any], new: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        refuse_unlike(recorded(**old), recorded(**new), "stack", ())
    assert message in refused.value.message
    assert "record both with the same filters" in refused.value.remedy


def test_caches_that_both_have_can_be_compared_and_the_remedy_names_them() -> None:
    old, new = recorded(cache=["kmalloc-*", "dentry"]), recorded(cache=["kmalloc-*"])
    with pytest.raises(UsageError, match="--cache 'kmalloc-\\*'"):
        refuse_unlike(old, new, "stack", ())
    refuse_unlike(old, new, "stack", ["kmalloc-*"])
    refuse_unlike(recorded(), new, "stack", ["kmalloc-*"])
    with pytest.raises(UsageError):
        refuse_unlike(old, new, "stack", ["dentry"])
    with pytest.raises(UsageError):
        refuse_unlike(old, new, "stack", ["kmalloc-*", "dentry"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"cache": ["a", "b"]}, {"cache": ["b", "a"]}),
        ({"min_size": 0}, {}),
        ({"pid": 7}, {"pid": 8}),  # a service has another pid each time
        ({"sample": 16}, {}),
        ({"mode": "survivors"}, {"mode": "events"}),
        ({"settle": True}, {}),
    ],
)
def test_recordings_of_the_same_objects_are_not_refused(old: dict[str, Any], new: dict[str, Any]) -> None:
    refuse_unlike(recorded(**old), recorded(**new), "stack", ())


def test_options_of_an_older_format_may_be_missing() -> None:
    refuse_unlike(Manifest(options={}), recorded(), "stack", ())


def test_a_recording_without_stacks_has_only_call_sites_to_compare() -> None:
    without = recorded(stacks="none")
    with pytest.raises(UsageError, match="the newer recording has no stacks") as refused:
        refuse_unlike(recorded(), without, "stack", ())
    assert "--by call-site" in refused.value.remedy
    with pytest.raises(UsageError, match="the older recording has no stacks"):
        refuse_unlike(without, recorded(), "stack", ())
    refuse_unlike(without, recorded(), "call_site", ())
    refuse_unlike(without, without, "stack", ())


@pytest.mark.parametrize(
    ("old", "new", "seconds", "note"),
    [
        ({}, {}, (60, 10), "lasted 1 min 00 s and 10 s"),
        ({}, {}, (0, 10), "lasted 0 ns and 10 s"),
        ({"sample": 16}, {}, (10, 10), "one object in 16 and all objects were recorded"),
        ({}, {"mode": "survivors"}, (10, 10), "the newer recording was recorded with --mode survivors"),
        ({"settle": True}, {}, (10, 10), "only the older recording was recorded with --settle"),
        ({"pid": 7}, {"pid": 8}, (10, 10), "different processes were recorded: 7 and 8"),
    ],
)
def test_differences_that_matter_are_reported(
    old: dict[str, Any], new: dict[str, Any], seconds: tuple[int, int], note: str
) -> None:
    (found,) = notes(recorded(**old), recorded(**new), *(each * SECOND for each in seconds))
    assert note in found


def test_like_recordings_need_no_note() -> None:
    assert notes(recorded(sample=16), recorded(sample=16), 60 * SECOND, 55 * SECOND) == []


def test_lengths_are_unlike_beyond_a_quarter() -> None:
    assert not unlike_lengths(100, 125) and unlike_lengths(100, 126) and unlike_lengths(126, 100)
    assert unlike_lengths(0, 1) and not unlike_lengths(0, 0)
