# SPDX-License-Identifier: Apache-2.0
"""The queries of docs/fleet.md, run as they stand there over digests with known answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slabtrace.columns import DIGEST
from slabtrace.fleet.digests.file import encoded
from slabtrace.fleet.digests.fingerprint import fingerprint
from slabtrace.fleet.digests.making import digest_frame
from tests.places import FIXTURES, ROOT
from tests.unit.fleet import fleets

PAGE = (ROOT / "docs" / "fleet.md").read_text()
LEAK = "keep_1000 < handle_1000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """24 hosts of which 4 leak, on one build of 6; and a real recording."""
    import slabtrace

    folder = tmp_path / "digests"
    folder.mkdir()
    for name, content in fleets.digests(fleets.Plan(hosts=24, leaking=4, benign=2, false_suspects=0.0)):
        (folder / f"{name}.digest.parquet").write_bytes(content)
    real = FIXTURES / "reused.slab"
    frame = digest_frame(slabtrace.open(real), real.name, fingerprint(real))
    (folder / "real.digest.parquet").write_bytes(encoded(frame))
    monkeypatch.chdir(tmp_path)
    yield folder


def answers(query: str) -> list[tuple[Any, ...]]:
    duckdb = pytest.importorskip("duckdb")
    rows: list[tuple[Any, ...]] = duckdb.sql(query).fetchall()
    return rows


def test_the_queries_in_sql(digests: Path) -> None:
    suspects, by_release, caches = blocks("sql")
    ((title, hosts, growth),) = answers(suspects)
    assert title.endswith(LEAK) and hosts == 4 and growth > 0
    found = answers(by_release)
    assert sum(hosts for *_, hosts, _ in found) == 25
    assert sum(affected for *_, affected in found) == 4
    assert {release for release, _, _, affected in found if affected} == {fleets.BUILDS[fleets.LEAKY_BUILD]}
    assert all(kernel > 2 * abs(traced) for _, _, kernel, traced in answers(caches))


def test_the_program_in_python(digests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    exec(compile(program, "docs/fleet.md", "exec"), {})
    assert re.search(rf"{LEAK} +4\n", capsys.readouterr().out)


def test_duckdb_sees_the_documented_types(digests: Path) -> None:
    kinds = {"text": "VARCHAR", "int64": "BIGINT", "Int64": "BIGINT", "bool": "BOOLEAN"}
    described = answers("DESCRIBE SELECT * FROM 'digests/real.digest.parquet'")
    expected = [(each.name, kinds[each.dtype]) for each in DIGEST.columns]
    assert [(name, kind) for name, kind, *_ in described] == expected
