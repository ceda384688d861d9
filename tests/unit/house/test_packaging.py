# SPDX-License-Identifier: Apache-2.0
"""The wheel and the sdist, built and installed into an empty environment; and what development is pinned to.

Installing pandas and its like takes a minute, so the environment borrows the libraries of the one that
runs the tests.  SLABTRACE_FULL_INSTALL=1 has pip fetch them instead, as for a user.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.places import ROOT


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


@pytest.fixture(scope="module", params=["*.whl", "*.tar.gz"])
def installed(request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that nothing but the wheel, or the sdist, was installed into."""
    (path,) = built.glob(request.param)
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    pip = [sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "--quiet"]
    if not os.environ.get("SLABTRACE_FULL_INSTALL"):
        (packages,) = place.glob("lib/python*/site-packages")
        (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        pip += ["--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*pip, path], cwd=place, check=True)
    return place


def said(installed: Path, *command: str) -> str:
    """What a program of the environment prints, away from the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = [str(installed / "bin" / command[0]), *command[1:]]
    return subprocess.run(
        program, cwd=installed, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_what_is_installed_works(installed: Path) -> None:
    import slabtrace

    assert said(installed, "slabtrace", "--version") == f"slabtrace {slabtrace.__version__}\n"
    assert "record" in said(installed, "slabtrace", "--help")
    fixture = str(ROOT / "fixtures/slow-leak.slab")
    said(installed, "slabtrace", "flame", fixture, "-o", "kept.html")  # needs the templates and the style
    assert "load_msg" in (installed / "kept.html").read_text()


def test_what_is_installed_finds_its_own_data(installed: Path) -> None:
    code = "from slabtrace.resources import *; print(bpf_dir() / 'event.h', reports_dir(), sep='\\n')"
    found = said(installed, "python", "-c", code).splitlines()
    (data,) = installed.glob("lib/python*/site-packages/slabtrace/_data")
    assert found == [f"{data}/bpf/event.h", f"{data}/reports"]
    assert Path(found[0]).is_file()


def test_man_pages_are_installed(installed: Path) -> None:
    from slabtrace.commands import COMMANDS

    pages = {path.name for path in (installed / "share/man/man1").glob("slabtrace*")}
    assert pages == {"slabtrace.1", *(f"slabtrace-{name}.1" for name in COMMANDS)}


def test_what_is_pinned_is_all_that_is_needed_and_within_what_users_may_have() -> None:
    pinned: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        assert [each.operator for each in pin.specifier] == ["=="], "a version, and no address"
        pinned.setdefault(pin.name, []).append(pin)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        wanted = Requirement(line)
        versions = [next(iter(pin.specifier)).version for pin in pinned[wanted.name]]
        assert all(wanted.specifier.contains(version) for version in versions), line


def test_a_checkout_finds_its_own_files() -> None:
    from slabtrace import resources

    assert resources.bpf_dir() == ROOT / "bpf"
    assert resources.reports_dir() == ROOT / "reports"
