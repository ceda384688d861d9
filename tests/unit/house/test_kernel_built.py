# SPDX-License-Identifier: Apache-2.0
"""Kernels that the lab builds, without building one: settings, what is in the cache, a build that fails."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.kernels import built, guest, initramfs, packages
from tests.kernels.packages import SUITES, Kernel, LabError

LABEL = "7-lockdep"
RELEASE = "7.3.4-lockdep"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLABTRACE_KERNELS", str(tmp_path))
    return tmp_path


def put(cache: Path, config: str) -> dict[str, str]:
    """The files of a kernel in the cache that was built with a configuration of this digest."""
    root = cache / LABEL / "root"
    (root / "boot").mkdir(parents=True)
    (root / "boot" / f"vmlinuz-{RELEASE}").touch()
    (root / "usr" / "src" / f"linux-headers-{RELEASE}").mkdir(parents=True)
    note = {"release": RELEASE, "config": config}
    (cache / LABEL / "kernel.json").write_text(json.dumps(note))
    return note


def test_settings_that_kconfig_did_not_take_are_named() -> None:
    wanted = '# a comment\nCONFIG_SMP=y\nCONFIG_NR_CPUS=8\nCONFIG_PREEMPT=y\nCONFIG_LOCALVERSION="-x"\n'
    config = 'CONFIG_SMP=y\nCONFIG_NR_CPUS=64\n# CONFIG_PREEMPT is not set\nCONFIG_LOCALVERSION="-x"\n'
    assert built.unmet(wanted, config) == ["CONFIG_NR_CPUS=8", "CONFIG_PREEMPT=y"]
    assert built.unmet(wanted, wanted) == []


def test_every_line_of_a_configuration_is_a_setting_or_a_comment() -> None:
    for label in built.BUILT:
        lines = built.config_of(label).read_text().splitlines()
        settings = [line for line in lines if not line.startswith("# ")]
        assert [line for line in settings if not re.fullmatch(r'CONFIG_[A-Z0-9_]+=(y|\d+|".+")', line)] == []
        names = [line.partition("=")[0] for line in settings]
        assert len(names) == len(set(names))


def test_the_kernel_with_lockdep_proves_locks_and_preempts_tasks() -> None:
    settings = built.config_of(LABEL).read_text().splitlines()
    assert {f"CONFIG_{name}=y" for name in ("PROVE_LOCKING", "DEBUG_LOCK_ALLOC", "PREEMPT")} <= set(settings)


def test_a_kernel_is_tested_by_default_only_once_it_is_built(cache: Path) -> None:
    assert built.by_default() == [*SUITES]
    put(cache, built._digest(LABEL))
    assert built.by_default() == [*SUITES, LABEL]
    (cache / LABEL / "root" / "boot" / f"vmlinuz-{RELEASE}").unlink()
    assert built.by_default() == [*SUITES]


def test_another_configuration_needs_another_build(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "of another configuration")
    assert LABEL not in built.by_default()
    made = []

    def make(label: str, folder: Path) -> dict[str, str]:
        made.append(label)
        shutil.rmtree(folder)
        return put(cache, built._digest(label))

    monkeypatch.setattr(built, "_make", make)
    for _ in range(2):
        assert built.obtain(LABEL).release == RELEASE
    assert made == [LABEL], "the second time it is in the cache"


def test_a_build_that_was_interrupted_goes_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def fetch_source(label: str, folder: Path, tree: Path) -> None:
        done.append("source")
        (tree / "include" / "config").mkdir(parents=True)
        (tree / "include" / "config" / "kernel.release").write_text(f"{RELEASE}\n")

    def make(self: built._Make, *targets: str) -> None:
        done.append(targets[0])
        if done.count("bzImage") == 1:
            raise LabError("the power went out")

    def install(make: built._Make, tree: Path, root: Path, release: str) -> None:
        put(cache, "not yet known")

    monkeypatch.setattr(built, "_fetch_source", fetch_source)
    monkeypatch.setattr(built, "_fetch_pahole", lambda label, tools: tools.mkdir())
    monkeypatch.setattr(built, "_configure", lambda make, settings, tree: done.append("configure"))
    monkeypatch.setattr(built, "_install", install)
    monkeypatch.setattr(built._Make, "__call__", make)
    with pytest.raises(LabError, match="the power went out"):
        built.obtain(LABEL)
    assert built.by_default() == [*SUITES]
    assert built.obtain(LABEL).release == RELEASE
    assert done == ["source", "configure", "bzImage", "bzImage"]
    assert built.by_default() == [*SUITES, LABEL]
    left = {each.name for each in (cache / LABEL).iterdir()}
    assert left == {"root", "kernel.json"}, "the source is not kept"


def test_a_kernel_of_debian_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "obtain", lambda label: Kernel(label, "6.12.1", Path()))
    assert built.obtain("6.12").release == "6.12.1"


def test_a_build_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("good:\n\techo $(PAHOLE)\nbad:\n\techo a very last word\n\tfalse\n")
    make = built._Make(tmp_path, tmp_path / "build.log", Path("/its/pahole"))
    make("good")
    assert "/its/pahole" in (tmp_path / "build.log").read_text()
    with pytest.raises(LabError, match=r"make bad failed; the end of .*build\.log:\n(.|\n)*a very last word"):
        make("bad")


def test_a_kernel_without_modules_has_an_initramfs_without_them(tmp_path: Path) -> None:
    assert initramfs.ordered_modules(Kernel(LABEL, RELEASE, tmp_path)) == {}


@pytest.mark.parametrize(
    "words",
    [
        "WARNING: possible circular locking dependency detected",
        "WARNING: suspicious RCU usage",
        "BUG: Invalid wait context ]",
        "BUG: sleeping function called from invalid context at mm/slab.h:1",
        "INFO: trying to register non-static key.",
    ],
)
def test_a_complaint_of_lockdep_is_a_row(tmp_path: Path, words: str) -> None:
    (tmp_path / "console.log").write_text(f"[  9.0] [ {words}\n[  9.1] INFO: lockdep is fine\n")
    assert guest._outcome(tmp_path, 7.0, "").complaints == [words]
