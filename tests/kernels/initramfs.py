# SPDX-License-Identifier: Apache-2.0
"""The initramfs of a guest: busybox, the modules that a root over 9p needs, and the lab's init.sh.

It is made once for each kernel, and again when init.sh or this file has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.kernels.packages import Kernel, LabError

HERE = Path(__file__).parent
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_BUSYBOX = Path("/bin/busybox")
_COMPRESSED = {".xz": lzma.decompress, ".gz": gzip.decompress}


def obtain(kernel: Kernel) -> Path:
    """The initramfs of a kernel, beside it in the cache.  Raises LabError where busybox is missing."""
    if not _BUSYBOX.exists():
        raise LabError("busybox is missing: apt install busybox-static")
    sources = (_BUSYBOX, HERE / "init.sh", Path(__file__))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    place = kernel.root.parent / f"initramfs-{digest}"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            packed = _build(kernel, Path(folder))
            os.replace(packed, place)  # two guests may make it at the same time
    return place


def _build(kernel: Kernel, folder: Path) -> Path:
    tree = folder / "tree"
    for name in ("bin", "modules", "proc", "sys", "dev", "host", "over", "new"):
        (tree / name).mkdir(parents=True)
    shutil.copy(_BUSYBOX, tree / "bin")
    shutil.copy(HERE / "init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    for number, content in enumerate(ordered_modules(kernel).values()):
        (tree / "modules" / f"{number:02}.ko").write_bytes(content)
    _pack(tree, folder / "packed")
    return folder / "packed"


def ordered_modules(kernel: Kernel) -> dict[str, bytes]:
    """{name: uncompressed module}, each after those it depends on, without those that are built in."""
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
