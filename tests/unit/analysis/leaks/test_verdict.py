# SPDX-License-Identifier: Apache-2.0
"""The verdict on a recording, what it left out, and why a finding has its class, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.leaks import why
from slabtrace.analysis.leaks.by_design import Fate
from slabtrace.analysis.leaks.findings import CLASSES
from slabtrace.analysis.leaks.verdict import limits, verdict
from slabtrace.analysis.names.known_objects import KINDS
from slabtrace.render.terminal.text import wrap
from slabtrace.trace.manifest import Inspection, Manifest, Totals

S = 1_000_000_000


def findings(*rows: tuple[str, float, bool], held: str = "") -> pd.DataFrame:
    """(class, growth in bytes a second, slabtrace's own); who holds the objects of all."""
    made = pd.DataFrame(list(rows), columns=["class", "growth_bytes_per_s", "own"])
    return made.assign(held=held, cache="", freed_by=[[]] * len(rows), freed=0, old=0)


def ages(seconds: int) -> Ages:
    return Ages(1, 0, seconds * S)


def sampled(one_in: int = 1, **options: Any) -> Manifest:
    made = Manifest(status="complete", options=options)
    if one_in > 1:
        made.options["sample"] = one_in
    return made


def test_the_example() -> None:
    made = verdict(findings(), 100, ages(60), sampled())
    assert " ".join(made.sentences) == (
        "No leak found. A leak of one object every 2.45 s would have been found with 95 % certainty, if "
        "others of its kind die young; record 9 min 00 s longer to find one every 24.5 s."
    )
    assert made.least_rate_per_s == pytest.approx(1 / 2.45, rel=0.01)
    assert made.longer_ns == 540 * S


def test_suspects_and_what_grows_are_counted_without_slabtrace_itself() -> None:
    rows = [("suspect", 100.0, False), ("suspect", 924.0, False), ("suspect", 5000.0, True)]
    made = verdict(findings(*rows, ("growing", 7.0, False), ("retained", 0.0, False)), 9, ages(60), sampled())
    assert (made.suspects, made.growing, made.growth_bytes_per_s) == (2, 1, 1024.0)
    assert made.sentences[0] == "2 suspected leaks, 60.0 KiB/min in all; 1 finding growing, undecided."


@pytest.mark.parametrize(
    ("held", "words", "numbers"),
    [
        ("lost", "Nothing points at the objects of 2 findings: they are lost.", (2, 0)),
        ("process", "Processes hold the objects of 1 suspect: a leak of user space.", (0, 1)),
        ("kernel", "", (0, 0)),
    ],
)
def test_who_holds_what_grows_is_said(held: str, words: str, numbers: tuple[int, int]) -> None:
    rows = [("suspect", 100.0, False), ("retained", 0.0, False), ("suspect", 5000.0, True)]
    made = verdict(findings(*rows, held=held), 9, ages(60), sampled())
    assert (made.lost, made.held_by_processes) == numbers
    assert made.sentences[1:-1] == ([words] if words else [])


@pytest.mark.parametrize(
    ("class_", "lost", "words"),
    [
        ("retained", 1, "1 finding lost: nothing points at the objects, so nobody can free them."),
        ("young", 0, "No leak found."),  # somebody may be about to store the pointer
    ],
)
def test_what_is_lost_is_a_leak_whether_or_not_it_grows(class_: str, lost: int, words: str) -> None:
    made = verdict(findings((class_, 0.0, False), held="lost"), 9, ages(60), sampled())
    assert (made.suspects, made.lost, made.sentences[0]) == (0, lost, words)


@pytest.mark.parametrize(
    ("class_", "unseen", "old", "said"),
    [("retained", 9, 9, True), ("growing", 9, 9, True), ("suspect", 9, 9, False),
     ("retained", 4, 9, False), ("young", 9, 0, False), ("retained", 7, 9, False)],
)  # fmt: skip
def test_where_frees_are_not_seen_a_leak_must_be_faster(
    class_: str, unseen: int, old: int, said: bool
) -> None:
    rows = [findings((class_, 0.0, False)).assign(cache=cache, freed=10, old=old) for cache in "dabca"]
    places = [{"how": "inferred", "objects": unseen}, {"how": "seen", "objects": 10 - unseen}]
    frame = pd.concat([row.assign(freed_by=[places]) for row in rows])
    words = "Most frees of objects of d, a, b, … were not seen: of these only a faster leak would be found."
    assert verdict(frame, 9, ages(60), sampled()).limits == ([words] if said else [])


@pytest.mark.parametrize(
    ("class_", "objects", "problem", "words"),
    [
        ("suspect", 0, "locked down", "Who holds the objects is not known: locked down."),
        ("growing", 7, "no time", "Who holds the objects may be known of some only: no time."),
        ("suspect", 7, "", ""),
        ("retained", 0, "locked down", ""),
    ],
)
def test_why_it_is_not_known_who_holds_the_objects(
    class_: str, objects: int, problem: str, words: str
) -> None:
    manifest = sampled()
    manifest.inspection = Inspection(objects, problem=problem)
    found = verdict(findings((class_, 1.0, False)), 9, ages(60), manifest)
    assert found.limits == ([words] if words else [])


def test_a_recording_too_short_to_find_any_leak() -> None:
    made = verdict(findings(), 9, ages(2), sampled())
    assert made.least_rate_per_s is None and made.longer_ns is None
    assert made.sentences[1] == "2 s are too short to find a leak: record for a minute or more."


def test_a_longer_recording_finds_slower_leaks() -> None:
    rates = [verdict(findings(), 9, ages(seconds), sampled()).least_rate_per_s for seconds in (10, 60, 600)]
    assert None not in rates and rates == sorted(rates, reverse=True)


def test_of_a_sample_the_rate_is_that_of_all_objects() -> None:
    whole, sample = (verdict(findings(), 9, ages(60), sampled(one_in)).least_rate_per_s for one_in in (1, 16))
    assert whole is not None and sample == pytest.approx(16 * whole)


def test_what_was_lost_could_not_have_been_found() -> None:
    """Of four events three were lost, so of four leaked objects as well."""
    lossy = sampled()
    lossy.totals = Totals(events=1000, dropped=3000)
    made, whole = (verdict(findings(), 9, ages(60), each) for each in (lossy, sampled()))
    assert made.least_rate_per_s == pytest.approx(4 * whole.least_rate_per_s)
    assert made.sentences[-1] == "75.0% of all events were lost: what was allocated in these was not seen."
    lossy.totals = Totals(events=100, counted=500, dropped=5)
    assert limits(lossy) == []
    lossy.totals = Totals(dropped=5)
    assert verdict(findings(), 9, ages(60), lossy).least_rate_per_s > 1e6


def test_what_was_left_out_on_request_is_named() -> None:
    assert limits(sampled()) == []
    (sentence,) = limits(sampled(pid=[7, 9], comm=[], cache=["kmalloc-64"], min_size=0, max_size=None))
    assert sentence == (
        "Recorded with --cache kmalloc-64 --pid 7 --pid 9: other objects were not looked for."
    )
    assert "bytes" not in sentence and "named" not in sentence


def row(**fields: Any) -> dict[str, Any]:
    """A leak of one object of 64 bytes a second, for a minute."""
    return {
        "class": "suspect",
        "known": "",
        "doubt": "",
        "remedy": "",
        "old": 60,
        "old_freed": 0,
        "older_freed": 0.0,
        "rate_since_ns": 0,
        "horizon_ns": 4.29 * S,
        "rate_per_s": 1.0,
        "growth_bytes_per_s": 64.0,
        "growth_low": 48.0,
        "growth_high": 83.0,
        "sibling_ns": 2e6,
        "longer_ns": float("nan"),
        "of_task": False,
        "bursts": False,
        "ended": False,
    } | fields


def test_the_example_of_why() -> None:
    assert why.why(row()) == (
        "one more every 1 s, 3.8 KiB/min (2.8 KiB to 4.9 KiB); "
        "0 of 60 objects older than 4.29 s were freed; freed objects of this stack lived 2 ms (median)"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rate_since_ns": 32 * S}, "faster at first; from 32 s on one more every 1 s, 3.8 KiB/min"),
        ({"older_freed": 3.0}, "were freed, and 3 from before the recording"),
        ({"old": 1, "old_freed": 0}, "0 of 1 object older than 4.29 s was freed"),
        ({"of_task": True, "old_freed": 86}, "60 stay that are older than 4.29 s; of all tasks, 86"),
        ({"of_task": True}, "0 of 60 objects older than 4.29 s were freed"),
        ({"class": "replacing", "older_freed": 58.0}, "60 stay that are older than 4.29 s, and 58"),
        ({"class": "retained", "bursts": True}, "they came in a few bursts"),
        ({"class": "retained", "ended": True}, "they no longer come"),
        ({"class": "young"}, "too few to decide"),
        ({"class": "young", "old": 0}, "no object is old enough to judge"),
        ({"class": "reclaimable"}, "the kernel frees them when memory is short"),
        ({"class": "retained", "known": "kept by design"}, "kept by design"),
        ({"class": "growing", "doubt": "this speaks against it"}, "this speaks against it"),
    ],
)  # fmt: skip
def test_why(fields: dict[str, Any], words: str) -> None:
    assert words in why.why(row(**fields))


