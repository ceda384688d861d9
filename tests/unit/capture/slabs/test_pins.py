# SPDX-License-Identifier: Apache-2.0
"""Dentries and inodes in made-up memory: pinned if the kernel could not free them, whatever else is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.slabs.pin_shape import PinShape
from tests.unit.capture.slabs.made_up_vfs import BASE, CIRCULAR, SHAPE, STRIDE_OF_INODES, Kernel

BOTH = pytest.mark.parametrize("shape", [SHAPE, CIRCULAR], ids=["hlist", "list_head"])


@BOTH
@pytest.mark.parametrize(
    ("counts", "unread", "expected"),
    [
        ((2, 0, 0), (), (0, 0, 0)),
        ((3, 0, 0), (), (1, 0, 0)),
        ((2, 0, 1), (), (1, 0, 1)),
        ((2, 0, 0), (2,), (None, 0, None)),
        ((3, 0, 1), (1,), (1, None, 1)),  # a pinned child is enough
        ((1, 0, -128), (), (0, 0, 0)),  # b was killed, and waits for RCU
    ],
)
def test_the_references_of_children_do_not_pin_a_directory(
    shape: PinShape, counts: tuple[int, ...], unread: tuple[int, ...], expected: tuple[int | None, ...]
) -> None:
    kernel = Kernel(shape)
    directory = kernel.dentry(counts[0])
    dentries = [directory, *(kernel.dentry(count, directory if count >= 0 else None) for count in counts[1:])]
    for killed, count in zip(dentries, counts, strict=True):
        if count < 0:  # it still has its parent, but is not on the list of its children
            kernel.put(killed + shape.dentry.parent, "<Q", directory)
    states = kernel.states([dentries[index] for index in unread])
    assert tuple(states.get(each) for each in dentries) == expected


def shrunk(parents: list[int | None], held: list[int]) -> set[int]:
    """The slow way: free what has no references until nothing more goes.  Returns what is left."""
    left = set(range(len(parents)))
    while gone := {i for i in left if not held[i] and not any(parents[j] == i for j in left)}:
        left -= gone
    return left


trees = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3), st.booleans(), st.booleans()), max_size=40)


@BOTH
@given(drawn=trees, hide=st.booleans())
def test_what_shrinking_would_leave_is_pinned(
    shape: PinShape, drawn: list[tuple[int, int, bool, bool]], hide: bool
) -> None:
    """Any tree: if all is read, all is known; what is not read makes nothing wrong."""
    parents = [pick % i if i and pick % 7 else None for i, (pick, *_) in enumerate(drawn)]
    held = [extra if used else 0 for _, extra, used, _ in drawn]
    kernel = Kernel(shape)
    for index, parent in enumerate(parents):
        count = held[index] + sum(each == index for each in parents)
        kernel.dentry(count, None if parent is None else kernel.dentries[parent])
    unread = [ptr for ptr, (*_, out) in zip(kernel.dentries, drawn, strict=True) if hide and out]
    left = {kernel.dentries[index] for index in shrunk(parents, held)}
    states = kernel.states(unread)
    assert all(pinned == (ptr in left) for ptr, pinned in states.items())
    assert hide or len(states) == len(drawn)


@pytest.mark.parametrize("offset", [0, 32, STRIDE_OF_INODES - SHAPE.inode.size])
def test_inodes_are_found_wherever_they_are_in_their_objects(offset: int) -> None:
    kernel = Kernel(offset=offset)
    cached, open_file, kernels_own = kernel.inode(1), kernel.inode(1), kernel.inode(1)
    unused = kernel.inode(0)
    kernel.dentry(0, inode=cached)
    kernel.dentry(1, inode=open_file)
    states = kernel.states()
    assert [states[each] for each in (cached, open_file, kernels_own, unused)] == [0, 1, 1, 0]


def test_objects_that_are_no_inodes_have_no_state() -> None:
    kernel = Kernel()
    inodes = [kernel.inode(1) for _ in range(3)]
    for each in inodes[:2]:  # most of the cache: so the third is taken for chance
        kernel.put(each + kernel.offset + SHAPE.inode.mapping, "<Q", BASE)
    assert kernel.states() == {}


def test_an_object_of_a_merged_cache_that_is_no_inode_has_no_state() -> None:
    kernel = Kernel()
    first, other, second = kernel.inode(0), kernel.inode(0), kernel.inode(0)
    kernel.put(other + kernel.offset + SHAPE.inode.data + SHAPE.inode.host, "<Q", BASE)
    assert kernel.states() == {first: 0, second: 0}


@pytest.mark.parametrize("read", [True, False], ids=["names read", "names followed"])
@pytest.mark.parametrize(
    ("count", "names", "pinned"),
    [
        (2, (0, 0), 0),
        (3, (0, 0), 1),  # by somebody who needs no name: inotify, the file system
        (2, (0, 1), 1),
        (2, (1, 0), 1),
        (1, (0,), 0),
        (2, (0,), 1),
        (1, (1,), 1),
        (1, (-128,), 0),
    ],
)
def test_all_names_of_an_inode_count(count: int, names: tuple[int, ...], pinned: int, read: bool) -> None:
    kernel = Kernel()
    inode = kernel.inode(count)
    for name in names:
        kernel.dentry(name, inode=inode)
    assert kernel.states([] if read else kernel.dentries)[inode] == pinned


def test_a_directory_that_was_not_read_leaves_its_inode_unknown() -> None:
    kernel = Kernel()
    inode = kernel.inode(1)
    directory = kernel.dentry(1, inode=inode)
    child = kernel.dentry(0, directory)
    assert kernel.states([directory]) == {child: 0}


@pytest.mark.parametrize("link", [8, (1 << 64) - 8, BASE + (1 << 40)])
def test_a_name_that_cannot_be_read_leaves_the_inode_unknown(link: int) -> None:
    kernel = Kernel()
    inode = kernel.inode(1)
    kernel.put(inode + kernel.offset + SHAPE.inode.dentries, "<Q", link)
    assert kernel.states() == {}


def test_names_that_run_in_a_circle_are_given_up() -> None:
    kernel = Kernel()
    inode = kernel.inode(1)
    name = kernel.dentry(0, inode=inode)
    kernel.put(name + SHAPE.dentry.alias, "<Q", name + SHAPE.dentry.alias)
    assert kernel.states() == {name: 0}


def test_without_time_nothing_is_read() -> None:
    kernel = Kernel()
    kernel.dentry(1, inode=kernel.inode(1))
    assert kernel.states(seconds=0) == {}
    assert kernel.peeked == 0


def overlay(upper: bool, inode_count: int, extra: int) -> tuple[Kernel, int, int]:
    """A file of overlayfs, its dentry below with `extra` references of others.  (kernel, inode, dentry)"""
    kernel = Kernel()
    inode = kernel.inode(inode_count)
    below = kernel.dentry(1 + extra)
    entry = BASE + 0x7000  # struct ovl_entry
    if upper:
        kernel.put(inode + kernel.offset + SHAPE.inode.size, "<Q", below)
    else:
        kernel.put(inode, "<Q", entry)
        for word, value in enumerate((1, BASE + 0x7800, below, below)):  # the last one belongs to others
            kernel.put(entry + 8 * word, "<Q", value)
    return kernel, inode, below


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize(("inode_count", "extra", "pinned"), [(0, 0, 0), (0, 1, 1), (1, 0, 1)])
def test_a_cached_inode_of_overlayfs_does_not_pin_what_is_below(
    upper: bool, inode_count: int, extra: int, pinned: int
) -> None:
    kernel, inode, below = overlay(upper, inode_count, extra)
    assert kernel.states(overlay=[0x200]) == {below: pinned, inode: inode_count}


def test_other_inodes_hold_what_they_point_to() -> None:
    kernel, inode, below = overlay(True, 0, 0)
    assert kernel.states() == {below: 1, inode: 0}


words = st.sampled_from([0, 1, 8, BASE, BASE + 104, BASE + 0x8000, (1 << 64) - 1, 1 << 63])


@given(st.lists(st.tuples(st.integers(0, 8191), words), max_size=60), st.booleans())
def test_garbage_ends_no_check(garbage: list[tuple[int, int]], circular: bool) -> None:
    kernel = Kernel(CIRCULAR if circular else SHAPE)
    for _ in range(12):
        kernel.dentry(1, kernel.dentries[-1] if kernel.dentries else None, kernel.inode(1))
    for word, value in garbage:
        kernel.put(BASE + 8 * word, "<Q", value)
    states = kernel.states(overlay=[0x200])
    assert set(states) <= {*kernel.dentries, *kernel.inodes}
