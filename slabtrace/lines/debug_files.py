# SPDX-License-Identifier: Apache-2.0
"""Where the debug information of a module is: in files and folders that were given, where distributions
install it, or on a debuginfod server that was given.

Only a file with the recorded build id counts.  Names and build ids from the trace become parts of paths only
if they are plain (_PLAIN, _BUILD_ID).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from slabtrace.analysis.names.modules import Module, Modules
from slabtrace.errors import DebugInfoError
from slabtrace.lines.debuginfod import SCHEMES, Server
from slabtrace.lines.elf import Elf, read_elf

KERNEL = "vmlinux"
MOST_ENTRIES = 2_000_000  # of a folder and all below it; a kernel that was built in place has 200,000
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~-]{0,127}")
_BUILD_ID = re.compile(r"(?:[0-9a-f]{2}){4,64}")
_DEBUG_FILE = re.compile(r"(?:(?P<module>.+)\.ko(?:\.debug)?|(?P<kernel>vmlinux(?:-.*)?(?:\.debug)?))")
USUAL = (  # for folders that distributions use; RELEASE: as `uname -r` prints it
    "usr/lib/debug/lib/modules/RELEASE",
    "usr/lib/debug/usr/lib/modules/RELEASE",
    "usr/lib/modules/RELEASE",
)
USUAL_KERNELS = (
    "usr/lib/debug/boot/vmlinux-RELEASE",
    "boot/vmlinux-RELEASE",
    "lib/modules/RELEASE/build/vmlinux",
)
BUILD_IDS = "usr/lib/debug/.build-id"


class Found(NamedTuple):
    """The debug information of a module, or why there is none."""

    elf: Elf | None
    reason: str = ""


class DebugFiles:
    """Finds debug information.

    `places`: paths of files and folders, URLs of servers.  `modules`: those of the trace; `release`: its
    kernel's; `fetching`: called with each URL that a server is asked for; `root`: what the usual folders are
    in.  Raises DebugInfoError for a place that does not exist,
    and for a file that is of no module of the trace, or has no lines.
    """

    def __init__(
        self,
        places: Sequence[str],
        modules: Modules,
        release: str,
        fetching: Callable[[str], None] | None = None,
        root: Path = Path("/"),
    ) -> None:
        self._servers = [Server(place, fetching=fetching) for place in places if is_url(place)]
        paths = [_existing(place) for place in places if not is_url(place)]
        self._files = {elf.build_id: elf for elf in (_checked(p, modules) for p in paths if not p.is_dir())}
        self._folders = [_Folder(path) for path in paths if path.is_dir()]
        self._release, self._root = release, root

    def find(self, module: Module) -> Found:
        """The debug information of `module`.  Raises DebugInfoError where a server fails."""
        if not module.build_id:
            return Found(None, "no build id was recorded")
        if not _BUILD_ID.fullmatch(module.build_id):
            return Found(None, "its build id is not a number")
        if module.build_id in self._files:
            return Found(self._files[module.build_id])
        seen: list[Elf] = []
        for elf in self._candidates(module):
            if elf.build_id == module.build_id and elf.has_lines:
                return Found(elf)
            seen.append(elf)
        return self._fetched(module) or Found(None, _reason(module, seen))

    def _candidates(self, module: Module) -> Iterator[Elf]:
        """ELF files that may be it: by build id, then by name; first where the user said."""
        for folder in [*self._folders, *self._usual]:
            yield from _readable(folder.candidates(module))
        if not module.name and self._is_plain:
            yield from _readable(self._usual_path(each) for each in USUAL_KERNELS)

    @cached_property
    def _usual(self) -> list[_Folder]:
        folders = [self._root / "usr/lib/debug"]
        named = [self._usual_path(each) for each in USUAL] if self._is_plain else []
        return [_Folder(folders[0], walked=False), *(_Folder(each) for each in named)]

    @property
    def _is_plain(self) -> bool:
        return _PLAIN.fullmatch(self._release) is not None

    def _usual_path(self, pattern: str) -> Path:
        return self._root / pattern.replace("RELEASE", self._release)

    def _fetched(self, module: Module) -> Found | None:
        for server in self._servers:
            path = server.fetch(module.build_id)
            elf = None if path is None else read_elf(path)
            if elf is not None and elf.has_lines:
                return Found(elf)
        return None


class _Folder:
    """A folder with debug information: by build id, or (`walked`) in files called as their modules."""

    def __init__(self, path: Path, walked: bool = True) -> None:
        self._path, self._walked = path, walked

    def candidates(self, module: Module) -> Iterator[Path]:
        """Files that may be of `module`."""
        build_id = module.build_id
        name = f"{build_id[:2]}/{build_id[2:]}.debug"
        yield from (self._path / ".build-id" / name, self._path / name)
        if self._walked:
            yield from self._by_name.get(plain_name(module.name), [])

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Debug files and modules anywhere below, by the name of the module; links are not followed."""
        found: dict[str, list[Path]] = {}
        entries = 0
        for folder, below, names in os.walk(self._path):
            entries += len(below) + len(names)
            if entries > MOST_ENTRIES:
                raise DebugInfoError(
                    f"{self._path} has more than {MOST_ENTRIES:,} files", "Give a folder with less in it."
                )
            for name in names:
                if match := _DEBUG_FILE.fullmatch(name):
                    found.setdefault(plain_name(match["module"] or ""), []).append(Path(folder, name))
        return found


