# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels (generic and real-time), fetched into the lab's own cache and never installed.

Packages come from the mirror that the machine's apt uses, with a sources list and package lists of the
lab's own.  A kernel's files are in CACHE/LABEL/root.  CACHE/LABEL/kernel.json is written last; once it
exists, that kernel needs no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

# The Debian suite of each version, and those it depends on.
_VERSIONS = {
    "5.10": ("bullseye",),
    "6.1": ("bookworm",),
    "6.12": ("trixie",),
    "7": ("trixie-backports", "trixie"),
}
GENERIC = tuple(_VERSIONS)
FLAVOURS = ("rt",)  # PREEMPT_RT; the cloud kernels have no 9p, by which guests get their root file system
SUITES = _VERSIONS | {
    f"{version}-{flavour}": suites for version, suites in _VERSIONS.items() for flavour in FLAVOURS
}
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary|modules|headers|kbuild)-\d\S*")
# The programs of linux-kbuild are linked with these libraries; the host's may be older.
_LIBRARY = re.compile(r"libc6|libelf1(t64)?|zlib1g|libzstd1")
_CHOSEN = re.compile(f"{_KERNEL_PACKAGE.pattern}|{_LIBRARY.pattern}")
Make = Callable[[str, Path], dict[str, str]]  # of a label and its folder; returns what the note holds
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NOTE = "kernel.json"  # written last
# A guest loads virtio, 9p and overlayfs; the thousands of other modules are not unpacked.
_MODULE_FOLDERS = ("drivers/virtio", "net/9p", "fs", "lib", "crypto")


class LabError(Exception):
    """The lab cannot work.  The text says why and what to do."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel.  `release`: as `uname -r` prints it.  `root`: the folder of its packages' files."""

    label: str
    release: str
    root: Path

    @property
    def image(self) -> Path:
        """The bzImage.  From 7.x on it is beside the modules."""
        places = [
            self.root / "boot" / f"vmlinuz-{self.release}",
            *self.root.glob("usr/lib/modules/*/vmlinuz"),
        ]
        return next(place for place in places if place.exists())

    def modules(self) -> dict[str, Path]:
        """{name: file} of the unpacked modules."""
        files = self.root.glob("**/lib/modules/*/kernel/**/*.ko*")
        return {file.name.partition(".ko")[0].replace("-", "_"): file for file in files}

    @property
    def headers(self) -> Path:
        """The kernel's build folder for modules."""
        return self.root / "usr" / "src" / f"linux-headers-{self.release}"


def cache_folder() -> Path:
    """The cache: SLABTRACE_KERNELS, else slabtrace-kernels in the user's cache folder."""
    own = os.environ.get("SLABTRACE_KERNELS")
    if own:
        return Path(own).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slabtrace-kernels"


def obtain(label: str, make: Make | None = None) -> Kernel:
    """The kernel with that label.  Fetches or makes it if it is missing or incomplete.  Raises LabError."""
    folder = cache_folder() / label
    kernel = kept(label)
    if kernel is None:
        content = (make or _fetch)(label, folder)
        (folder / NOTE).write_text(json.dumps(content))
        kernel = Kernel(label, content["release"], folder / "root")
    return kernel


