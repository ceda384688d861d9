# SPDX-License-Identifier: Apache-2.0
"""Object stores: as local folders; where they are slow, failing or cut, what is missing is named."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slabtrace.errors import UsageError
from slabtrace.fleet.engines.engine import InProcess
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.running import Outcome, run
from slabtrace.fleet.sources import remote
from slabtrace.fleet.store import Store
from slabtrace.trace.files.files import pack
from tests.places import FIXTURES
from tests.unit.fleet import fleets
from tests.unit.fleet.sources.s3_stub import Bucket, serving

TRACE = FIXTURES / "slow-leak.slab"


def packed() -> bytes:
    to = io.BytesIO()
    pack(FIXTURES / "clean.slab", to)
    return to.getvalue()


@pytest.fixture
def bucket() -> Bucket:
    files = (path for path in TRACE.rglob("*") if path.is_file())
    objects = {f"fleet/a/slow-leak.slab/{path.relative_to(TRACE)}": path.read_bytes() for path in files}
    objects["fleet/clean.slab.zip"] = packed()
    objects["fleet/readme.txt"] = b"hello"
    for name, content in fleets.digests(fleets.Plan(hosts=3, leaking=0, benign=1)):
        objects[f"fleet/{name}.digest.parquet"] = content
    return Bucket(objects)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(remote, "WAIT_S", 0.0)
    yield


def read(tmp_path: Path, url: str) -> Outcome:
    store = Store(tmp_path / "store")
    return run([url], lambda: InProcess(store), store, lambda _: None)


def test_a_bucket_is_as_a_folder(tmp_path: Path, bucket: Bucket) -> None:
    local = tmp_path / "local"
    for key, content in bucket.objects.items():
        path = local / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with serving(bucket) as url:
        outcome = read(tmp_path, url("fleet"))
        again = read(tmp_path, url("fleet"))
    assert outcome.unread == []
    assert again.progress.reused == 2
    from_folder = read(tmp_path / "other", str(local))
    names = [{**row.facts, "place": ""} for row in outcome.merged.rows()]
    assert names == [{**row.facts, "place": ""} for row in from_folder.merged.rows()]
    assert [row.grown for row in outcome.merged.rows()] == [row.grown for row in from_folder.merged.rows()]


def test_one_packed_trace_and_one_folder_by_their_urls(tmp_path: Path, bucket: Bucket) -> None:
    with serving(bucket) as url:
        for key, name in (
            ("fleet/clean.slab.zip", "clean.slab"),
            ("fleet/a/slow-leak.slab", "slow-leak.slab"),
        ):
            (row,) = read(tmp_path, url(key)).merged.rows()
            assert row.facts["trace"] == name


def test_a_store_that_fails_once_is_asked_again(tmp_path: Path, bucket: Bucket) -> None:
    failed: set[str] = set()

    def once(method: str, key: str) -> bool:
        first = method == "GET" and key.endswith("manifest.json") and key not in failed
        failed.add(key)
        return first

    bucket.refuses = once
    with serving(bucket) as url:
        assert read(tmp_path, url("fleet")).unread == []


def test_what_fails_each_time_is_named_and_asked_for_few_times(tmp_path: Path, bucket: Bucket) -> None:
    bad = "fleet/host-00001.digest.parquet"
    bucket.refuses = lambda method, key: method == "GET" and key == bad
    with serving(bucket) as url:
        outcome = read(tmp_path, url("fleet"))
        ((place, why),) = outcome.unread
        assert place == url(bad).replace("me:secret@", "") and why.startswith("cannot be read: ")
    assert len(outcome.merged.rows()) == 4
    assert 1 <= bucket.asked["GET", bad] <= 4


def test_a_store_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REQUEST_S", 0.3)
    bucket.hangs = {"fleet/host-00001.digest.parquet"}
    with serving(bucket) as url:
        outcome = read(tmp_path, url("fleet"))
    assert len(outcome.unread) == 1 and len(outcome.merged.rows()) == 4


def test_half_an_object_is_not_taken_for_the_whole(tmp_path: Path, bucket: Bucket) -> None:
    cut = {"fleet/host-00001.digest.parquet", "fleet/clean.slab.zip", "fleet/a/slow-leak.slab/sites.arrow"}
    bucket.cuts = cut
    with serving(bucket) as url:
        outcome = read(tmp_path, url("fleet"))
    assert len(outcome.unread) == 3 and len(outcome.merged.rows()) == 2


def test_a_store_that_cannot_be_listed_is_named(tmp_path: Path, bucket: Bucket) -> None:
    bucket.refuses = lambda method, key: True
    with serving(bucket) as url:
        ((_, why),) = read(tmp_path, url("fleet")).unread
    assert why.startswith("cannot be listed: ")


def test_an_empty_place_is_named(tmp_path: Path, bucket: Bucket) -> None:
    with serving(bucket) as url:
        ((_, why),) = read(tmp_path, url("nothing-here")).unread
    assert why == "does not exist, or is empty"


def test_secrets_of_a_url_are_not_shown(tmp_path: Path, bucket: Bucket) -> None:
    with serving(bucket) as url:
        made = json.dumps(report(read(tmp_path, url("fleet")).merged))
        failed = read(tmp_path, url("nothing-here")).unread
    assert "me:secret" not in made and "me:secret" not in str(failed)


@pytest.mark.parametrize("url", ["nosuch://a/b", "s3://", "s3://b/k?colour=red"])
def test_a_url_that_cannot_be_opened(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        read(tmp_path, url)


def test_file_urls_are_places_too(tmp_path: Path) -> None:
    (row,) = read(tmp_path, f"file://{FIXTURES / 'clean.slab'}").merged.rows()
    assert row.facts["trace"] == "clean.slab"