def is_url(place: str) -> bool:
    """Whether a place is the URL of a server."""
    return place.startswith(SCHEMES)


def plain_name(module: str) -> str:
    """A module's name as the kernel writes it; files may have dashes in it."""
    return module.replace("-", "_")


def _existing(place: str) -> Path:
    try:
        path = Path(place).expanduser()
        path.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~NAME of nobody
        raise DebugInfoError(
            f"--lines: {place} cannot be read: {getattr(error, 'strerror', None) or error}",
            "Give a vmlinux, a .ko or .debug file, a folder of them, or the URL of a debuginfod server.",
        ) from None
    return path.absolute()


def _checked(path: Path, modules: Modules) -> Elf:
    """The file, which is of the kernel or a module of the trace."""
    try:
        elf = Elf(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DebugInfoError(f"--lines: {path} cannot be used: {reason}", _GIVE) from None
    if not elf.build_id:
        raise DebugInfoError(f"--lines: {path} has no build id, so nothing shows what it is of", _GIVE)
    if all(elf.build_id != module.build_id for module in modules):
        raise DebugInfoError(f"--lines: {path} is of another build: {_recorded(path, elf, modules)}", _GIVE)
    if not elf.has_lines:
        raise DebugInfoError(f"--lines: {path} is of the right build, but has no debug info", _GIVE)
    return elf


_GIVE = "Give the debug info of the recorded build: `slabtrace info --json` lists its build ids."


def _recorded(path: Path, elf: Elf, modules: Modules) -> str:
    """The build id of a file beside the one that was recorded."""
    match = _DEBUG_FILE.fullmatch(path.name)
    name = plain_name(match["module"]) if match and match["module"] else ""
    known = [module.build_id or "none" for module in modules if module.name == name]
    what = f"of the module {name}" if name else "of the kernel"
    if not known:
        return f"its build id is {elf.build_id}, and the trace has no build id {what}"
    return f"its build id is {elf.build_id}, the recorded one {what} is {known[-1]}"


def _readable(paths: Iterable[Path]) -> Iterator[Elf]:
    return (elf for elf in map(read_elf, paths) if elf is not None)


def _reason(module: Module, seen: Sequence[Elf]) -> str:
    """Why none of the files `seen` has lines of the module."""
    if any(elf.build_id == module.build_id for elf in seen):
        return "its file has no debug info"
    if any(elf.has_lines for elf in seen):
        return "the debug info that was found is of another build"
    return "no debug info was found"
