# SPDX-License-Identifier: Apache-2.0
"""Files and lines of addresses, from llvm-symbolizer or binutils' addr2line: one process for all of a file.

llvm-symbolizer is much faster with a whole kernel.  Of a module it does not know which section an address
is meant in, so modules need addr2line.  Neither may ask a server: that is debuginfod.py's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slabtrace.errors import DebugInfoError

TIMEOUT_S = 600.0  # addr2line needs a minute for a kernel on a slow disk
MOST_INLINED = 32  # locations of one address
LONGEST = 200  # characters of a name; paths keep their end
LLVM, BINUTILS = "llvm-symbolizer", "addr2line"
PACKAGES = "apt install binutils (or llvm, which is faster with a whole kernel but cannot read modules)"


class Location(NamedTuple):
    """A line of source, and the function it is in."""

    function: str
    file: str
    line: int


Locations = list[Location]  # of one address, the innermost inlined function first; empty: not known


def look_up(path: Path, section: str, addresses: Sequence[int]) -> list[Locations]:
    """The locations of each address in the ELF file `path`.

    `section`: of a module, the one that the addresses are offsets in; else "".  Raises DebugInfoError where
    no symbolizer is installed, or where it fails or takes longer than TIMEOUT_S.
    """
    if not section and shutil.which(LLVM):
        found = _by_llvm(path, addresses)
        if found is not None:
            return found
    if not shutil.which(BINUTILS):
        raise DebugInfoError(f"source lines need a symbolizer: {BINUTILS} is not installed", PACKAGES)
    return _by_binutils(path, section, addresses)


def check_installed() -> None:
    """Raise DebugInfoError if no symbolizer is installed."""
    if not (shutil.which(LLVM) or shutil.which(BINUTILS)):
        raise DebugInfoError(
            f"source lines need a symbolizer: neither {BINUTILS} nor {LLVM} is installed", PACKAGES
        )


def _by_llvm(path: Path, addresses: Sequence[int]) -> list[Locations] | None:
    """None where it cannot do it: it is older than LLVM 13, or it fails."""
    options = ["--output-style=JSON", "--no-demangle", "--inlines", f"--obj={path}"]
    status, output = _run([LLVM, *options], addresses)
    lines = output.splitlines()
    if status or len(lines) != len(addresses):
        return None
    try:
        return [_from_json(json.loads(line)) for line in lines]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _from_json(found: dict[str, Any]) -> Locations:
    each = (_location(s["FunctionName"], s["FileName"], s["Line"]) for s in found.get("Symbol", []))
    return [location for location in each if location.line > 0 and location.file][:MOST_INLINED]


def _by_binutils(path: Path, section: str, addresses: Sequence[int]) -> list[Locations]:
    """`-a` repeats each address before its locations, pairs of lines: function, then file:line."""
    options = ["-a", "-f", "-i", *(["-j", section] if section else [])]
    status, output = _run([BINUTILS, *options, "-e", str(path)], addresses)
    if status:
        raise DebugInfoError(f"{BINUTILS} cannot read {path}", "Is the file damaged? Leave --lines out.")
    lines, at, found = output.splitlines(), 0, []
    for address in addresses:
        at, locations = _pairs(lines, at, address)
        found.append(locations)
    return found


def _pairs(lines: Sequence[str], at: int, address: int) -> tuple[int, Locations]:
    """The locations of `address`, whose own line is at `at` or later, and where the next address stands."""
    while at < len(lines) and not _is_address(lines[at], address):
        at += 1
    at, locations = at + 1, []
    while at + 1 < len(lines) and not _is_address(lines[at]):
        match = re.match(r"(.+):(\d{1,9})\b", lines[at + 1])
        if match and int(match[2]) and match[1] != "??":
            locations.append(_location(lines[at], match[1], int(match[2])))
        at += 2
    return at, locations[:MOST_INLINED]


def _is_address(line: str, address: int | None = None) -> bool:
    if not re.fullmatch(r"0x[0-9a-f]{8,16}", line):
        return False
    return address is None or int(line, 16) == address


def _location(function: str, file: str, line: int) -> Location:
    return Location(function[:LONGEST], os.path.normpath(file)[-LONGEST:] if file else "", int(line))


def _run(argv: list[str], addresses: Sequence[int]) -> tuple[int, str]:
    """Exit status and output.  Raises DebugInfoError if it cannot be run or takes too long."""
    asked = "".join(f"{address:#x}\n" for address in addresses).encode()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEBUGINFOD")} | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            argv, input=asked, env=environment, timeout=TIMEOUT_S,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DebugInfoError(
            f"{argv[0]} took longer than {TIMEOUT_S:.0f} s",
            "Ask for fewer rows with -l, or leave --lines out.",
        ) from None
    except OSError as error:
        raise DebugInfoError(f"{argv[0]} cannot be run: {error.strerror}", PACKAGES) from None
    return done.returncode, done.stdout.decode(errors="replace")
