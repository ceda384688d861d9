# SPDX-License-Identifier: Apache-2.0
"""What a digest says of a trace with known answers (fixtures/answers.toml)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import slabtrace
from slabtrace.cli.toml_files import MOST_LABELS
from slabtrace.cli.types import LONGEST_LABEL
from slabtrace.fleet.digests.file import Digest, encoded
from slabtrace.fleet.digests.fingerprint import fingerprint
from slabtrace.fleet.digests.making import digest_frame
from slabtrace.trace.files.files import pack
from slabtrace.trace.manifest import Host, Manifest, OsRelease, Part
from tests.places import FIXTURES
from tests.unit.synthetic import START, alloc, write_trace


def frame_of(path: Path, **options: int) -> pd.DataFrame:
    return digest_frame(slabtrace.open(path), path.name, fingerprint(path), **options)


def test_a_leak_with_its_rate() -> None:
    frame = frame_of(FIXTURES / "slow-leak.slab")
    trace, leak = frame.to_dict("records")[:2]
    assert (trace["row"], leak["row"], trace["host"]) == ("trace", "finding", "fixture")
    assert leak["title"] == "msg_msg-128: load_msg < do_msgsnd"
    assert (leak["class"], leak["outstanding"], leak["bytes"]) == ("suspect", 48, 48 * 128)
    # 48 in 24.5 s are 169,000 a day; the interval is known to hold 2 a second, which the program leaked
    assert leak["rate_low_per_day"] < 2 * 86_400 < leak["rate_high_per_day"]
    assert leak["growth_per_day"] == pytest.approx(128 * leak["rate_per_day"], abs=128)
    assert (leak["confidence"], leak["maybe_freed"], leak["in_use"]) == ("bounded", 0, 48)
    assert trace["cache_globs"] == "msg_msg-*\nkmalloc-cg-128" and not trace["partial"]
    assert trace["verdict"].startswith("1 suspected leak")


def test_of_a_sample_each_object_stands_for_many(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "slow-leak.slab", tmp_path / "t.slab")
    manifest = json.loads((tmp_path / "t.slab/manifest.json").read_text())
    manifest["options"]["sample"] = 16
    (tmp_path / "t.slab/manifest.json").write_text(json.dumps(manifest))
    leak = frame_of(tmp_path / "t.slab").iloc[1]
    assert (leak["outstanding"], leak["objects"], leak["bytes"]) == (48, 48 * 16, 48 * 16 * 128)


def test_what_is_of_the_trace_stands_in_every_row() -> None:
    frame = frame_of(FIXTURES / "double-free.slab")
    assert set(frame["row"]) == {"trace", "finding", "cache"}
    for name in ("fingerprint", "host", "release", "findings", "least_per_day"):
        assert frame[name].nunique(dropna=False) == 1
    assert (frame["row"] == "finding").sum() == frame["findings"].iloc[0] == 4


def test_what_does_not_grow_has_no_rate() -> None:
    frame = frame_of(FIXTURES / "burst-then-flat.slab")
    (retained,) = frame[frame["row"] == "finding"].to_dict("records")
    assert retained["class"] == "retained"
    assert pd.isna(retained["growth_per_day"]) and pd.isna(retained["rate_low_per_day"])


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600", '"', "\x01"])
def test_a_digest_with_all_labels_that_may_be_given_can_be_read(tmp_path: Path, letter: str) -> None:
    labels = {f"label{at:02}": letter * LONGEST_LABEL for at in range(MOST_LABELS)}
    trace = write_trace(
        tmp_path / "t.slab", [alloc(1, 2)], manifest=Manifest(status="complete", labels=labels)
    )
    facts = Digest(encoded(frame_of(trace)), "t").trace()
    kept = json.loads(facts["labels"])
    assert kept["label00"] == letter * 200 and set(kept) <= set(labels)
    assert len(kept) == MOST_LABELS or letter != "a"


def test_host_labels_and_times(tmp_path: Path) -> None:
    offset = 1_790_000_000 * 10**9
    host = Host(
        "web-1", "6.12", "#1", "x86_64", 4, memory_bytes=1 << 34, boot_id="b1", os=OsRelease("debian", "13")
    )
    manifest = Manifest("slabtrace", status="complete", host=host, labels={"role": "db", "a": "é\ud800"})
    manifest.part = Part(3, series_started_ns=5)
    manifest.realtime_minus_monotonic_ns = offset
    write_trace(tmp_path / "t.slab", [alloc(5, 0x1000)], manifest=manifest, seconds=60)
    row = frame_of(tmp_path / "t.slab").iloc[0]
    assert (row["host"], row["boot_id"], row["os"], row["part"]) == ("web-1", "b1", "debian 13", 3)
    assert json.loads(row["labels"]) == {"role": "db", "a": "é\\ud800"}
    assert (row["begin_ns"], row["series_ns"]) == (START, 5)
    assert (row["boot_s"], row["begin_s"], row["end_s"]) == (1_790_000_000, 1_790_000_001, 1_790_000_061)


def test_findings_that_are_left_out_are_counted() -> None:
    frame = frame_of(FIXTURES / "double-free.slab", most=1)
    assert (frame["row"] == "finding").sum() == 1
    assert (frame["findings"].iloc[0], frame["findings_left_out"].iloc[0]) == (4, 3)


def test_a_packed_trace_has_the_fingerprint_of_the_folder(tmp_path: Path) -> None:
    folder, packed = FIXTURES / "slow-leak.slab", tmp_path / "other-name.slab.zip"
    with packed.open("wb") as file:
        pack(folder, file)
    assert fingerprint(packed) == fingerprint(folder)
    assert fingerprint(folder) != fingerprint(FIXTURES / "survivors.slab")
    whole, packed_frame = frame_of(folder), frame_of(packed)
    pd.testing.assert_frame_equal(whole.drop(columns="trace"), packed_frame.drop(columns="trace"))


def test_a_growing_trace_has_another_fingerprint(tmp_path: Path) -> None:
    path = write_trace(tmp_path / "t.slab", [alloc(5, 0x1000)])
    before = fingerprint(path)
    with (path / "events" / "00000.arrow").open("ab") as file:
        file.write(b"more")
    assert fingerprint(path) != before
