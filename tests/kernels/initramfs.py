# SPDX-License-Identifier: Apache-2.0
"""The initramfs of a guest: busybox, the modules for a root over 9p, and an init of our own."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from pathlib import Path

from tests.kernels.packages import Kernel, LabError

HERE = Path(__file__).parent
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_BUSYBOX = Path("/bin/busybox")
_COMPRESSED = {".xz": lzma.decompress, ".gz": gzip.decompress}


def build(kernel: Kernel, place: Path) -> Path:
    """Write the initramfs of a kernel as `place`; returns it."""
    if not _BUSYBOX.exists():
        raise LabError("busybox is missing: apt install busybox-static")
    tree = place.with_suffix(".d")
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "modules", "proc", "sys", "dev", "host", "over", "new"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(_BUSYBOX, tree / "bin")
    shutil.copy(HERE / "init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    modules = ordered_modules(kernel)
    for number, content in enumerate(modules.values()):
        (tree / "modules" / f"{number:02}.ko").write_bytes(content)
    _pack(tree, place)
    shutil.rmtree(tree)
    return place


def ordered_modules(kernel: Kernel) -> dict[str, bytes]:
    """{name: module, uncompressed}, each after those it depends on; what is built in is left out."""
    files, found = kernel.modules(), {}

    def add(name: str) -> None:
        if name in found or name not in files:
            return
        content = files[name].read_bytes()
        content = _COMPRESSED.get(files[name].suffix, bytes)(content)
        match = _DEPENDS.search(content)
        for other in match[1].decode().split(",") if match else ():
            add(other.replace("-", "_"))
        found[name] = content

    for name in _MODULES:
        add(name)
    return found


def _pack(tree: Path, place: Path) -> None:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    argv = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
    done = subprocess.run(argv, cwd=tree, input="\n".join(names).encode(), capture_output=True, check=True)
    place.write_bytes(done.stdout)
