# SPDX-License-Identifier: Apache-2.0
"""Where the siblings of what stays were freed: whole traces of 64 s, and a series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.trace.format.schema import STACK_NOT_TAKEN
from tests.unit.analysis.leaks.test_leak_classes import MS, STEADY, S, cache, churn, judged, kept, only
from tests.unit.synthetic import Event, alloc, free

RECEIVED, EXPUNGED = 0x300, 0x310  # call sites of frees
CALL_SITE, STACK = 0x100, 1
NAMES = {CALL_SITE: "load_msg", RECEIVED: "free_msg", EXPUNGED: "expunge_all", 0x10: "do_msgrcv"}
SYMBOLS = [
    {"address": at, "name": name, "offset": 1, "module": "", "since_ns": 0} for at, name in NAMES.items()
]
STACKS = [{"stack_id": each, "frames": [CALL_SITE, 0x10 + each]} for each in (STACK, 2)]
NOTHING: list[Event] = []


def passing(begin_s: float, end_s: float, freed_at: int, ptr: int, **fields: Any) -> list[Event]:
    """Twenty objects a second that live 2 ms."""
    events = []
    for number in range(int(20 * begin_s), int(20 * end_s)):
        at = number * S // 20 + 77 + ptr % 1000
        events += [
            alloc(at, ptr, **{"stack_id": STACK, **fields}),
            free(at + 2 * MS, ptr, call_site=freed_at),
        ]
    return events


def leaking(begin_s: int = 0, **fields: Any) -> list[Event]:
    return kept([t for t in STEADY if t >= begin_s], **{"stack_id": STACK, **fields})


def freed_by(row: dict[Any, Any]) -> list[tuple[Any, ...]]:
    return [(each["symbol"], each["objects"], each["stopped"]) for each in row["freed_by"]]


def made(tmp_path: Path, *parts: list[Event], **more: Any) -> Any:
    return judged(tmp_path, *parts, symbols=SYMBOLS, stacks=STACKS, **more)


def test_a_leak_beside_freed_siblings(tmp_path: Path) -> None:
    group = only(
        made(tmp_path, leaking(), passing(0, 60, RECEIVED, 0x9000), passing(10, 14, EXPUNGED, 0x9040))
    )
    assert (group["class"], group["freed"]) == ("suspect", 1280)
    assert freed_by(group) == [("free_msg+0x1", 1200, False), ("expunge_all+0x1", 80, False)]
    assert [round(each["share"], 3) for each in group["freed_by"]] == [0.938, 0.062]
    assert group["freed_by"][0]["last_ns"] == pytest.approx(60 * S, abs=S // 10)
    assert group["others_freed_by"] == []


def test_a_release_path_that_stopped_while_siblings_still_come(tmp_path: Path) -> None:
    """From 24 s on the objects that one place had freed stay; another place goes on."""
    first, other = passing(0, 24, RECEIVED, 0x9000), passing(0, 64, EXPUNGED, 0x9040)
    group = only(made(tmp_path, first, other, leaking(24)))
    assert freed_by(group) == [("expunge_all+0x1", 1280, False), ("free_msg+0x1", 480, True)]
    assert group["freed_by"][1]["last_ns"] == pytest.approx(24 * S, abs=S // 10)


def test_a_path_of_a_sample_that_stopped(tmp_path: Path) -> None:
    """One call site frees all; one stack in five is known."""
    parts = []
    for ptr, end_s, stack in ((0x9000, 24, 3), (0x9040, 64, 4)):
        events = passing(0, end_s, RECEIVED, ptr)
        frees = [each for each in events if each.is_free]
        known = {each.ts for each in frees[::5]}
        parts.append(
            [
                replace(each, stack_id=stack if each.ts in known else STACK_NOT_TAKEN)
                if each.is_free
                else each
                for each in events
            ]
        )
    stacks = [
        *STACKS,
        *({"stack_id": each, "frames": [RECEIVED, at]} for each, at in ((3, 0x10), (4, 0x500))),
    ]
    group = only(judged(tmp_path, *parts, leaking(24), symbols=SYMBOLS, stacks=stacks))
    (entry,) = group["freed_by"]
    assert (entry["objects"], entry["stack_of"], entry["stopped"]) == (1760, 352, False)
    assert [(each["objects"], each["stopped"]) for each in entry["paths"]] == [(256, False), (96, True)]


def test_where_all_siblings_stopped_the_leak_itself_shows_that_they_come(tmp_path: Path) -> None:
    group = only(made(tmp_path, passing(0, 24, RECEIVED, 0x9000), leaking(24)))
    assert freed_by(group) == [("free_msg+0x1", 480, False)]  # 80 came since, 480 before: too few
    more = kept([24 + t / 20 for t in range(790)], 0x80_0000, stack_id=STACK)
    (tmp_path / "more").mkdir()
    group = only(made(tmp_path / "more", passing(0, 24, RECEIVED, 0x9000), more))
    assert freed_by(group) == [("free_msg+0x1", 480, True)]


def test_groups_of_several_stacks_have_no_place_that_stopped(tmp_path: Path) -> None:
    """The place freed the objects of one stack, which no longer come."""
    first, other = passing(0, 24, RECEIVED, 0x9000), passing(0, 64, EXPUNGED, 0x9040, stack_id=2)
    mixed = kept([t + 0.2 for t in STEADY], 0x80_0000, stack_id=2)
    parts = first, other, leaking(), mixed
    made(tmp_path, *parts)
    trace = slabtrace.open(tmp_path / "t.slab")
    assert not any(stopped for *_, stopped in freed_by(only(trace.leaks(by="call_site"))))


def test_what_was_never_freed_has_the_places_of_its_call_site(tmp_path: Path) -> None:
    group = made(tmp_path, leaking(), passing(0, 60, RECEIVED, 0x9000, stack_id=2)).to_dict("records")[0]
    assert group["freed_by"] == []
    (other,) = group["others_freed_by"]
    assert (other["symbol"], other["objects"], other["of"]) == ("free_msg+0x1", 1200, "call site")


@pytest.mark.parametrize(
    ("name", "aliases", "found"), [("msg_queue", [], True), ("kmalloc-64", [], False), ("a", ["b"], False)]
)
def test_or_of_its_cache_if_that_is_for_one_kind(
    tmp_path: Path, name: str, aliases: list[str], found: bool
) -> None:
    caches = [cache(name, 0xC0, False) | {"aliases": aliases}]
    parts = leaking(), passing(0, 60, RECEIVED, 0x9000, call_site=0x500, stack_id=-1)
    others = made(tmp_path, *parts, caches=caches).to_dict("records")[0]["others_freed_by"]
    assert [(each["objects"], each["of"]) for each in others] == ([(1200, "cache")] if found else [])


def test_frees_that_were_missed_have_no_place(tmp_path: Path) -> None:
    """Each address is allocated again 30 times: what was freed once may be another object."""
    again = [alloc(n * S, 0x9000, stack_id=STACK) for n in range(1, 32)]
    group = only(made(tmp_path, leaking(), again, [free(40 * S, 0x9000, call_site=RECEIVED)]))
    seen, inferred = group["freed_by"]
    assert (seen["how"], seen["objects"], seen["certain"]) == ("seen", 1, False)
    assert (inferred["how"], inferred["objects"], inferred["call_site"]) == ("inferred", 30, 0)
    assert seen["share"] + inferred["share"] == 1


def test_what_others_allocated_is_not_counted_where_a_task_is_asked_for(tmp_path: Path) -> None:
    mine, other = passing(0, 30, RECEIVED, 0x9000), passing(0, 60, EXPUNGED, 0x9040, tid=9)
    made(tmp_path, leaking(), mine, other)
    trace = slabtrace.open(tmp_path / "t.slab")
    assert freed_by(only(trace.leaks(pid=[70]))) == [("free_msg+0x1", 600, False)]
    by_process = trace.leaks(by="process").to_dict("records")
    assert [freed_by(each) for each in by_process] == [[("free_msg+0x1", 600, False)]]


def test_in_a_stretch_only_what_was_allocated_there_counts(tmp_path: Path) -> None:
    made(tmp_path, leaking(), passing(0, 60, RECEIVED, 0x9000))
    trace = slabtrace.open(tmp_path / "t.slab")
    group = only(trace.leaks(between=(10 * S, 20 * S)))
    assert freed_by(group) == [("free_msg+0x1", 200, False)]


def test_churn_of_a_cache_without_outstanding_objects_is_no_row(tmp_path: Path) -> None:
    assert made(tmp_path, churn(), NOTHING).empty
