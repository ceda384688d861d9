# SPDX-License-Identifier: Apache-2.0
"""Compile what guests run: the workload, the module against a kernel's headers, and slabtrace's bytecode."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kernels.packages import Kernel, LabError, cache_folder

HERE = Path(__file__).parent
MODULE = "slabtrace_faults"


def leaver() -> Path:
    """tests/live/leaver.c, compiled.  Raises LabError."""
    program = cache_folder() / "leaver"
    source = HERE.parent / "live" / "leaver.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        _run(["gcc", "-O2", "-o", str(program), str(source)])
    return program


def module(kernel: Kernel) -> Path:
    """module/slabtrace_faults.c for a kernel; built again when its source has changed.  Raises LabError.

    The host's gcc is not the kernel's compiler; kbuild only warns about that.  module/cc leaves out the
    options that the host's gcc does not know.
    """
    sources = sorted((HERE / "module").iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = kernel.root.parent / f"module-{digest}"
    built = folder / f"{MODULE}.ko"
    if not built.exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / "module", folder)
        # without BTF, which would need pahole and a vmlinux
        flags = [f"M={folder}", f"CC={folder}/cc", "CONFIG_DEBUG_INFO_BTF_MODULES="]
        _run(["make", "-s", "-C", str(kernel.headers), *flags, "modules"])
    return built


def lttng(kernel: Kernel) -> Path | None:
    """A folder with LTTng's modules for a kernel; None: they cannot be built for it.

    Of Debian's lttng-modules-dkms.  The probe of kmem needs a whole source tree since 6.0.  A probe that does
    not compile, as that of timers, is left out (make -k).
    """
    place = kernel.root.parent / "lttng"
    if not place.exists():
        source = _lttng_source(kernel.root.parent / "lttng-source")
        flags = [f"KERNELDIR={kernel.headers}", f"CC={HERE}/module/cc", "CONFIG_DEBUG_INFO_BTF_MODULES="]
        subprocess.run(["make", "-k", "-s", *flags], cwd=source, capture_output=True, check=False)
        place.mkdir()
        for built in source.rglob("*.ko"):
            shutil.copy(built, place)
    return place if (place / "lttng-probe-kmem.ko").exists() else None


def _lttng_source(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _run(["apt-get", "-q", "download", "lttng-modules-dkms"], folder)
    (package,) = folder.glob("*.deb")
    _run(["dpkg-deb", "-x", str(package), str(folder)])
    return next(folder.glob("usr/src/lttng-modules-*"))


@functools.cache
def bytecode(tree: Path) -> None:
    """Compile slabtrace's Python files beside them, as the owner of the tree.

    Guests would do it themselves, each time and ten times slower.  Where it cannot be done, they do.
    """
    argv = [sys.executable, "-m", "compileall", "-q", "slabtrace", "tests/kernels"]
    other = os.geteuid() == 0 and tree.stat().st_uid != 0
    user, group = (tree.stat().st_uid, tree.stat().st_gid) if other else (None, None)
    subprocess.run(argv, cwd=tree, check=False, capture_output=True, user=user, group=group)


def _run(argv: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        raise LabError(f"{' '.join(argv[:2])} failed:\n{done.stderr.strip()}")
