# SPDX-License-Identifier: Apache-2.0
"""The parts of a stack frame's symbol, and what of it and of a cache's name is the same on another kernel.

A symbol is `function+0x1a [module]`.  Offsets change with every build, addresses with every boot.  Names
change with the compiler and with the kernel's options; `comparable` and `comparable_cache` fold these.

Example: how frames and caches of two kernels become equal.

    do_msgsnd.isra.0+0x8c, do_msgsnd.cold+0x1       do_msgsnd        copies made by the compiler
    kmemdup_noprof+0x2a                             kmemdup          memory allocation profiling (6.10)
    __do_sys_msgsnd+0x3, __x64_sys_msgsnd+0x17      sys_msgsnd       wrappers of one system call
    kmalloc-rnd-05-64, kmalloc-part-11-64           kmalloc-64       copies of a kmalloc cache
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

NO_SYMBOL = "?"  # an address that had no symbol

_CLONE = re.compile(r"(\.(isra|constprop|part|cold|llvm|lto_priv|__uniq)(\.\d+)?)+$")
_MODULE = re.compile(r" \[([^\]]*)\]$")
# Since 6.10 (7bd230a26648) an allocating function f is a macro around f_noprof.
_PROFILED = re.compile(r"(?<=\w)_noprof$")
# SYSCALL_DEFINE makes several functions of each system call; which of them are frames depends on inlining.
_SYSCALL = re.compile(r"^__(?:x64|ia32|x32|arm64|riscv|s390x?|do|se)_((?:compat_)?sys_\w+)$")
# A function that only calls the system call of a number; it may be a frame or not (since 6.9, 1e3ad78334a6).
_DISPATCH = frozenset({"x64_sys_call", "ia32_sys_call", "x32_sys_call"})
# Copies of each kmalloc cache, one of which an allocation takes by its caller or its type:
# CONFIG_RANDOM_KMALLOC_CACHES (6.6, 3c6152940584), CONFIG_KMALLOC_PARTITION_CACHES (7.2, feb662d9168b).
_COPY = re.compile(r"^kmalloc-(?:rnd|part)-\d+-")


def function(symbol: str) -> str:
    """The function's own name; NO_SYMBOL for a bare address."""
    name = _MODULE.sub("", symbol).rpartition("+")[0] or symbol
    return NO_SYMBOL if name.startswith("0x") else _CLONE.sub("", name)


def module_of(symbol: str) -> str:
    """The module of a symbol; empty for the kernel itself."""
    match = _MODULE.search(symbol)
    return match.group(1) if match else ""


def comparable_function(symbol: str) -> str:
    """The function's name as it can be compared with that of another kernel; NO_SYMBOL for a bare address."""
    return _SYSCALL.sub(r"\1", _PROFILED.sub("", function(symbol)))


def system_call(symbol: str) -> str:
    """The system call that a wrapper is of, as "sys_msgsnd"; empty for any other function."""
    match = _SYSCALL.match(function(symbol))
    return match.group(1) if match else ""


def comparable_cache(cache: str) -> str:
    """The cache's name as it can be compared with that of another kernel."""
    return _COPY.sub("kmalloc-", cache)


def comparable(stack: Iterable[str]) -> tuple[str, ...]:
    """A stack as it can be compared across kernels: functions with their modules.

    The wrappers of a system call are one frame, and the function that only dispatches them is none.
    """
    return tuple(_frames(stack))


def _frames(stack: Iterable[str]) -> Iterator[str]:
    before = ""
    for symbol in stack:
        name, module = comparable_function(symbol), module_of(symbol)
        wrapper = _SYSCALL.match(function(symbol)) is not None
        if name not in _DISPATCH and not (wrapper and name == before):
            yield f"{name} [{module}]" if module else name
        before = name
