# SPDX-License-Identifier: Apache-2.0
"""Checks of source lines: those of the module's faults are within their functions.

The module is unloaded before the recording ends, and loaded after it began.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kernels.leak_checks import Findings, equal, frames, made_by
from tests.kernels.workload import FAULTS

SOURCE = Path(__file__).parent / "module" / "slabtrace_faults.c"


def functions(source: str) -> dict[str, range]:
    """The lines of each function, from its name to its closing brace."""
    found: dict[str, range] = {}
    name, begin = "", 0
    for number, line in enumerate(source.splitlines(), 1):
        if match := re.match(r"\w[\w \*]*\b(\w+)\([^;]*$", line):
            name, begin = match[1], number
        if line == "}" and name:
            found[name], name = range(begin, number + 1), ""
    return found


def source_lines(module: Path) -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of any recording of the module, with the debug info that is in it."""

    def check(findings: Findings) -> None:
        finder, known = findings.trace.line_finder(str(module)), functions(SOURCE.read_text())
        groups = [group for fault in FAULTS for group in made_by(findings.stacks, fault.name)]
        stacks = {
            symbol: name
            for group in groups
            for symbol, name in zip(group["stack"], frames(group), strict=True)
        }
        mine = {symbol: name for symbol, name in stacks.items() if symbol.endswith("[slabtrace_faults]")}
        lines = finder.lines(mine)
        equal("without a line", dict(lines.missing), {})
        for symbol, name in mine.items():
            own = lines.found[symbol][-1]
            equal(f"{symbol}: file", Path(own.file).name, SOURCE.name)
            if own.line not in known[name.partition(".")[0]]:
                raise AssertionError(f"{symbol}: line {own.line}, not in {name}")
        equal("faults with a line", len({*mine.values()}) > 5, True)

    yield "source lines", check
