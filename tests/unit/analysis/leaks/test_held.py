# SPDX-License-Identifier: Apache-2.0
"""What the inspection adds to findings: the lost come first; what processes hold, and what is only cached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.analysis.holders.inspected import never_lost
from slabtrace.commands.main import run
from slabtrace.trace.format.schema import Held
from slabtrace.trace.manifest import Inspection, Manifest
from tests.unit.analysis.leaks.test_leak_classes import CACHES, SECONDS, SYMBOLS, S, churn, kept
from tests.unit.synthetic import START, Event, write_trace

NGINX = ["in the receive queue of sock UNIX", "fd 5 of nginx (pid 812)"]
FIRST, SECOND = 0x20_0000, 0x30_0000
DENTRY = 0xC1  # a cache that the kernel can shrink


def row(ptr: int, held: Held, **more: Any) -> dict[str, Any]:
    given = {"in_use": True, "kind": "", "description": "", "references": -1, "holder": 0}
    holders = NGINX if held == Held.PROCESS else ["sock, +0x8 points at it"] if held > Held.NOTHING else []
    return {"ts_ns": START + 63 * S, "ptr": ptr, **given, "held": int(held), "holders": holders, **more}


def leaking(base: int, **fields: Any) -> list[Event]:
    """One object a second."""
    return kept([t + 0.5 for t in range(SECONDS - 2)], base, **fields)


def traced(
    folder: Path, events: list[Event], rows: list[dict[str, Any]], whole: bool = True, **more: Any
) -> Path:
    account = Inspection(len(rows), 1.0, 0.5, {"slab": 200 << 20}, whole)
    manifest = Manifest(status="complete", inspection=account, options={})
    tables = {"symbols": SYMBOLS, "caches": CACHES, "objects": rows, **more}
    place = folder / f"{len([*folder.iterdir()])}.slab"
    return write_trace(
        place,
        sorted(events, key=lambda event: event.ts),
        tables,
        manifest=manifest,
        seconds=SECONDS,
    )


def findings(path: Path) -> list[dict[Any, Any]]:
    found: list[dict[Any, Any]] = slabtrace.open(path).findings().to_dict("records")
    return found


def test_a_lost_suspect_is_first_though_another_grows_faster(tmp_path: Path) -> None:
    faster = kept([t / 2 + 0.25 for t in range(2 * SECONDS)], FIRST, call_site=0x100)
    events = [*faster, *leaking(SECOND, call_site=0x120), *churn()]
    rows = [row(FIRST + 64 * i, Held.PROCESS) for i in range(30)]
    rows += [row(SECOND + 64 * i, Held.NOTHING) for i in range(30)]
    first, second = (each for each in findings(traced(tmp_path, events, rows)) if each["class"] == "suspect")
    assert (first["held"], first["lost"], first["inspected"]) == ("lost", 30, 30)
    assert (second["held"], list(second["held_by"])) == ("process", ["nginx (pid 812)"])
    assert first["growth_low"] < second["growth_low"]


@pytest.mark.parametrize(("lost", "others", "held"), [(27, 3, "lost"), (26, 4, "mixed"), (0, 30, "kernel")])
def test_a_finding_is_what_nine_of_ten_are(tmp_path: Path, lost: int, others: int, held: str) -> None:
    rows = [row(FIRST + 64 * i, Held.NOTHING if i < lost else Held.POINTER) for i in range(lost + others)]
    (found,) = findings(traced(tmp_path, leaking(FIRST), rows))
    assert (found["held"], found["lost"], found["inspected"]) == (held, lost, lost + others)


def test_nothing_is_lost_where_not_all_was_searched_or_it_could_not_be_read(tmp_path: Path) -> None:
    rows = [row(FIRST + 64 * i, Held.NOTHING) for i in range(30)]
    (found,) = findings(traced(tmp_path, leaking(FIRST), rows, whole=False))
    assert (found["held"], found["lost"]) == ("unknown", 0)
    rows = [row(FIRST + 64 * i, Held.UNREAD) for i in range(30)]
    (found,) = findings(traced(tmp_path, leaking(FIRST), rows))
    assert (found["held"], found["lost"]) == ("unknown", 0)


def test_what_may_wait_to_be_freed_is_not_lost(tmp_path: Path) -> None:
    """Frees of siblings were not seen, as those by kfree_rcu: for a while nothing points at what it freed."""
    again = [event for t in range(20) for event in kept([t + 0.25], SECOND)]  # each at the same address
    rows = [row(FIRST + 64 * i, Held.NOTHING) for i in range(30)]
    path = traced(tmp_path, [*leaking(FIRST), *again], rows)
    first = findings(path)[0]
    assert [each["how"] for each in first["freed_by"]] == ["inferred"]
    assert (first["held"], first["lost"], first["inspected"]) == ("unknown", 0, 30)
    assert set(slabtrace.open(path).inspected()["held"]) == {"unknown"}


def test_what_was_just_allocated_is_not_lost_yet(tmp_path: Path) -> None:
    """Its address may be where nobody searches, as in a register.  That nothing points at it yet is said."""
    rows = [row(FIRST + 64 * i, Held.NOTHING) for i in range(2)]
    path = traced(tmp_path, [*kept([62.7, 62.8], FIRST, call_site=0x100), *churn()], rows)
    (found,) = (each for each in findings(path) if each["inspected"])
    assert (found["class"], found["held"], found["lost"]) == ("young", "unknown", 2)
    assert set(slabtrace.open(path).inspected()["held"]) == {"lost"}


def test_what_the_kernel_keeps_by_design_is_not_lost(tmp_path: Path) -> None:
    rows = [row(FIRST + 64 * i, Held.NOTHING) for i in range(30)]
    path = traced(tmp_path, leaking(FIRST, call_site=0x110), rows)
    (found,) = findings(path)
    assert (found["held"], found["lost"], found["class"]) == ("unknown", 0, "retained")
    assert set(slabtrace.open(path).inspected()["held"]) == {"unknown"}


@pytest.mark.parametrize(
    ("symbol", "never"),
    [
        ("alloc_bulk+0x141", True),
        ("bpf_map_kmalloc_node+0x33", True),
        ("bpf_selem_alloc+0x2", True),
        ("leak_kmalloc+0x26 [slabtrace_faults]", False),
        ("kmem_cache_alloc_bulk+0x1", False),
    ],
)
def test_elements_of_bpf_maps_are_never_lost(symbol: str, never: bool) -> None:
    assert never_lost(symbol, [], 0) is never


@pytest.mark.parametrize(
    ("unseen", "freed", "never"), [(0, 0, False), (1, 1, True), (3, 7, False), (4, 7, True)]
)
def test_what_is_mostly_freed_unseen_is_never_lost(unseen: int, freed: int, never: bool) -> None:
    freed_by = [{"how": "inferred", "objects": unseen}, {"how": "seen", "objects": freed - unseen}]
    assert never_lost("leak+0x1", freed_by, freed) is never


def test_a_trace_without_inspection_says_nothing(tmp_path: Path) -> None:
    (found,) = findings(traced(tmp_path, leaking(FIRST), []))
    assert (found["inspected"], found["lost"], found["held"], list(found["held_by"])) == (0, 0, "", [])


def cached(number: int, references: int) -> list[dict[str, Any]]:
    return [row(FIRST + 64 * i, Held.OWNER, kind="dentry", references=references) for i in range(number)]


def test_what_has_no_references_is_reclaimable_and_others_like_it_are_no_suspects(tmp_path: Path) -> None:
    events = [*leaking(FIRST, cache=DENTRY), *churn()]
    classes = {
        each["class"]: each["outstanding"] for each in findings(traced(tmp_path, events, cached(20, 0)))
    }
    assert classes.pop("reclaimable") == 20
    assert sum(classes.values()) == SECONDS - 2 - 20 and "suspect" not in classes


def test_what_has_references_is_pinned(tmp_path: Path) -> None:
    """Without them it is not known whether the kernel can free these, and they are no suspects."""
    events = [*leaking(FIRST, cache=DENTRY), *churn()]
    (unknown,) = findings(traced(tmp_path, events, []))
    assert unknown["class"] == "growing" and "may be able to free these" in unknown["doubt"]
    (pinned,) = findings(traced(tmp_path, events, cached(SECONDS - 2, 1)))
    assert pinned["class"] == "suspect"


def test_leaks_and_report_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(FIRST + 64 * i, Held.NOTHING) for i in range(30)]
    trace = str(traced(tmp_path, [*leaking(FIRST), *churn()], rows))
    assert run(["leaks", trace]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "#1 suspect, lost, " in shown and "nothing points at 30 of 30 that were inspected" in shown
    assert "Nothing points at the objects of 1 finding: they are lost." in shown
    page = tmp_path / "page.html"
    assert run(["report", trace, "-o", str(page)]) == 0
    assert '<span class="badge">lost</span>' in page.read_text()
    capsys.readouterr()
    assert run(["leaks", trace, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["verdict"]["lost"] == 1
    assert [each["held"] for each in content["findings"]] == ["lost"]
