# SPDX-License-Identifier: Apache-2.0
"""Stacks of perf and ftrace, without frames of user programs and of the allocator itself."""

from __future__ import annotations

from slabtrace.importing.records import Frame, Symbol
from slabtrace.importing.text.stacks import Stacks

PERF = b"""\tffffffff8164f215 __kmalloc_cache_node_noprof+0x215 ([kernel.kallsyms])
\tffffffffc03d9487 leaky_open+0x127 ([leaky])
\tffffffff8225aa01 do_syscall_64+0x71 ([kernel.kallsyms])
\t           ee137 open64+0x7 (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t          146f7c [unknown] (/usr/bin/cat)
"""
OLD_PERF = b"""                  27f1dc .__kmalloc (/boot/vmlinux)
                       0 [unknown] ([unknown])
                  3de108 .ext4_find_extent (/boot/vmlinux)
"""


def test_perf() -> None:
    assert Stacks().frames(PERF) == (
        Frame(0xFFFFFFFFC03D9487, Symbol("leaky_open", 0x127, "leaky")),
        Frame(0xFFFFFFFF8225AA01, Symbol("do_syscall_64", 0x71)),
    )


def test_an_old_perf() -> None:
    assert Stacks().frames(OLD_PERF) == (Frame(0x3DE108, Symbol(".ext4_find_extent")),)


def test_ftrace() -> None:
    found = Stacks().frames(
        b" => kmem_cache_alloc_node_trace\n => __kmalloc_node\n=> __alloc_skb\n => do_it+0x3/0x9 [m]\n"
    )
    assert found == (Frame(0, Symbol("__alloc_skb")), Frame(0, Symbol("do_it", 3, "m")))


def test_nonsense_gives_no_frame() -> None:
    assert Stacks().frames(b"\tzz\n => \n\t1234\n\n") == ()
