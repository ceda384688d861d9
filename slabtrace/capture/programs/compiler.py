# SPDX-License-Identifier: Apache-2.0
"""Find bcc, compile bpf/slab.c with it, and turn its failures into errors with a cause and a remedy.

bcc is Debian's python3-bpfcc: pure Python over libbcc.so, installed for /usr/bin/python3 only.  Any CPython
can run it, so it is imported by its path, without the rest of Debian's dist-packages.  (The package `bcc`
on PyPI is another program.)
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from slabtrace.errors import CaptureError
from slabtrace.resources import bpf_dir

_DIST_PACKAGES = (
    Path("/usr/lib/python3/dist-packages/bcc"),
    Path("/usr/local/lib/python3/dist-packages/bcc"),
)
_INCLUDE = re.compile(r'^#include "(.+)"$', re.M)
_REFUSED_MAP = re.compile(r"could not open bpf map: (\w+), error: (.+)")  # libbcc's words
# What to do about a map that the kernel refuses, by strerror(3) of its reason
_REMEDIES = {
    os.strerror(
        errno.ENOMEM
    ): "memory is short, or limited by a cgroup: use a smaller --buffer, or --stacks none",
    os.strerror(errno.E2BIG): "this kernel allows no map as large: use a smaller --buffer",
    os.strerror(
        errno.EPERM
    ): "allow bpf(2): CAP_BPF, and in a container its seccomp profile; up to 5.10 also more "
    "locked memory (ulimit -l unlimited); under SELinux bpf { map_create map_read map_write }",
}
_OTHERWISE = "run `slabtrace doctor` to see what this machine allows"
_INSTALL = "install it: apt install python3-bpfcc (Debian, Ubuntu), python3-bcc (Fedora), python-bcc (Arch)"


def _candidates() -> Iterator[Path]:
    override = os.environ.get("SLABTRACE_BCC")
    if override:
        yield Path(override)
    yield from _DIST_PACKAGES
    for root in ("/usr/lib", "/usr/lib64"):
        yield from Path(root).glob("python3.*/site-packages/bcc")


def find_bcc() -> Path | None:
    """The folder of a bcc package that binds libbcc, or None.  SLABTRACE_BCC overrides the search."""
    for folder in _candidates():
        if (folder / "libbcc.py").exists():
            return folder
    return None


def import_bcc() -> ModuleType:
    """Import bcc from the folder that find_bcc finds.  Raises CaptureError if it is missing or broken."""
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    folder = find_bcc()
    if folder is None:
        raise CaptureError("bcc's Python package is not installed", _INSTALL)
    loader = SourceFileLoader("bcc", str(folder / "__init__.py"))
    spec = ModuleSpec("bcc", loader, origin=str(folder), is_package=True)
    spec.submodule_search_locations = [str(folder)]
    module = module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        loader.exec_module(module)
    except Exception as error:  # OSError if libbcc.so is missing, ImportError if files of the package are
        del sys.modules["bcc"]
        raise CaptureError(f"bcc in {folder} cannot be loaded: {error}", _INSTALL) from error
    return module


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Collect what libbcc and clang write to file descriptor 2 within the block; yields a list of lines."""
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            lines += sink.read().decode(errors="replace").splitlines()


def one_unit(source: Path) -> str:
    """The text of a C file with each #include "…" line replaced by that file, once, as cpp would.

    bcc rewrites map accesses in the main file only, so the headers must be part of it.
    """
    seen: set[Path] = set()

    def expand(path: Path) -> str:
        if path in seen:
            return ""
        seen.add(path)
        text = path.read_text().replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda match: expand(path.parent / match.group(1)), text)

    return expand(source)


def compile_bpf(defines: Mapping[str, int | str | None], source: str = "slab.c") -> Any:
    """Compile a file of bpf/ and return bcc's BPF object: maps are made, no program is loaded.

    `defines` become -D options; None defines a name without a value.  Raises CaptureError if the kernel
    refuses a map, or with the first error of clang.
    """
    bcc = import_bcc()
    folder = bpf_dir().resolve()
    # bcc needs kernel headers for its own prelude; this folder has what the prelude includes.
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "kernel-headers")
    flags = ["-Wno-unused-function"]
    flags += [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in defines.items()]
    lines: list[str] = []
    try:
        with captured_stderr() as lines:
            return bcc.BPF(text=one_unit(folder / source).encode(), cflags=flags)
    except (Exception, SystemExit) as error:
        raise _failure(lines, str(error)) from error


def _failure(lines: list[str], otherwise: str) -> CaptureError:
    """The error to raise for what bcc and clang wrote.  bcc makes the maps while it compiles."""
    for line in lines:
        if refused := _REFUSED_MAP.search(line):
            return CaptureError(
                f"the kernel cannot make the BPF map {refused[1]}: {refused[2]}",
                _REMEDIES.get(refused[2].strip(), _OTHERWISE),
            )
    complaint = next((line for line in lines if "error" in line), "") or otherwise
    return CaptureError(
        f"the BPF programs do not compile here: {complaint}",
        "bcc or its clang may be too old or broken; bcc 0.26 and later are known to work",
    )
