# SPDX-License-Identifier: Apache-2.0
"""Places for data: an address there is what was sent, copied or left over, and holds nothing.

what                                     its data
names in structs (dentry, task)          the whole field
a task                                   its registers: thread.fpu, or what is behind the struct (6.16)
a message                                what is behind its struct
a path that a system call was given      all of it (names_cache)
the buffer of a packet                   up to `end`; then comes a skb_shared_info, whose pointers count
the text of a file in /proc or /sys      all of it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from slabtrace.capture.inspecting.holders.units import Pointer, Unit
from slabtrace.capture.inspecting.layout import Layout

_FIELDS = ("d_iname", "d_shortname", "comm", "thread.fpu")
_BEHIND = {"task": "task_struct", "message": "msg_msg"}  # by kind: the struct that data follows
_WHOLE = ("names_cache",)
_ALL = 1 << 32


class Naming(Protocol):
    """What naming.Naming does."""

    def kind_of(self, address: int) -> str: ...  # noqa: D102

    def field_of(self, address: int, offset: int) -> str: ...  # noqa: D102


class DataPlaces:
    """Knows places for data.  `word(place)`: the word at an address now."""

    def __init__(self, naming: Naming, layout: Layout, word: Callable[[int], int]) -> None:
        self._naming, self._layout, self._word = naming, layout, word

    def has(self, unit: Unit, offset: int, by: Sequence[Pointer]) -> bool:
        """Is that place of an object for data?  `by`: what points at the object."""
        if not unit.cache:
            return False
        kind, field = self._naming.kind_of(unit.begin), self._naming.field_of(unit.begin, offset)
        if kind in _WHOLE or any(f".{name}" in field for name in _FIELDS):
            return True
        if kind in _BEHIND and offset >= (self._layout.size(_BEHIND[kind]) or _ALL):
            return True
        return any(offset < self._data_of(each) for each in by if each.unit.cache and not each.inside)

    def _data_of(self, pointer: Pointer) -> int:
        """How many bytes of the buffer that this field points at are for data; 0: it points at none."""
        holder = pointer.unit.begin
        kind = self._naming.kind_of(holder)
        if kind == "seq_file" and pointer.offset == self._layout.at("seq_file.buf"):
            return _ALL
        if kind == "sk_buff" and pointer.offset == self._layout.at("sk_buff.head"):
            # an offset where pointers have 64 bits (NET_SKBUFF_DATA_USES_OFFSET in include/linux/skbuff.h)
            end = self._layout.at("sk_buff.end")
            return 0 if end is None else self._word(holder + end) & 0xFFFFFFFF
        return 0
