# SPDX-License-Identifier: Apache-2.0
"""From an object up to who keeps it: a process with a file descriptor, a directory, a keyring, kernel data.

Each step is known by the object's own fields (Kind.owner), by an index (open files, keyrings), by a list or
tree that it is linked in, or because a search found the pointer.  It can be read again (`Step.still`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from slabtrace.capture.inspecting.holders.files import OpenFiles
from slabtrace.capture.inspecting.holders.keyrings import Keyrings
from slabtrace.capture.inspecting.holders.units import Pointer, Unit, Units
from slabtrace.capture.inspecting.kinds.vfs import INODE_OF
from slabtrace.capture.inspecting.lists import Lists
from slabtrace.trace.format.schema import Held

POINTS = "points at it"  # the relation of a pointer that a search found
_LONGEST = (3, 8)  # steps: longer chains are looked for where no short one says enough
_MOST_LOOKED_AT = 500  # holders, for one object and length: a net of objects has paths without end
# What objects are that no cache of their own has, by the field that has the pointer to them.
KINDS_BY_FIELD = {
    "fsnotify_group.notification_list": "fsnotify event",
    "mqueue_inode_info.msg_tree.rb_node": "posix_msg_tree_node",
    "posix_msg_tree_node.msg_list": "message",
    "msg_queue.q_messages": "message",
    "io_ring_ctx.file_table.data.nodes": "table of registered files",
}
_MOST_TRIED = 16  # pointers to one object that are followed
PROCESS, OWNER, NAMED, POINTER, LISTED, NOTHING = (
    int(each) for each in (Held.PROCESS, Held.OWNER, Held.NAMED, Held.POINTER, Held.LISTED, Held.NOTHING)
)


def always() -> bool:
    """Nothing to read again."""
    return True


class Step(NamedTuple):
    """One holder: what it is, its address, and how it holds what is below it.  Addresses: 0 for a process.

    `still()` reads again whether it holds that.
    """

    what: str
    relation: str
    address: int
    area: str
    still: Callable[[], bool] = always


class Chain(NamedTuple):
    """Holders, the nearest first.  `worth`: from PROCESS to NOTHING, by the holder that says most."""

    steps: tuple[Step, ...]
    worth: int


class Named(NamedTuple):
    """An object that is described: kind, text, struct ("" if not known), what owns it, and `now`: what of its
    description may change while it is the same object."""

    kind: str
    text: str
    struct: str
    owner: tuple[int, str] | None
    now: str = ""

    def words(self, kind: str = "") -> str:
        """What it is called; `kind`: another kind than its own."""
        return " ".join(each for each in (kind or self.kind, self.text, self.now) if each)

    def is_same(self, other: Named) -> bool:
        """Is it the same object, as far as one can see?"""
        return self._replace(now="") == other._replace(now="")


class Followed(NamedTuple):
    """A pointer to an object, and the unit where the list or tree that it is part of begins."""

    unit: Unit
    pointer: Pointer


NO_CHAIN = Chain((), NOTHING)
DOUBTFUL = Chain((Step("something that changed while it was read,", POINTS, 0, ""),), LISTED)


class Chains:
    """Finds the best chain of each object.

    `named(address)` says what an object is; `field(struct, offset)` names a field; `pointers` is what
    searches found, by address of the object.
    """

    def __init__(
        self,
        named: Callable[[int, int], Named],
        field: Callable[[str, int], str],
        files: OpenFiles,
        keyrings: Keyrings,
        units: Units,
        lists: Lists,
        page: Callable[[int], tuple[str, int]],
        is_data: Callable[[Unit, int, Sequence[Pointer]], bool] = lambda unit, offset, by: False,
    ) -> None:
        """`page(place)`: what a word of a struct page is, and the inode whose page it is (0: of none);
        `is_data(unit, offset, by)`: is that place for data? (data.py)  `by`: what points at the unit."""
        self._named, self._field, self._files = named, field, files
        self._keyrings, self._units, self._lists, self._page = keyrings, units, lists, page
        self._is_data = is_data
        self.pointers: dict[int, list[Pointer]] = {}
        self.doubtful = set[int]()  # objects of which a pointer may be missing in `pointers`
        self.kinds: dict[int, str] = {}  # of objects whose kind only their holder tells, by address
        self._known: dict[int, Chain] = {}
        self._weak_fields: dict[tuple[str, int], str] = {}
        self._followed: dict[int, list[Followed | Chain]] = {}
        self._longest = self._left = 0

    def all(self, addresses: Iterable[int]) -> dict[int, Chain]:
        """The best chain of each of many objects, as far as is known now."""
        best = dict.fromkeys(addresses, NO_CHAIN)
        self._followed.clear()  # other pointers are known by now
        for self._longest in _LONGEST:
            self._known = {address: chain for address, chain in self._known.items() if chain.worth == PROCESS}
            for address in [each for each, chain in best.items() if chain.worth < PROCESS]:
                self._left = _MOST_LOOKED_AT
                best[address] = max(best[address], self._chain(address, frozenset()), key=_worth)
        doubtful = {each for each, chain in best.items() if chain.worth == NOTHING} & self.doubtful
        return best | dict.fromkeys(doubtful, DOUBTFUL)

    def unresolved(self, address: int) -> set[int]:
        """The objects at the ends of the pointers to an object whose own holders are not known yet."""
        ends = set[int]()
        for pointer in self.pointers.get(address, [])[:_MOST_TRIED]:
            unit = self._unit_of(address, pointer)
            if unit is not None and unit.area is None and unit.begin not in self.pointers:
                ends.add(unit.begin)
        return ends

    def _chain(self, address: int, below: frozenset[int]) -> Chain:
        if address in self._known:
            return self._known[address]
        self._left -= 1
        if address in below or len(below) >= self._longest or self._left < 0:
            return NO_CHAIN
        below = below | {address}
        best = NO_CHAIN
        for candidate in self._candidates(address, below):
            if (candidate.worth, -len(candidate.steps)) > (best.worth, -len(best.steps)) or not best.steps:
                best = candidate
            if best.worth == PROCESS:
                break
        if (len(below) <= 2 and self._left >= 0) or best.worth == PROCESS:
            self._known[address] = best
        return best

    def _candidates(self, address: int, below: frozenset[int]) -> Iterable[Chain]:
        yield from self._by_index(address, below)
        if address not in self._followed:
            self._followed[address] = list(self._follow(address))
        for each in self._followed[address]:
            if isinstance(each, Chain):
                yield each
            elif each.unit.begin not in below:
                yield self._by_pointer(*each, address, below)

    def _follow(self, address: int) -> Iterable[Followed | Chain]:
        """The pointers to an object that may lead to who keeps it, one of each; and what lists it is in."""
        named = self._named(address, 0)
        seen = set[int]()
        for pointer in self.pointers.get(address, [])[:_MOST_TRIED]:
            if field := self._weak(named.struct, pointer):
                step = Step(f"others by {field}", "in a list with", pointer.unit.begin, "slab")
                yield Chain((step,), LISTED)
                continue
            unit, by = self._unit_of(address, pointer), self.pointers.get(pointer.unit.begin, ())
            if unit is None or unit.begin in seen or self._is_data(pointer.unit, pointer.offset, by):
                continue
            seen.add(unit.begin)
            yield Followed(unit, pointer)

    def _by_index(self, address: int, below: frozenset[int]) -> Iterable[Chain]:
        """The chains that need no search."""
        files, named = self._files, self._named(address, 0)
        for fd in files.fds(address)[:1]:
            still = partial(files.is_open, fd, address)
            yield Chain((Step(f"fd {fd.fd} of {fd.process}", "", 0, "process", still),), PROCESS)
        if ring := files.ring_of(address):
            still = partial(files.is_registered, ring, address)
            yield self._above(ring, "registered in the io_uring instance", below, still)
        if file := files.of_private(address):
            yield self._above(file, "private data of", below, partial(files.is_private, file, address))
        if named.owner is not None and named.owner[0]:
            yield self._above(*named.owner, below, partial(self._is_owned, address, named.owner))
        elif named.kind == "address space" and (task := files.task_of(address)):
            yield self._above(task, "of the process", below, partial(files.has_mm, task, address))
        if named.kind == "key":
            for keyring in self._keyrings.of(address)[:4]:
                yield self._above(keyring, "in", below, partial(self._keyrings.has, keyring, address))

    def forget(self) -> None:
        """Forget what was read of lists, keyrings and rings, to read it again."""
        for index in (self._lists, self._keyrings, self._files):
            index.forget()

    def _is_owned(self, address: int, owner: tuple[int, str]) -> bool:
        return self._named(address, 0).owner == owner

    def _weak(self, struct: str, pointer: Pointer) -> str:
        """The field by which an object is in a list that holds nothing; "" if it is another one."""
        key = struct, pointer.inside
        if key not in self._weak_fields:
            field = self._field(*key) if struct else ""
            self._weak_fields[key] = field if any(f".{name}" in field for name in _WEAK) else ""
        return self._weak_fields[key]

    def _above(self, address: int, relation: str, below: frozenset[int], still: Callable[[], bool]) -> Chain:
        """The chain of a holder that is known by its address."""
        named = self._named(address, 0)
        step = Step(named.words(), relation, address, "slab", still)
        if named.kind == "task":
            return Chain((step,), PROCESS)
        above = NO_CHAIN if named.kind in _ENDS else self._chain(address, below)
        if relation == INODE_OF and (file := self._files.of_dentry(address)):
            above = self._above(file, "open as", below, partial(self._files.has_dentry, file, address))
        return Chain((step, *above.steps), max(above.worth, POINTER if named.kind == "memory" else OWNER))

    def _by_pointer(self, unit: Unit, pointer: Pointer, address: int, below: frozenset[int]) -> Chain:
        still = partial(self._points_still, unit, pointer, address)
        if unit.area is not None and unit.area.kind == "page":
            place = pointer.unit.begin + pointer.offset
            what, inode = self._page(place)
            step = Step(what, _points(pointer), inode, "page", still)
            above = NO_CHAIN
            if inode and inode not in below:
                above = self._above(inode, "page of", below, lambda: self._page(place) == (what, inode))
            return Chain((step, *above.steps), max(above.worth, POINTER))
        if unit.area is not None:
            offset = pointer.offset if unit == pointer.unit else self._head_offset(unit, address, pointer)
            name = f"{unit.area.name} +{offset:#x}"
            worth = NAMED if unit.area.kind in ("data", "percpu") else POINTER
            return Chain((Step(name, _points(pointer), unit.begin, unit.area.kind, still),), worth)
        named = self._named(unit.begin, unit.cache)
        offset = pointer.offset if unit == pointer.unit else self._head_offset(unit, address, pointer)
        above = NO_CHAIN if named.kind in _ENDS else self._chain(unit.begin, below)
        known = "" if named.struct else self.kinds.get(unit.begin, "")  # by what is above
        field = self._field(named.struct or known, offset) or f"+{offset:#x}"
        step = Step(f"{named.words(known)}, {field}", _points(pointer), unit.begin, "slab", still)
        if kind := KINDS_BY_FIELD.get(field.partition(".next")[0]):
            self.kinds[address] = kind
        worth = NAMED if named.kind in _ENDS else POINTER
        return Chain((step, *above.steps), max(above.worth, worth))

    def _points_still(self, unit: Unit, pointer: Pointer, address: int) -> bool:
        """Is the pointer still there, and in the same list?"""
        word = self._units.word(pointer.unit.begin + pointer.offset)
        return (word - address) & ~7 == pointer.inside and self._unit_of(address, pointer) == unit

    def _head_offset(self, unit: Unit, address: int, pointer: Pointer) -> int:
        head = self._lists.head(address + pointer.inside)
        return head.address - unit.begin if head else 0

    def _unit_of(self, address: int, pointer: Pointer) -> Unit | None:
        """Who has the pointer; of a list the one who has its head, of a tree its root."""
        own = self._units.unit(address)
        if own is None or pointer.unit.cache != own.cache or not own.cache:
            return pointer.unit
        link = address + pointer.inside
        if pointer.offset in (pointer.inside, pointer.inside + 8):
            head = self._lists.head(link)
            if head is not None:
                return self._units.unit(head.address)
        root = self._lists.root(link)
        if root:
            return Unit(root - pointer.inside, own.cache, None) if root != link else None
        return pointer.unit


def _worth(chain: Chain) -> int:
    return chain.worth


# Lists and tables of all objects of a kind: who is in one is not held by it.
_WEAK = ("i_sb_list", "i_lru", "i_hash", "i_io_list", "i_wb_list", "d_hash", "d_lru", "d_sib", "d_child",
         "s_inode_list", "skc_node", "skc_nulls_node", "skc_bind_node", "skc_portaddr_node")  # fmt: skip
_ENDS = ("dentry", "task", "network namespace", "slab cache")


def _points(pointer: Pointer) -> str:
    return POINTS if not pointer.inside else f"{POINTS} +{pointer.inside:#x}"