def kept(label: str) -> Kernel | None:
    """The kernel in the cache; None if it is missing or incomplete."""
    folder = cache_folder() / label
    try:
        kernel = Kernel(label, json.loads((folder / NOTE).read_text())["release"], folder / "root")
        return kernel if kernel.image.exists() and kernel.headers.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _fetch(label: str, folder: Path) -> dict[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    apt = Apt(folder / "apt", SUITES[label])
    apt.update()
    flavour = f"{label.partition('-')[2]}-amd64".removeprefix("-")
    packages = apt.needed([f"linux-{each}-{flavour}" for each in ("image", "headers")], _CHOSEN)
    apt.unpacked(packages, folder / "root")
    shutil.rmtree(apt.folder)
    release = next(name for name in packages if name.startswith("linux-image-")).removeprefix("linux-image-")
    _relocate_headers(folder / "root", release)
    root = folder / "root"
    own_libraries(root, [*root.glob("**/objtool.real-x86"), *root.glob("**/modpost.real-lsb-64")])
    return {"release": release}


def _unpack(deb: Path, root: Path) -> None:
    """Unpack a package, without the modules that guests do not load."""
    root.mkdir(exist_ok=True)
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    wanted = re.compile(rf"/kernel/(?!({'|'.join(_MODULE_FOLDERS)})/)")
    with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
        files.extractall(root, (file for file in files if not wanted.search(file.name)), filter="tar")
    if archive.wait():
        raise LabError(f"{deb.name} cannot be unpacked")


def _relocate_headers(root: Path, release: str) -> None:
    """Make the absolute paths in the makefiles of Debian's headers point into `root`."""
    for makefile in (root / "usr" / "src" / f"linux-headers-{release}").glob("**/Makefile"):
        if not makefile.is_symlink():
            text = makefile.read_text()
            makefile.write_text(re.sub(r"(?<=[ =])/usr/src/", f"{root}/usr/src/", text))


_WRAPPER = """\
#!/bin/sh
exec {loader} --library-path {libraries} $0.elf "$@"
"""


def own_libraries(root: Path, programs: Iterable[Path]) -> None:
    """Make programs run with the libraries of their own suite, which are unpacked in `root`."""
    loader = next(root.glob("**/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
    folders = {str(file.parent) for file in root.glob("**/x86_64-linux-gnu/*.so.*")}
    text = _WRAPPER.format(loader=loader, libraries=":".join(sorted(folders)))
    for program in programs:
        program.rename(program.with_name(program.name + ".elf"))
        program.write_text(text)
        program.chmod(0o755)


def mirror() -> str:
    """The address of the Debian archive: SLABTRACE_MIRROR, else from the machine's apt.  Raises LabError."""
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).split()
    override = os.environ.get("SLABTRACE_MIRROR")
    found = [uri for uri in targets if uri.rstrip("/").endswith("/debian")]
    if not (override or found):
        raise LabError("apt knows no Debian archive here; set SLABTRACE_MIRROR=http://…/debian")
    return override or found[0]


class Apt:
    """apt-get and apt-cache with the lab's own configuration, and the machine's keys and mirror."""

    def __init__(self, folder: Path, suites: tuple[str, ...]) -> None:
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial", "debs"):
            (folder / part).mkdir(parents=True)
        signed = f" signed-by={_KEYRING}" if _KEYRING.exists() else ""
        source = f"deb [arch=amd64{signed}] {mirror()}"
        (folder / "sources.list").write_text("".join(f"{source} {suite} main\n" for suite in suites))
        (folder / "status").touch()
        self._options = [
            f"-oDir::Etc::sourcelist={folder}/sources.list",
            "-oDir::Etc::sourceparts=/dev/null",
            f"-oDir::State={folder}",
            f"-oDir::State::status={folder}/status",
            f"-oDir::Cache={folder}/cache",
            "-oAPT::Architecture=amd64",
            f"-oAPT::Default-Release={suites[0]}",
            "-oAPT::Sandbox::User=",
            "-oAcquire::Languages=none",
            # Debian does not sign a suite again after it has moved to the archive
            "-oAcquire::Check-Valid-Until=false",
        ]

    def update(self) -> None:
        """Fetch the list of packages."""
        _run(["apt-get", *self._options, "-q", "update"])

    def needed(self, packages: list[str], chosen: re.Pattern[str]) -> list[str]:
        """The names that match `chosen`, of these packages and all that they depend on."""
        shown = _run(["apt-cache", *self._options, "depends", "--recurse", "--important", *packages])
        return sorted({line for line in shown.splitlines() if chosen.fullmatch(line)})

    def unpacked(self, packages: list[str], root: Path) -> None:
        """Download packages, whose signatures apt checks, and unpack them in `root`."""
        place = self.folder / "debs"
        _run(["apt-get", *self._options, "-q", "download", *packages], place)
        for deb in sorted(place.glob("*.deb")):
            _unpack(deb, root)
            deb.unlink()


def _run(argv: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise LabError(f"{argv[0]} failed: {done.stderr.strip()}")
    return done.stdout
