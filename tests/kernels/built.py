# SPDX-License-Identifier: Apache-2.0
"""Kernels that no package has: built from Debian's linux-source once, and kept in the lab's cache.

CACHE/LABEL/root then has the files that Debian's packages would have.  LABEL.config says what the kernel
has besides the smallest configuration; everything is built in.  A kernel is built again if that changes.
CACHE/LABEL/build.log is what the build printed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kernels import packages
from tests.kernels.packages import NOTE, SUITES, Apt, Kernel, LabError, cache_folder, own_libraries

# The Debian suites of the source, as in packages.SUITES.
BUILT = {"7-lockdep": ("trixie-backports", "trixie")}
LABELS = (*SUITES, *BUILT)
_SOURCE = re.compile(r"linux-source-\d\S*")
# The host's pahole may be too old for this kernel's BTF.
_PAHOLE = re.compile(r"pahole|lib(c6|gcc-s1|bpf1|dw1(t64)?|elf1(t64)?|bz2-1\.0|lzma5|zstd1)|zlib1g")
_SETTING = re.compile(r"CONFIG_\w+=.*")
_LONGEST_S = 4 * 3600  # beside other work it took two hours
_HEADERS = "$(srctree)/scripts/package/install-extmod-build"  # what a package of headers holds


def config_of(label: str) -> Path:
    """The settings of a kernel that the lab builds."""
    return Path(__file__).with_name(f"{label.partition('-')[2]}.config")


def by_default() -> list[str]:
    """The labels that are tested where none is named: those that need no build."""
    return [*SUITES, *(label for label in BUILT if _is_current(label) and packages.kept(label))]


def obtain(label: str) -> Kernel:
    """The kernel with that label, fetched or built if it has to be.  Raises LabError."""
    if label not in BUILT:
        return packages.obtain(label)
    if not _is_current(label):
        (cache_folder() / label / NOTE).unlink(missing_ok=True)  # of another configuration
    return packages.obtain(label, _make)


def unmet(wanted: str, config: str) -> list[str]:
    """The settings of `wanted` that a .config has not: kconfig ignores what it does not know or allow."""
    has = set(config.splitlines())
    return [line for line in wanted.splitlines() if _SETTING.fullmatch(line) and line not in has]


def _digest(label: str) -> str:
    return hashlib.sha256(config_of(label).read_bytes()).hexdigest()[:16]


def _is_current(label: str) -> bool:
    note = cache_folder() / label / NOTE
    return note.exists() and _digest(label) in note.read_text()


def _make(label: str, folder: Path) -> dict[str, str]:
    """Build a kernel; a build that was interrupted goes on where it was."""
    sys.stderr.write(f"{label}: building a kernel; {folder}/build.log says how far it is\n")
    begun, tree = folder / f"config-{_digest(label)}", folder / "tree"
    make = _Make(tree, folder / "build.log", folder / "tools" / "usr" / "bin" / "pahole")
    if not begun.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _fetch_source(label, folder, tree)
        _fetch_pahole(label, folder / "tools")
        _configure(make, config_of(label), tree)
        begun.touch()
    make("bzImage", "modules")
    release = (tree / "include" / "config" / "kernel.release").read_text().strip()
    _install(make, tree, folder / "root", release)
    begun.unlink()
    for each in (tree, folder / "tools"):
        shutil.rmtree(each)
    return {"release": release, "config": _digest(label)}


def _configure(make: _Make, settings: Path, tree: Path) -> None:
    make(f"KCONFIG_ALLCONFIG={settings}", "allnoconfig")
    if lines := unmet(settings.read_text(), (tree / ".config").read_text()):
        raise LabError(f"this source has no such settings, or they need others: {', '.join(lines)}")


def _fetch_source(label: str, folder: Path, tree: Path) -> None:
    """Debian's newest source of these suites, with its patches."""
    apt = Apt(folder / "apt", BUILT[label])
    apt.update()
    apt.unpacked(apt.needed(["linux-source"], _SOURCE), folder / "source")
    (packed,) = folder.glob("source/usr/src/linux-source-*.tar.xz")
    tree.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", tree, "--strip-components=1"], check=True)
    for each in (apt.folder, folder / "source"):
        shutil.rmtree(each)


def _fetch_pahole(label: str, tools: Path) -> None:
    apt = Apt(tools / "apt", BUILT[label])
    apt.update()
    apt.unpacked(apt.needed(["pahole"], _PAHOLE), tools)
    own_libraries(tools, [tools / "usr" / "bin" / "pahole"])


class _Make:
    """make in a kernel's source."""

    def __init__(self, tree: Path, log: Path, pahole: Path) -> None:
        self._log = log
        self._argv = ["make", "-C", str(tree), f"-j{os.cpu_count() or 1}", f"PAHOLE={pahole}"]

    def __call__(self, *targets: str) -> None:
        """Make these.  Raises LabError with the end of the log."""
        with self._log.open("ab") as log:
            done = subprocess.run([*self._argv, *targets], stdout=log, stderr=log, timeout=_LONGEST_S)
        if done.returncode:
            last = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise LabError(f"make {' '.join(targets)} failed; the end of {self._log}:\n{last}")


def _install(make: _Make, tree: Path, root: Path, release: str) -> None:
    """Put the image and the folder that modules are built against where Debian's packages have them."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "boot").mkdir(parents=True)
    shutil.copy(tree / "arch" / "x86" / "boot" / "bzImage", root / "boot" / f"vmlinuz-{release}")
    headers = root / "usr" / "src" / f"linux-headers-{release}"
    make(f"KBUILD_RUN_COMMAND={_HEADERS} {headers}", "run-command")
