# SPDX-License-Identifier: Apache-2.0
"""Dask's workers give the report that this process gives, whatever dies meanwhile.

`python -m tests.fleet` kills more, and for longer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slabtrace.errors import UsageError
from slabtrace.fleet.engines import dask
from slabtrace.fleet.engines.engine import Engine, InProcess
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.running import Outcome, run
from slabtrace.fleet.store import Store
from tests.places import FIXTURES
from tests.unit.fleet.engines.poison import Poisonable

pytest.importorskip("distributed")
NAMES = ("slow-leak", "survivors", "clean", "dentries")


@pytest.fixture(scope="module")
def cluster() -> Iterator[dask.Dask]:
    """Two workers, started once."""
    engine = dask.local(2)
    yield engine
    engine.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    for name in NAMES:
        shutil.copytree(FIXTURES / f"{name}.slab", tmp_path / "fleet" / f"{name}.slab")
    return tmp_path / "fleet"


def read(fleet: Path, store: Store, engine: Engine) -> Outcome:
    return run([str(fleet)], lambda: engine, store, lambda _: None)


def borrowed(cluster: dask.Dask) -> dask.Dask:
    """An engine on the same workers that does not stop them."""
    engine = Poisonable(cluster._client, cluster._cluster, 2)
    engine.close = lambda: None  # type: ignore[method-assign]
    return engine


def test_workers_give_the_report_of_this_process(tmp_path: Path, fleet: Path, cluster: dask.Dask) -> None:
    here = read(fleet, store := Store(tmp_path / "here"), InProcess(store))
    there = read(fleet, Store(tmp_path / "there"), borrowed(cluster))
    assert there.unread == [] and len(there.merged.rows()) == 4
    assert json.dumps(report(there.merged)) == json.dumps(report(here.merged))


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "CONNECT_S", 0.2)
    with pytest.raises(UsageError, match=r"no Dask scheduler at 127\.0\.0\.1:9"):
        dask.connected("127.0.0.1:9")


def test_workers_of_another_version_are_refused(cluster: dask.Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "__version__", "9.9")
    engine = borrowed(cluster)
    with pytest.raises(UsageError, match=r"workers have slabtrace .*, this is 9\.9"):
        engine.check_versions()


def test_a_trace_that_kills_its_reader_is_left_out(tmp_path: Path, fleet: Path, cluster: dask.Dask) -> None:
    """It is in one task with the others, which are read once it is tried alone."""
    shutil.copytree(FIXTURES / "reused.slab", fleet / "poison.slab")
    outcome = read(fleet, Store(tmp_path / "store"), borrowed(cluster))
    ((place, why),) = outcome.unread
    assert Path(place).name == "poison.slab" and why == "killed its reader each time it was read"
    assert {row.facts["trace"] for row in outcome.merged.rows()} == {f"{name}.slab" for name in NAMES}
