# SPDX-License-Identifier: Apache-2.0
"""The parts of a stack frame's symbol, so that it can be compared with that of another kernel.

A symbol is `function+0x1a [module]`.  Offsets change with every build, addresses with every boot; the
compiler appends .isra.0, .constprop.0, .part.0 and .cold to copies of a function that another build may not
have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_SYMBOL = "?"  # an address that had no symbol

_CLONE = re.compile(r"(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$")
_MODULE = re.compile(r" \[([^\]]*)\]$")


def function(symbol: str) -> str:
    """The function's own name; NO_SYMBOL for a bare address."""
    name = _MODULE.sub("", symbol).rpartition("+")[0] or symbol
    return NO_SYMBOL if name.startswith("0x") else _CLONE.sub("", name)


def module_of(symbol: str) -> str:
    """The module of a symbol; empty for the kernel itself."""
    match = _MODULE.search(symbol)
    return match.group(1) if match else ""


def comparable(stack: Iterable[str]) -> tuple[str, ...]:
    """A stack as it can be compared across builds: functions with their modules."""
    return tuple(
        f"{function(each)} [{module_of(each)}]" if module_of(each) else function(each) for each in stack
    )
