# SPDX-License-Identifier: Apache-2.0
"""What a `slabtrace watch` knows, as text: `slabtrace watch --status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from slabtrace.render.terminal.machine.fleet import moment
from slabtrace.render.terminal.text import Column, name_column, write_fields, write_paragraph, write_table
from slabtrace.units import count, duration, growth, size

TRIGGERED = {"recorded": "recorded", "failed": "failed", "too_many": "too many"}


def write_watch(out: TextIO, state: Mapping[str, Any]) -> None:
    """The state (slabtrace/watching/state.py): the recording, what was found, since when."""
    write_fields(out, _fields(state))
    findings = state["findings"]
    if not findings:
        write_paragraph(out, "No suspected leak, and nothing that certainly grows.")
        return
    out.write("\n")
    columns = (
        Column("class", right=False), Column("first seen", right=False), Column("after boot"),
        Column("objects"), Column("bytes"), Column("certain growth"), name_column("finding"),
    )  # fmt: skip
    write_table(out, columns, (_cells(each) for each in findings))


def _fields(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    running = "goes on" if state["recording"] else "does not run"
    yield "recording", f"{running}; {state['series']}"
    yield "judged until", f"{moment(state['judged_until_s'])} UTC"
    if state["verdict"]:
        yield "verdict", state["verdict"]
    yield "events", f"{count(state['events'])}, {count(state['lost'])} lost"
    yield "disk", size(state["disk_bytes"])
    counts = state["counts"]["triggered"]
    yield "triggered", ", ".join(f"{counts[name]} {words}" for name, words in TRIGGERED.items())
    if state["triggered_newest"]:
        yield "the newest", state["triggered_newest"]
    for text in state["triggers"]:
        yield "trigger", text


def _cells(finding: Mapping[str, Any]) -> tuple[str, ...]:
    there = finding["class_"] if finding["present"] else f"was {finding['class_']}"
    return (
        there,
        moment(finding["first_seen_s"]),
        duration(finding["first_seen_boot_s"] * 1e9),
        count(finding["objects"]),
        size(finding["bytes"]),
        growth(finding["growth_certain_bytes_per_s"]),
        finding["title"],
    )