def test_why_does_not_say_how_objects_came_that_slabtrace_holds_all_along() -> None:
    said = why.why(row(**{"class": "retained"}))
    assert "no longer" not in said and "bursts" not in said


SOCKET = {"object": "UNIX socket", "module": "", "own": False}
LONGER = {"longer_ns": 180e9}
SETTLE = {"remedy": "record with --settle"}
AGAIN = "if these should be gone, record while it happens again"
FREES = "nothing: the kernel frees these when memory is short"
BUFFER = {"object": "socket buffer", "module": "my_driver"}
KMEMLEAK = "; a kernel with kmemleak lists those that nothing refers to"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, f"find who holds these objects, or which release is not called for them{KMEMLEAK}"),
        (SOCKET, "find who holds the UNIX sockets: `ss -xap`"),
        (SOCKET | {"module": "unix"}, "find who holds the UNIX sockets: `ss -xap`"),
        (BUFFER, f"find the release that the module my_driver does not call for these objects{KMEMLEAK}"),
        ({"module": "my_driver"}, "find the release that the module my_driver does not call"),
        ({"object": "UNIX socket, other"}, "find who holds these objects"),
        ({"object": "UNIX socket, mount"}, "find who holds the UNIX sockets: `ss -xap`"),
        ({"object": "order 2: file lock"}, "find who holds the file locks: `lslocks`"),
        (LONGER | {"class": "growing"}, "record 3 min 00 s longer to decide"),
        (SOCKET | LONGER | {"class": "growing"}, "record 3 min 00 s longer to decide; who holds"),
        ({"class": "growing", **SETTLE, **LONGER}, "record with --settle"),
        ({"class": "young", **SETTLE, **LONGER}, "record 3 min 00 s longer"),
        ({"class": "young", **SETTLE}, "record with --settle"),
        ({"class": "young", "old": 0}, "record twice as long"),
        ({"class": "young"}, "nothing, if so many are expected"),
        ({"class": "retained", **SETTLE}, AGAIN),
        (SOCKET | {"class": "retained"}, "if these should be gone, see who holds them: `ss -xap`"),
        ({"class": "retained", "known": "kept", "fate": Fate.KEPT}, "nothing: these are kept by design"),
        ({"class": "young", "fate": Fate.KEPT} | LONGER, "nothing: these are kept by design"),
        ({"class": "retained", "known": "of a process", "fate": Fate.PROCESS}, why.OF_PROCESS),
        ({"class": "young", "fate": Fate.PROCESS} | SETTLE, why.OF_PROCESS),
        ({"class": "growing", "fate": Fate.PROCESS} | SETTLE, "record with --settle"),
        ({"class": "retained", "known": "60 s", "fate": Fate.TIMED}, "nothing: the kernel frees these after"),
        ({"class": "replacing"}, "nothing, if so many are expected"),
        ({"class": "replacing", **SETTLE}, "nothing, if so many are expected"),
        ({"class": "reclaimable"}, f"{FREES}; `record --settle` leaves"),
        ({"class": "reclaimable", "known": "belongs to the page cache"}, FREES),
        ({"class": "retained", "own": True}, "nothing: this is slabtrace's own"),
        ({"class": "young", "own": True, "longer_ns": 1e9}, "nothing: this is slabtrace's own"),
    ],
)  # fmt: skip
def test_what_next(fields: dict[str, Any], words: str) -> None:
    assert why.what_next(row(**fields)).startswith(words)


