# SPDX-License-Identifier: Apache-2.0
"""Debian's generic kernels, fetched into a cache of the lab's own and never installed.

Packages come from the mirror the machine's own apt uses, through a sources list and a lists folder
apart from the machine's.  What one kernel needs lies in CACHE/LABEL/root once CACHE/LABEL/kernel.json
is there; no network is used from then on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

# The suite that carries each kernel, and those that complete it.
SUITES = {
    "5.10": ("bullseye",),
    "6.1": ("bookworm",),
    "6.12": ("trixie",),
    "7": ("trixie-backports", "trixie"),
}
_METAPACKAGES = ("linux-image-amd64", "linux-headers-amd64")
_KERNEL_PACKAGE = re.compile(r"linux-(image|binary|modules|headers|kbuild)-\d\S*")
# What the programs of linux-kbuild are linked with; the host's may be older.
_LIBRARY = re.compile(r"libc6|libelf1(t64)?|zlib1g|libzstd1")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_NOTE = "kernel.json"  # written last
# Of the thousands of modules, a guest loads virtio, 9p and overlayfs.
_MODULE_FOLDERS = ("drivers/virtio", "net/9p", "fs", "lib", "crypto")


class LabError(Exception):
    """The lab cannot do its work; the text says why and what to do."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that is unpacked: `release` as `uname -r` prints it, `root` holds its packages' files."""

    label: str
    release: str
    root: Path

    @property
    def image(self) -> Path:
        """The bzImage; from 7.x on it lies beside the modules."""
        places = [
            self.root / "boot" / f"vmlinuz-{self.release}",
            *self.root.glob("usr/lib/modules/*/vmlinuz"),
        ]
        return next(place for place in places if place.exists())

    def modules(self) -> dict[str, Path]:
        """{name: file} of the modules unpacked."""
        files = self.root.glob("**/lib/modules/*/kernel/**/*.ko*")
        return {file.name.partition(".ko")[0].replace("-", "_"): file for file in files}

    @property
    def headers(self) -> Path:
        """The folder to build modules in."""
        return self.root / "usr" / "src" / f"linux-headers-{self.release}"


def cache_folder() -> Path:
    """Where kernels are kept: SLABTRACE_KERNELS, else under the user's cache."""
    own = os.environ.get("SLABTRACE_KERNELS")
    if own:
        return Path(own).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slabtrace-kernels"


def obtain(label: str) -> Kernel:
    """The kernel of that label, fetched if it is not there yet, or not whole."""
    folder = cache_folder() / label
    kernel = _kept(label, folder)
    if kernel is None:
        shutil.rmtree(folder, ignore_errors=True)
        content = _fetch(label, folder)
        (folder / _NOTE).write_text(json.dumps(content))
        kernel = Kernel(label, content["release"], folder / "root")
    return kernel


def _kept(label: str, folder: Path) -> Kernel | None:
    """What the cache has; None for nothing, or for something broken."""
    try:
        kernel = Kernel(label, json.loads((folder / _NOTE).read_text())["release"], folder / "root")
        return kernel if kernel.image.exists() and kernel.headers.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _fetch(label: str, folder: Path) -> dict[str, str]:
    apt = _Apt(folder / "apt", SUITES[label])
    apt.update()
    packages = apt.needed()
    for deb in apt.download(packages):
        _unpack(deb, folder / "root")
    shutil.rmtree(apt.folder)
    release = next(name for name in packages if name.startswith("linux-image-")).removeprefix("linux-image-")
    _relocate_headers(folder / "root", release)
    _bring_libraries(folder / "root")
    return {"release": release}


def _unpack(deb: Path, root: Path) -> None:
    """Unpack a package, of the modules only what guests load."""
    root.mkdir(exist_ok=True)
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    wanted = re.compile(rf"/kernel/(?!({'|'.join(_MODULE_FOLDERS)})/)")
    with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
        files.extractall(root, (file for file in files if not wanted.search(file.name)), filter="tar")
    if archive.wait():
        raise LabError(f"{deb.name} cannot be unpacked")


def _relocate_headers(root: Path, release: str) -> None:
    """The makefiles of Debian's headers name each other by absolute paths."""
    for makefile in (root / "usr" / "src" / f"linux-headers-{release}").glob("**/Makefile"):
        if not makefile.is_symlink():
            text = makefile.read_text()
            makefile.write_text(re.sub(r"(?<=[ =])/usr/src/", f"{root}/usr/src/", text))


_WRAPPER = """\
#!/bin/sh
exec {loader} --library-path {libraries} $0.elf "$@"
"""


def _bring_libraries(root: Path) -> None:
    """Let objtool and modpost run with the libraries of their own suite."""
    loader = next(root.glob("**/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
    folders = {str(file.parent) for file in root.glob("**/x86_64-linux-gnu/*.so.*")}
    text = _WRAPPER.format(loader=loader, libraries=":".join(sorted(folders)))
    for program in [*root.glob("**/objtool.real-x86"), *root.glob("**/modpost.real-lsb-64")]:
        program.rename(program.with_name(program.name + ".elf"))
        program.write_text(text)
        program.chmod(0o755)


def mirror() -> str:
    """The address of the Debian archive in the machine's own apt configuration."""
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]).split()
    override = os.environ.get("SLABTRACE_MIRROR")
    found = [uri for uri in targets if uri.rstrip("/").endswith("/debian")]
    if not (override or found):
        raise LabError("apt knows no Debian archive here; set SLABTRACE_MIRROR=http://…/debian")
    return override or found[0]


class _Apt:
    """apt-get and apt-cache with nothing of the machine's but its keys and its mirror."""

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
            # a suite that has moved to the archive is not signed anew
            "-oAcquire::Check-Valid-Until=false",
        ]

    def update(self) -> None:
        """Fetch the list of packages."""
        _run(["apt-get", *self._options, "-q", "update"])

    def needed(self) -> list[str]:
        """The kernel's own packages, and libraries, among all that the metapackages depend on."""
        shown = _run(["apt-cache", *self._options, "depends", "--recurse", "--important", *_METAPACKAGES])
        names = {line for line in shown.splitlines() if not line.startswith(" ")}
        return sorted(n for n in names if _KERNEL_PACKAGE.fullmatch(n) or _LIBRARY.fullmatch(n))

    def download(self, packages: list[str]) -> list[Path]:
        """Download packages; apt checks their signatures."""
        _run(["apt-get", *self._options, "-q", "download", *packages], self.folder / "debs")
        return sorted((self.folder / "debs").glob("*.deb"))


def _run(argv: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise LabError(f"{argv[0]} failed: {done.stderr.strip()}")
    return done.stdout
