# SPDX-License-Identifier: Apache-2.0
"""One leak has one signature on every kernel; different leaks have different ones."""

from __future__ import annotations

import random
import re
from itertools import combinations
from pathlib import Path

import pytest

import slabtrace
from slabtrace.fleet.signatures import signature as module
from slabtrace.fleet.signatures.signature import signature
from tests.places import FIXTURES
from tests.unit.fleet import fleets

LISTS = sorted(Path(module.__file__).parent.glob("*.txt"))
LEAK = [
    "kmemdup_noprof+0x2a",
    "do_msgsnd.isra.0+0x8c",
    "__x64_sys_msgsnd+0x17",
    "x64_sys_call+0x9",
    "do_syscall_64+0x71",
]


@pytest.mark.parametrize(
    "stack",
    [
        ["kmemdup+0x21", "do_msgsnd+0x80", "__do_sys_msgsnd+0x3", "do_syscall_64+0x60"],
        [
            "__kmalloc_noprof+0x9",
            "kmemdup_noprof+0x2a",
            "do_msgsnd+0x8c",
            "__se_sys_msgsnd+0x1",
            "do_syscall_64+0x71",
        ],
        [
            "do_msgsnd.constprop.0+0x11",
            "__x64_sys_msgsnd+0x17",
            "x64_sys_call+0x9",
            "entry_SYSCALL_64_after_hwframe+0x76",
        ],
        ["do_msgsnd.cfi_jt+0x11", "__arm64_sys_msgsnd+0x17", "invoke_syscall+0x9", "el0_svc+0x76"],
        ["do_msgsnd.lto_priv.0+0x11", "__ia32_sys_msgsnd+0x17", "do_int80_syscall_32+0x1"],
    ],
)
@pytest.mark.parametrize("cache", ["kmalloc-64", "kmalloc-rnd-05-64", "kmalloc-part-11-64"])
def test_one_leak_has_one_signature(stack: list[str], cache: str) -> None:
    found = signature(cache, stack, stack[0])
    assert found.issue == signature("kmalloc-rnd-12-64", LEAK, LEAK[0]).issue
    assert found.title == "kmalloc-64: do_msgsnd < sys_msgsnd"
    assert not found.local


def test_a_leak_looks_different_on_every_build_and_is_one() -> None:
    rng = random.Random(3)
    seen = [fleets.stack_of(7, build, rng) for build in range(4) for _ in range(20)]
    assert len({(cache, *stack) for cache, stack in seen}) > 20
    assert len({signature(cache, stack, stack[0]).issue for cache, stack in seen}) == 1


def test_fifty_different_leaks_are_fifty() -> None:
    """Pairs differ in the cache, in the innermost function, in its caller, or in the module."""
    base = [("kmalloc-64", ["kmalloc_trace+1", f"f{at}+0x1", f"g{at}+0x2"]) for at in range(13)]
    others = [("kmalloc-cg-64", stack) for _, stack in base]
    callers = [("kmalloc-64", [stack[1], f"h{at}+0x1"]) for at, (_, stack) in enumerate(base)]
    modules = [("kmalloc-64", [f"{frame} [mod]" for frame in stack[1:]]) for _, stack in base]
    names = [signature(cache, stack, stack[0]).issue for cache, stack in [*base, *others, *callers, *modules]]
    assert len(names) == 52
    assert all(one != other for one, other in combinations(names, 2))


def test_variants_differ_where_issues_do_not() -> None:
    one = signature("a", ["f+1", "g+1", "h+1"], "f+1")
    other = signature("a", ["f+1", "g+1", "k+1"], "f+1")
    assert one.issue == other.issue and one.variant != other.variant


def test_a_function_without_a_name_is_never_merged_between_hosts() -> None:
    stack = ["0xffffffffc0123456", "g+1"]
    one, other = (signature("a", stack, stack[0], host=host) for host in ("h1", "h2"))
    assert one.local and one.issue != other.issue
    assert signature("a", [], "", host="h1").local


def test_merged_caches_have_one_name() -> None:
    """The kernel shows the name of the cache made first; which one that is differs between boots."""
    stack = ["f+1", "g+1"]
    one = signature("cred_x", stack, "f+1", ["b_cache", "a_cache"])
    other = signature("b_cache", stack, "f+1", ["cred_x", "a_cache"])
    assert one == other and one.family == "a_cache"
    assert signature("a_cache", stack, "f+1", ["cred_x"], alias="cred_x").family == "cred_x"


def test_modules_are_written_one_way() -> None:
    assert signature("a", ["f+1 [nf-x]"], "").issue == signature("a", ["f+1 [nf_x]"], "").issue


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_line_of_a_list_is_valid_and_ascii(path: Path) -> None:
    lines = [
        line for line in path.read_text(encoding="ascii").splitlines() if line and not line.startswith("#")
    ]
    assert len(lines) == len(set(lines)) > 5
    for line in lines:
        assert not re.compile(line).fullmatch("") and not re.compile(line).fullmatch("do_msgsnd")


HELPERS = [
    "kmalloc_trace",
    "__kmalloc_node_track_caller",
    "kmem_cache_alloc_lru",
    "kmemdup",
    "kstrdup",
    "kvmalloc_node",
    "krealloc",
    "__alloc_skb",
    "do_syscall_64",
    "alloc_inode",
    "kcalloc",
    "kzalloc",
    "kvzalloc",
    "kmalloc_array",
    "__kmalloc_cache",
]
OTHERS = ["load_msg", "unix_create1", "alloc_pid", "my_kmalloc", "kernel_clone"]


@pytest.mark.parametrize("frame", HELPERS + OTHERS)
def test_helpers_do_not_count(frame: str) -> None:
    title = signature("c", [f"{frame}+0x1", "caller_one+0x2", "caller_two+0x3"], "").title
    assert (frame not in title) == (frame in HELPERS)
    of_a_module = signature("c", [f"{frame}+0x1 [module]", "caller_one+0x2"], "")
    assert frame in of_a_module.title  # a module's own functions count


def test_the_leak_of_two_real_recordings_is_one() -> None:
    """slow-leak and survivors are the same program on one kernel, recorded in different ways."""
    found = []
    for name in ("slow-leak", "survivors"):
        (row,) = slabtrace.open(FIXTURES / f"{name}.slab").findings().to_dict("records")
        found.append(signature(row["cache"], row["stack"], row["symbol"], row["aliases"], row["alias"]))
    assert found[0].issue == found[1].issue
    assert found[0].title == "msg_msg-128: load_msg < do_msgsnd"
