# SPDX-License-Identifier: Apache-2.0
"""Metrics of the service: counters that go on, series that do not flap, and never too many of them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slabtrace.fleet.metrics.families import MOST_SUSPECTS, Family
from slabtrace.trace.manifest import Manifest, Part, RecorderUse
from slabtrace.trace.manifest import Totals as Counted
from slabtrace.watching.exported import KEPT, Exported, Totals
from slabtrace.watching.judgement import Judgement
from tests.needs import need_program
from tests.unit.fleet import fleets
from tests.unit.watching.fake import row

NUMBERS: dict[str, Any] = {
    "recording": True, "starts": 1, "judgements": {"ok": 1, "failed": 0}, "cpu_s": 2.5, "disk": 4096,
    "triggered": {"recorded": 0, "failed": 0, "too_many": 0},
    "commands": {"ok": 0, "failed": 0, "timed_out": 0, "dropped": 0}, "judged": True,
}  # fmt: skip


def judgement(*signatures: str, **values: Any) -> Judgement:
    return Judgement(fleets.facts_of(1, 2, random.Random(1)), [row(each, **values) for each in signatures])


def named(exported: Exported, totals: Totals | None = None) -> dict[str, Family]:
    made = exported.families(totals or Totals(), NUMBERS)
    assert len({each.name for each in made}) == len(made)
    return {each.name: each for each in made}


def suspects(exported: Exported, name: str = "bytes") -> dict[str, float]:
    family = named(exported)[f"slabtrace_suspect_{name}"]
    return {labels[0]: value for labels, value in family.samples}


def test_a_suspect_that_is_gone_stays_with_zero() -> None:
    exported = Exported()
    exported.judged(judgement("1:a", "1:b"))
    exported.judged(judgement("1:b"))
    assert suspects(exported) == {"1:a": 0.0, "1:b": 640.0}
    assert suspects(exported, "growth_certain_bytes_per_second") == {"1:a": 0.0, "1:b": 0.5}
    assert set(suspects(exported, "since_timestamp_seconds")) == {"1:b"}
    exported.judged(judgement("1:a"))
    assert suspects(exported) == {"1:b": 0.0, "1:a": 640.0}


def test_the_series_stay_few() -> None:
    exported = Exported()
    for turn in range(100):
        exported.judged(judgement(*(f"1:{turn}-{at}" for at in range(7))))
        assert len(suspects(exported)) <= MOST_SUSPECTS
    assert [name for name, value in suspects(exported).items() if value] == [f"1:99-{at}" for at in range(7)]
    exported.judged(judgement(*(f"1:x{at}" for at in range(1000))))
    everything = exported.families(Totals(), NUMBERS)
    assert sum(len(each.samples) for each in everything) <= 140


def manifest(series: int, part: int, events: int, dropped: int, cpu_s: float) -> Manifest:
    return Manifest(
        started_ns=series * 10 + part, part=Part(part, series), recorder=RecorderUse(1, int(cpu_s * 1e9)),
        totals=Counted(events=events, dropped=dropped),
    )  # fmt: skip


def test_counters_go_on_over_parts_and_recorders() -> None:
    totals = Totals()
    seen = []
    for each in (
        manifest(1, 1, 100, 0, 1), manifest(1, 1, 150, 2, 2), manifest(1, 2, 10, 0, 3),
        manifest(1, 1, 155, 3, 2), manifest(1, 3, 20, 1, 4), manifest(2, 1, 5, 0, 0.5),
        manifest(2, 1, 6, 0, 0.6),
    ):  # fmt: skip
        totals.take(each)
        seen.append((totals.events, totals.lost, round(totals.cpu_s, 3)))
    assert seen == [
        (100, 0, 1), (150, 2, 2), (160, 2, 3), (165, 3, 3), (185, 4, 4), (190, 4, 4.5), (191, 4, 4.6),
    ]  # fmt: skip
    made = named(Exported(), totals)
    assert made["slabtrace_events"].samples == (((), 191.0),)
    assert made["slabtrace_recorder_cpu_seconds"].samples == (((), 4.6),)


def test_counters_of_a_thousand_parts_take_no_more_memory() -> None:
    totals = Totals()
    for series in range(20):
        for part in range(1, 51):
            totals.take(manifest(1000 * series, part, 10, 1, part))
    assert (totals.events, totals.lost, totals.cpu_s) == (10_000, 1_000, 20 * 50)
    assert len(totals._events) <= KEPT and len(totals._cpu_ns) <= KEPT


def test_a_strict_parser_reads_them() -> None:
    import prometheus_client.openmetrics.exposition as openmetrics
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict

    from slabtrace.fleet.metrics.openmetrics import Snapshot, registry_of

    exported, snapshot = Exported(), Snapshot()
    exported.judged(judgement("1:a", title='a"b\\c\n: d\x1b[31m', cache="é" * 500))
    snapshot.families = exported.families(Totals(), NUMBERS)
    text = openmetrics.generate_latest(registry_of(snapshot)).decode()
    values = {sample.name: sample.value for each in strict(text) for sample in each.samples}
    assert values["slabtrace_suspect_bytes"] == 640 and values["slabtrace_digest_unreadable"] == 0
    assert values["slabtrace_watch_analysis_cpu_seconds_total"] == 2.5


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    from slabtrace.fleet.metrics.openmetrics import Snapshot, registry_of, write_textfile

    promtool = need_program("promtool")
    exported, snapshot = Exported(), Snapshot()
    exported.judged(judgement("1:a", "1:b"))
    exported.judged(judgement("1:a"))
    snapshot.families = exported.families(Totals(), NUMBERS)
    write_textfile(tmp_path / "s.prom", registry_of(snapshot))
    run = [promtool, "check", "metrics"]
    text = (tmp_path / "s.prom").read_text()
    checked = subprocess.run(run, input=text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
