# SPDX-License-Identifier: Apache-2.0
"""Whole runs: what is wrong with one place leaves the others unharmed, and a run that was killed goes on."""

from __future__ import annotations

import heapq
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from slabtrace.errors import UsageError
from slabtrace.fleet.engines.engine import InProcess, bundles
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.running import Outcome, run
from slabtrace.fleet.sources import digesting, local
from slabtrace.fleet.sources.digesting import GONE, Job, Result
from slabtrace.fleet.sources.items import FOLDER, Item
from slabtrace.fleet.store import Store
from tests.places import FIXTURES
from tests.unit.fleet import fleets
from tests.unit.synthetic import alloc, write_trace


def quiet(_: object) -> None:
    pass


def read(tmp_path: Path, *places: Path | str) -> Outcome:
    store = Store(tmp_path / "store")
    return run([str(place) for place in places], lambda: InProcess(store), store, quiet)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two real traces and the digests of six hosts."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    for name in ("slow-leak", "clean"):
        shutil.copytree(FIXTURES / f"{name}.slab", folder / f"{name}.slab")
    for name, content in fleets.digests(fleets.Plan(hosts=6, leaking=1, benign=2)):
        (folder / f"{name}.digest.parquet").write_bytes(content)
    return folder


def test_traces_and_digests_together(tmp_path: Path, folder: Path) -> None:
    outcome = read(tmp_path, folder)
    assert outcome.unread == []
    assert len(outcome.merged.rows()) == 8
    assert {row.facts["host"] for row in outcome.merged.rows()} >= {"fixture", "host-00000"}


def test_a_second_run_makes_no_digest_again(tmp_path: Path, folder: Path) -> None:
    first = report(read(tmp_path, folder).merged)
    store = Store(tmp_path / "store")

    def none_needed() -> InProcess:
        raise AssertionError("a digest was made again")

    again = run([str(folder)], none_needed, store, quiet)
    assert again.progress.reused == 2
    assert json.dumps(report(again.merged)) == json.dumps(first)


@pytest.mark.parametrize("left", [0, 1000])
def test_a_digest_that_a_crash_cut_is_made_again(tmp_path: Path, folder: Path, left: int) -> None:
    first = report(read(tmp_path, folder).merged)
    for kept in (tmp_path / "store").glob("*.parquet"):
        kept.write_bytes(kept.read_bytes()[:left])
    again = read(tmp_path, folder)
    assert (again.unread, again.progress.reused) == ([], 0)
    assert json.dumps(report(again.merged)) == json.dumps(first)


def test_a_trace_in_two_places_is_read_once_and_counted_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(FIXTURES / "slow-leak.slab", tmp_path / name / "slow-leak.slab")
    outcome = read(tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "a")
    assert (len(outcome.merged.rows()), len(outcome.merged.copies)) == (1, 1)


def test_each_bad_thing_is_named_and_the_rest_unharmed(tmp_path: Path, folder: Path) -> None:
    whole = report(read(tmp_path, folder).merged)
    bad = folder / "bad"
    bad.mkdir()
    (bad / "empty.slab").mkdir()
    newer = write_trace(bad / "newer.slab", [alloc(1, 2)])
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps(manifest | {"version": [99, 0]}))
    cut = write_trace(bad / "cut.slab", [alloc(1, 2)])
    (cut / "manifest.json").write_text("{")
    (bad / "zip.slab.zip").write_bytes(b"no archive")
    (bad / "d.digest.parquet").write_bytes(b"no parquet")
    (bad / "link.slab").symlink_to(newer)
    os.mkfifo(bad / "fifo.slab.zip")
    outcome = read(tmp_path, folder)
    why = {Path(place).name: reason for place, reason in outcome.unread}
    assert set(why) == {each.name for each in bad.iterdir()}
    assert "this slabtrace reads up to" in why["newer.slab"]
    assert "manifest.json" in why["empty.slab"]
    assert "not valid JSON" in why["cut.slab"]
    assert why["d.digest.parquet"].startswith("is not a digest")
    assert json.dumps(report(outcome.merged)) == json.dumps(whole)


def test_a_damaged_trace_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    trace = tmp_path / "t.slab"
    shutil.copytree(FIXTURES / "slow-leak.slab", trace)
    (trace / "caches.arrow").unlink()
    made = report(read(tmp_path, trace).merged)
    assert [each["why"] for each in made["doubtful"]] == ["caches.arrow is missing."]
    assert made["hosts"] == 1


