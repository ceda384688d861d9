# SPDX-License-Identifier: Apache-2.0
"""Rows of objects.arrow as Trace.inspected() has them, and as `leaks` shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.commands.main import run
from slabtrace.trace.format.schema import Held
from slabtrace.trace.manifest import Inspection, Manifest
from slabtrace.trace.redaction.redact import redact
from tests.places import FIXTURES
from tests.unit.synthetic import START, Event, alloc, free, write_trace

BASE, HOLDER = 0xFFFF_8880_0420_4000, 0xFFFF_8880_0420_8000
ASKED = START + 900_000_000


def row(ptr: int, held: int = Held.PROCESS, **more: Any) -> dict[str, Any]:
    described = {"in_use": True, "kind": "file", "description": "/tmp/\x1b[2Jx", "references": 1}
    holders = [] if held == Held.NOTHING else ["in the receive queue of sock UNIX", "fd 5 of nginx (pid 812)"]
    return {
        "ts_ns": ASKED,
        "ptr": ptr,
        **described,
        "held": int(held),
        "holders": holders,
        "holder": 0,
        **more,
    }


def a_trace(
    folder: Path, rows: list[dict[str, Any]], events: list[Event] | None = None, whole: bool = True
) -> Path:
    account = Inspection(len(rows), 1.0, 0.4, {"slab": 200 << 20, "data": 4 << 20}, whole)
    made = events or [alloc(5 + i, each["ptr"]) for i, each in enumerate(rows)]
    manifest = Manifest(status="complete", inspection=account)
    return write_trace(folder / "t.slab", made, {"objects": rows}, manifest=manifest)


def test_each_outstanding_object_has_its_class_and_holders(tmp_path: Path) -> None:
    rows = [row(BASE), row(BASE + 64, Held.NOTHING, kind="", references=-1), row(BASE + 128, in_use=False)]
    frame = slabtrace.open(a_trace(tmp_path, rows)).inspected()
    assert dict(zip(frame["ptr"], frame["held"], strict=True)) == {
        BASE: "process", BASE + 64: "lost", BASE + 128: "gone",
    }  # fmt: skip
    assert frame["references"].isna().tolist() == [False, True, False]
    assert set(frame["finding"]) == {1}


def test_what_was_not_all_searched_is_not_lost(tmp_path: Path) -> None:
    frame = slabtrace.open(a_trace(tmp_path, [row(BASE, Held.NOTHING)], whole=False)).inspected()
    assert frame["held"].tolist() == ["unknown"]


def test_nothing_is_said_of_an_object_that_was_freed_or_came_later(tmp_path: Path) -> None:
    """Its address was looked at, but what was there is not what is there at the end."""
    late = 950_000_000
    events = [alloc(5, BASE), free(late, BASE), alloc(late + 1, BASE), alloc(6, BASE + 64)]
    frame = slabtrace.open(a_trace(tmp_path, [row(BASE), row(BASE + 64)], events)).inspected()
    assert frame["ptr"].tolist() == [BASE + 64]


def test_the_nearest_holder_has_the_call_site_that_allocated_it(tmp_path: Path) -> None:
    events = [alloc(5, HOLDER), alloc(6, BASE)]
    trace = a_trace(tmp_path, [row(BASE, holder=HOLDER)], events)
    (first, last), *_ = slabtrace.open(trace).inspected()["holders"]
    assert first.startswith("in the receive queue of sock UNIX, allocated at 0x") and "pid 812" in last


def test_a_redacted_trace_has_the_classes_and_no_names(tmp_path: Path) -> None:
    trace = a_trace(tmp_path, [row(BASE), row(BASE + 64, Held.NOTHING)])
    copy = tmp_path / "copy"
    copy.mkdir()
    redact(trace, copy)
    frame = slabtrace.open(copy).inspected()
    assert sorted(frame["held"]) == ["lost", "process"]
    assert set(frame["description"]) == {""} and frame["holders"].map(len).sum() == 0


def test_older_traces_have_no_inspected_objects() -> None:
    assert slabtrace.open(FIXTURES / "dentries.slab").inspected().empty


def test_leaks_shows_who_holds_and_where_was_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(BASE + 64 * i) for i in range(30)] + [row(BASE + 64 * 40, Held.NOTHING)]
    trace = str(a_trace(tmp_path, rows))
    assert run(["leaks", trace, "--class", "young", "--class", "retained"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "31 objects were inspected at the end:" in shown
    assert (
        "30 × file, held by a process: in the receive queue of sock UNIX ← fd 5 of nginx (pid 812)" in shown
    )
    assert "1 × file, lost: nothing that was searched points at it" in shown
    assert "searched: 200 MiB of slabs, 4 MiB of kernel data" in shown
    assert "\x1b" not in shown
    page = tmp_path / "page.html"
    assert run(["report", trace, "-o", str(page)]) == 0
    assert "1 × file, lost: nothing that was searched points at it" in page.read_text()
    assert "\x1b" not in page.read_text()
    capsys.readouterr()
    assert run(["leaks", trace, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["inspected"]) == 31 and content["inspection"]["whole"]
    assert {each["held"] for each in content["inspected"]} == {"process", "lost"}
