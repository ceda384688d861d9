# SPDX-License-Identifier: Apache-2.0
"""The wheel and the sdist carry the BPF C and the report files, and an installed wheel finds them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def files_of(folder: str) -> set[str]:
    """Everything that `folder` of the checkout holds, relative to the root, less the gallery."""
    found = {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*") if p.is_file()}
    return {name for name in found if not name.startswith("reports/gallery/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a freshly built wheel and sdist."""
    target = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", target], cwd=ROOT, check=True)
    return target


def test_the_sdist_has_what_a_build_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of("bpf") | files_of("reports") | {"pyproject.toml", "LICENSE", "Makefile"} <= names


def test_the_wheel_has_the_data_files(built: Path) -> None:
    (path,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    assert {f"slabtrace/_data/{name}" for name in files_of("bpf") | files_of("reports")} <= names
    assert "slabtrace/_data/bpf/event.h" in names
    assert "slabtrace/_data/reports/slabtrace.mplstyle" in names


def test_an_installed_wheel_finds_its_data(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.whl")
    zipfile.ZipFile(path).extractall(tmp_path)
    code = "from slabtrace.resources import *; print(bpf_dir() / 'event.h', reports_dir(), sep='\\n')"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert found == [f"{tmp_path}/slabtrace/_data/bpf/event.h", f"{tmp_path}/slabtrace/_data/reports"]
    assert Path(found[0]).is_file()


def test_a_checkout_finds_its_own_files() -> None:
    from slabtrace import resources

    assert resources.bpf_dir() == ROOT / "bpf"
    assert resources.reports_dir() == ROOT / "reports"