def test_what_does_not_help_is_not_advised() -> None:
    page_cache = why.what_next(row(**{"class": "reclaimable", "known": "belongs to the page cache"}))
    assert "--settle" not in page_cache  # it does not drop the page cache
    assert "record" not in why.what_next(row(**{"class": "replacing", "longer_ns": 180e9}))


@pytest.mark.parametrize("class_", CLASSES)
def test_every_class_says_what_to_do_about_every_kind_of_object(class_: str) -> None:
    for held in ["", *(kind.name for kind in KINDS)]:
        for longer_ns in (float("nan"), 3600e9):
            fields = {"class": class_, "object": held, "module": "", "longer_ns": longer_ns}
            said = why.what_next(row(**fields))
            assert said and "\n" not in said and not said.endswith(".")
            assert len(wrap(f"  next: {said}", 80)) <= 2, said


def test_a_lost_suspect_has_no_holder_to_look_for() -> None:
    lost = row(held="lost", inspected=50, lost=49, held_by=[], module="nf_tables", object="dentry")
    assert "; lost: nothing points at 49 of 50 that were inspected; 0 of 60 objects" in why.why(lost)
    assert why.what_next(lost) == (
        "look in the module nf_tables for a path that forgets the pointer without freeing, "
        "as an error path may"
    )


def test_what_a_process_holds_is_its_leak() -> None:
    held = row(held="process", inspected=50, lost=0, held_by=["nginx (pid 812)"], module="", object="")
    assert "held by nginx (pid 812): a leak of user space, freed when the process lets go" in why.why(held)
    assert "; held by nginx (pid 812); 0 of 60" in f"; {why.why(held | {'class': 'retained'})}"
    assert why.what_next(held) == (
        "find out why nginx (pid 812) keeps these: `ls -l /proc/812/fd`, and its fdinfo"
    )
