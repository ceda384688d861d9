# SPDX-License-Identifier: Apache-2.0
"""The wheel and the sdist are built and installed into an empty environment; versions are pinned.

Installing pandas and the other libraries takes a minute, so the environment uses those of the environment
that runs the tests.  With SLABTRACE_FULL_INSTALL=1 pip downloads them, as for a user.
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
    """All files in `folder` of the checkout, relative to the root, except the gallery."""
    found = {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*") if p.is_file()}
    return {name for name in found if not name.startswith("reports/gallery/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new wheel and sdist."""
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
    """An environment into which only the wheel, or the sdist, was installed."""
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


def output_of(installed: Path, *command: str) -> str:
    """The stdout of a program of the environment, run outside the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = [str(installed / "bin" / command[0]), *command[1:]]
    return subprocess.run(
        program, cwd=installed, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_installed_program_works(installed: Path) -> None:
    import slabtrace

    assert output_of(installed, "slabtrace", "--version") == f"slabtrace {slabtrace.__version__}\n"
    assert "record" in output_of(installed, "slabtrace", "--help")
    fixture = str(ROOT / "fixtures/slow-leak.slab")
    # this needs the templates and the style
    output_of(installed, "slabtrace", "flame", fixture, "-o", "flame.html")
    assert "load_msg" in (installed / "flame.html").read_text()


def test_the_installed_package_finds_its_own_data(installed: Path) -> None:
    code = "from slabtrace.resources import *; print(bpf_dir() / 'event.h', reports_dir(), sep='\\n')"
    found = output_of(installed, "python", "-c", code).splitlines()
    (data,) = installed.glob("lib/python*/site-packages/slabtrace/_data")
    assert found == [f"{data}/bpf/event.h", f"{data}/reports"]
    assert Path(found[0]).is_file()


def test_man_pages_are_installed(installed: Path) -> None:
    from slabtrace.commands import COMMANDS

    pages = {path.name for path in (installed / "share/man/man1").glob("slabtrace*")}
    assert pages == {"slabtrace.1", *(f"slabtrace-{name}.1" for name in COMMANDS)}


def test_every_requirement_is_pinned_to_a_version_in_its_range() -> None:
    pinned: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin = Requirement(line)
        assert [each.operator for each in pin.specifier] == ["=="], "a version, not a URL"
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
