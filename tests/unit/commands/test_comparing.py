# SPDX-License-Identifier: Apache-2.0
"""diff and check on recordings whose truth is known: a daemon's start, a leak, a sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slabtrace.commands.main import run
from slabtrace.trace.format.sample import in_sample
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import Event, alloc, free, write_trace

SECOND = 10**9
START_SITE, LEAK_SITE, CHURN_SITE = 0x100, 0x110, 0x120
NAMES = {START_SITE: "daemon_start", LEAK_SITE: "load_msg", CHURN_SITE: "short_lived"}
SAMPLED = 16


def start_of_a_daemon(objects: int = 997) -> list[Event]:
    """Its objects come within 0.3 s, and stay."""
    return [alloc(300_000 * n, 0x10_0000 + 64 * n, call_site=START_SITE) for n in range(objects)]


def leak(seconds: float, each_s: float) -> list[Event]:
    """An object of 128 bytes each so many seconds, with gaps that a seed chose: it comes at random."""
    random, events, now = np.random.default_rng(23), [], 0.0
    while (now := now + float(random.exponential(each_s))) < seconds:
        ptr = 0x800_0000 + 128 * len(events)
        events.append(alloc(int(now * SECOND), ptr, call_site=LEAK_SITE, bytes_alloc=128))
    return events


def churn(seconds: float) -> Iterator[Event]:
    """Objects that are freed after 20 ms, all along."""
    for n in range(int(20 * seconds)):
        ptr, now = 0x9000_0000 + 64 * (n % 4), n * SECOND // 20
        yield from (alloc(now, ptr, call_site=CHURN_SITE), free(now + 20_000_000, ptr))


@pytest.fixture
def recorded(tmp_path: Path) -> Any:
    """Write a recording of events that took so many seconds; returns its path."""

    def write(
        name: str, seconds: float, events: Sequence[Event], cache: str = "kmalloc-128", **options: Any
    ) -> str:
        merged = sorted([*events, *churn(seconds)], key=lambda each: (each.ts, not each.is_free))
        one_in = options.get("sample", 1)
        kept = in_sample(np.array([each.ptr for each in merged], np.uint64), one_in).tolist()
        cached = {"cache": 0xC0, "name": cache, "aliases": [], "object_size": 128, "size": 128}
        tables: dict[str, list[dict[str, Any]]] = {
            "caches": [
                {
                    **cached,
                    "slab_flags": 0,
                    "order": 0,
                    "objects_per_slab": 32,
                    "reclaimable": False,
                    "first_seen_ns": 0,
                }
            ],
            "symbols": [
                {"address": address, "name": function, "offset": 0x57, "module": "", "since_ns": 0}
                for address, function in NAMES.items()
            ],
        }
        sampled = [event for event, keep in zip(merged, kept, strict=True) if keep]
        manifest = Manifest(status="complete", options=options)
        return str(
            write_trace(tmp_path / f"{name}.slab", sampled, tables, manifest=manifest, seconds=seconds)
        )

    return write


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command line: its exit code and its JSON (None where it refuses) or error."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*words: str) -> tuple[int, Any]:
        code = run([*words, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else captured.err

    return command


def states(document: Any) -> dict[str, str]:
    """The state of each group that is shown, by its function."""
    return {row["stack"][0]: row["state"] for row in document["groups"]}


@pytest.mark.parametrize("lengths", [(60, 10), (10, 60)])
def test_one_start_recorded_for_a_minute_and_for_ten_seconds_is_no_difference(
    recorded: Any, answer: Any, lengths: tuple[int, int]
) -> None:
    old, new = (recorded(str(each), each, start_of_a_daemon()) for each in lengths)
    code, document = answer("diff", old, new)
    assert (code, document["groups"], document["found"]) == (0, [], 0)
    (row,) = answer("diff", old, new, "--all")[1]["groups"]
    assert (row["outstanding_old"], row["outstanding_new"], row["state"]) == (997, 997, "same")
    assert "lasted" in document["notes"][0]


@pytest.mark.parametrize("lengths", [(60, 20), (20, 60), (60, 60)])
def test_a_leak_is_found_where_it_is_new_and_named_where_it_is_in_both(
    recorded: Any, answer: Any, lengths: tuple[int, int]
) -> None:
    old, new = lengths
    without = recorded("without", old, start_of_a_daemon())
    before = recorded("before", old, start_of_a_daemon() + leak(old, 0.25))
    after = recorded("after", new, start_of_a_daemon() + leak(new, 0.25))
    code, document = answer("diff", without, after)
    assert (code, states(document)) == (1, {"load_msg": "new"})
    code, document = answer("diff", before, after)
    assert (code, states(document)) == (0, {"load_msg": "growing"})
    (row,) = document["groups"]
    assert row["rate_old"] == pytest.approx(4, rel=0.5) and row["rate_new"] == pytest.approx(4, rel=0.5)
    code, document = answer("diff", after, without)
    assert (code, states(document)) == (0, {"load_msg": "gone"})


def test_a_sample_is_compared_with_a_recording_of_all(recorded: Any, answer: Any) -> None:
    everything = recorded("all", 60, start_of_a_daemon())
    sampled = recorded("sampled", 60, start_of_a_daemon(), sample=SAMPLED)
    for old, new, side in ((everything, sampled, "new"), (sampled, everything, "old")):
        code, document = answer("diff", old, new)
        assert (code, document["groups"]) == (0, [])
        (row,) = answer("diff", old, new, "--all")[1]["groups"]
        assert 40 <= row[f"outstanding_{side}"] <= 90  # 62 of 997
        assert row[f"outstanding_estimate_{side}"] == SAMPLED * row[f"outstanding_{side}"]
        assert "one object in 16" in " ".join(document["notes"])


def test_the_same_start_on_a_kernel_with_random_caches_is_no_difference(recorded: Any, answer: Any) -> None:
    old = recorded("old", 60, start_of_a_daemon())
    new = recorded("new", 60, start_of_a_daemon(), cache="kmalloc-rnd-11-128")
    code, document = answer("diff", old, new, "--all")
    assert (code, states(document)) == (0, {"daemon_start": "same"})


def test_different_filters_are_refused(recorded: Any, answer: Any) -> None:
    code, error = answer("diff", recorded("a", 5, []), recorded("b", 5, [], comm="nginx"))
    assert code == 2 and "with --comm nginx" in error and "same filters" in error


def test_a_sampled_leak_of_200_kib_a_minute_fails_a_limit_of_30(recorded: Any, answer: Any) -> None:
    """1,600 objects of 128 bytes in a minute, of which about a hundred are recorded."""
    sampled = recorded("leak", 60, leak(60, 60 / 1600), sample=SAMPLED)
    code, document = answer("check", sampled, "--max-growth", "30KiB/min")
    assert (code, [row["rule"] for row in document["findings"]]) == (1, ["max_growth"])
    assert answer("check", sampled, "--max-growth", "400KiB/min")[0] == 0
    code, document = answer("check", sampled, "--max-outstanding", "100KiB")
    assert code == 1 and "estimated from a sample" in document["findings"][0]["finding"]
    assert answer("check", sampled, "--max-outstanding", "300KiB")[0] == 0
