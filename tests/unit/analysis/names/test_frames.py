# SPDX-License-Identifier: Apache-2.0
"""Names as other kernels have them: compiler's copies, _noprof, wrappers of system calls, kmalloc caches."""

from __future__ import annotations

import pytest

from slabtrace.analysis.names.frames import comparable, comparable_cache, function, module_of


def test_symbols_are_split() -> None:
    symbols = ("f+0x1 [m]", "f.constprop.0.isra.1+0x2", "0xffff88", "f.cold+0x1")
    assert [function(each) for each in symbols] == ["f", "f", "?", "f"]
    assert (module_of("f+0x1 [m]"), module_of("f+0x1")) == ("m", "")
    assert comparable(["f+0x1 [m]", "g+0x2"]) == ("f [m]", "g")


@pytest.mark.parametrize(
    "symbol",
    [
        "kmemdup", "kmemdup.isra.0", "kmemdup.constprop.3", "kmemdup.part.12", "kmemdup.cold",
        "kmemdup.cold.7", "kmemdup.llvm.1234567890", "kmemdup.__uniq.99.llvm.12", "kmemdup.lto_priv.0",
        "kmemdup_noprof", "kmemdup_noprof.constprop.0",
    ],
)  # fmt: skip
def test_copies_of_a_function_are_one(symbol: str) -> None:
    assert comparable([f"{symbol}+0x10"]) == ("kmemdup",)
    assert comparable([f"{symbol}+0x10 [mod]"]) == ("kmemdup [mod]",)


@pytest.mark.parametrize("architecture", ["x64", "ia32", "arm64", "riscv", "s390x", "do", "se"])
def test_wrappers_of_a_system_call_are_one(architecture: str) -> None:
    assert comparable([f"__{architecture}_sys_msgsnd+0x1f"]) == ("sys_msgsnd",)
    assert comparable([f"__{architecture}_compat_sys_msgsnd+0x1f"]) == ("compat_sys_msgsnd",)


def test_wrappers_that_follow_each_other_are_one_frame() -> None:
    inlined = ["do_msgsnd+0x1", "__x64_sys_msgsnd+0x1", "do_syscall_64+0x2"]
    apart = [
        "do_msgsnd+0x9",
        "__do_sys_msgsnd.isra.0+0x1",
        "__se_sys_msgsnd+0x3",
        "__x64_sys_msgsnd+0x1",
        "x64_sys_call+0x77",
        "do_syscall_64+0x5",
    ]
    assert comparable(inlined) == comparable(apart) == ("do_msgsnd", "sys_msgsnd", "do_syscall_64")


@pytest.mark.parametrize(
    "frames",
    [["f", "f"], ["__x64_sys_open", "__x64_sys_close"], ["netlink_sys_open"], ["_noprof"], ["sysfs_open"]],
)
def test_other_functions_stay_as_they_are(frames: list[str]) -> None:
    """Recursion, two system calls, and names that only look alike."""
    kept = comparable([f"{each}+0x1" for each in frames])
    assert len(kept) == len(frames) and len(set(kept)) == len(set(frames))


@pytest.mark.parametrize(
    ("cache", "folded"),
    [
        ("kmalloc-rnd-05-64", "kmalloc-64"),
        ("kmalloc-part-15-8k", "kmalloc-8k"),
        ("kmalloc-64", "kmalloc-64"),
        ("kmalloc-cg-64", "kmalloc-cg-64"),
        ("kmalloc-rcl-96", "kmalloc-rcl-96"),
        ("my-kmalloc-rnd-05-64", "my-kmalloc-rnd-05-64"),
        ("dentry", "dentry"),
    ],
)
def test_copies_of_a_kmalloc_cache_are_one(cache: str, folded: str) -> None:
    assert comparable_cache(cache) == folded