def test_a_trace_that_disappears_is_gone_and_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = write_trace(tmp_path / "fleet" / "t.slab", [alloc(1, 2)])
    digest = tmp_path / "fleet" / "d.digest.parquet"
    digest.touch()
    find = local.find

    def then_gone(place: str) -> object:
        found = find(place)
        shutil.rmtree(trace)
        digest.unlink()
        return found

    monkeypatch.setattr(local, "find", then_gone)
    assert sorted(read(tmp_path, tmp_path / "fleet").unread) == [(str(digest), GONE), (str(trace), GONE)]


def test_a_trace_that_disappears_while_it_is_read_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = write_trace(tmp_path / "fleet" / "t.slab", [alloc(1, 2)])
    monkeypatch.setattr(digesting, "digest_frame", lambda *_: shutil.rmtree(trace) or Path(trace).lstat())
    assert read(tmp_path, tmp_path / "fleet").unread == [(str(trace), GONE)]


def test_an_error_of_our_own_names_the_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = write_trace(tmp_path / "t.slab", [alloc(1, 2)])

    def fails(*_: object) -> None:
        raise KeyError("x\x1b[31m")

    monkeypatch.setattr(digesting, "digest_frame", fails)
    ((place, why),) = read(tmp_path, trace).unread
    assert place == str(trace) and why.startswith("cannot be read: KeyError")


def test_a_trace_that_killed_its_reader_twice_is_left_out(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.slab", [alloc(1, 2)])
    store = Store(tmp_path / "store")
    key = digesting.key_of(Item(FOLDER, str(trace)))
    store.begin(key)  # as a run that was killed leaves it
    assert read(tmp_path, trace).unread == []
    for path in (tmp_path / "store").glob("*.parquet"):
        path.unlink()
    store.begin(key)
    store.begin(key)
    ((_, why),) = read(tmp_path, trace).unread
    assert why == f"killed its reader 2 times; to try again remove {store.mark(key)}"


class Lost:
    """An engine that makes one digest and is lost then."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def completed(self) -> Iterator[Result]:
        yield digesting.digest_job(self.jobs[0])
        raise UsageError("lost")

    def close(self) -> None:
        pass


def test_what_was_made_before_the_engine_was_lost_is_not_made_again(tmp_path: Path, folder: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(UsageError, match="lost"):
        run([str(folder)], Lost, store, quiet)
    again = read(tmp_path, folder)
    assert again.progress.reused == 1 and again.unread == []


def test_a_result_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """Dask may run a task twice."""

    class Twice(Lost):
        def completed(self) -> Iterator[Result]:
            yield from [digesting.digest_job(self.jobs[0])] * 2

    store = Store(tmp_path / "store")
    outcome = run([str(FIXTURES / "clean.slab")], Twice, store, quiet)
    assert (len(outcome.merged.rows()), outcome.progress.done) == (1, 1)


def test_large_ones_first_and_small_ones_together() -> None:
    sizes = [1, 9 << 20, 2, 700 << 20, *range(3, 60)]
    random.Random(1).shuffle(sizes)
    made = bundles([Job(f"{size:04}", Item(FOLDER, str(size), size)) for size in sizes])
    assert [[job.item.bytes for job in bundle] for bundle in made[:2]] == [[700 << 20], [9 << 20]]
    assert [len(bundle) for bundle in made[2:]] == [20, 20, 19]


@pytest.mark.parametrize("workers", [2, 8, 50])
def test_one_huge_trace_among_many_small_ones_takes_no_longer_than_it_must(workers: int) -> None:
    """Workers take the bundles in their order; a byte takes a second, and a trace a little more."""
    sizes = [6_700 << 20, *(random.Random(1).randrange(1 << 10, 60 << 20) for _ in range(999))]

    def seconds(bundle: Sequence[Job]) -> float:
        return sum(job.item.bytes + (1 << 20) for job in bundle)

    made = bundles([Job(f"{at:04}", Item(FOLDER, str(at), size)) for at, size in enumerate(sizes)])
    free_at = [0.0] * workers
    for bundle in made:
        heapq.heapreplace(free_at, free_at[0] + seconds(bundle))
    least = max(*map(seconds, made), sum(map(seconds, made)) / workers)
    assert max(free_at) <= 1.15 * least


def test_the_store_keeps_other_files_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(ValueError, match="names no digest"):
        store.put("../x", b"")
    store.put("a", b"1PAR1")
    assert store.get("a") == b"1PAR1" and store.get("b") is None
    assert next(path.name for path in store.folder.iterdir()).startswith("a.1.0-")
