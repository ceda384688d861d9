# SPDX-License-Identifier: Apache-2.0
"""Fields of the kernel's structs by dotted path, and by offset: what BTF says beyond btf.py's single fields.

offset_of("sock.sk_receive_queue.next")     216
at("unix_sock", 0xd8)                       Place("sk.sk_receive_queue.next", "sk_buff")
"""

from __future__ import annotations

import ctypes as ct
from typing import NamedTuple

from slabtrace.capture.kernel.btf import Btf, Node

_PTR, _ARRAY, _STRUCT, _UNION = 2, 3, 4, 5
_PEELED = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type_tag
_DEEPEST = 16


class Place(NamedTuple):
    """A field by its dotted path; `points_to`: the struct that it is a pointer to, "" if it is none."""

    path: str
    points_to: str


class Fields:
    """Looks fields up.  What this kernel's BTF lacks is None."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._at: dict[tuple[str, int], Place | None] = {}

    def size(self, struct: str) -> int | None:
        """Bytes of a struct."""
        node = self._btf.struct(struct)
        return None if node is None else node.size_or_type

    def offset_of(self, dotted: str) -> int | None:
        """Byte offset of a field, as "sock.__sk_common.skc_family"; the first name is a struct's."""
        struct, *names = dotted.split(".")
        node, total = self._btf.struct(struct), 0
        for name in names:
            found = None if node is None else self._btf.member(node, name)
            if found is None:
                return None
            total, node = total + found[0], self._peeled(found[1])
        return None if node is None else total // 8

    def at(self, struct: str, offset: int) -> Place | None:
        """The innermost field at a byte offset of a struct."""
        key = struct, offset
        if key not in self._at:
            node = self._btf.struct(struct)
            self._at[key] = None if node is None else self._inside(node, offset, "", _DEEPEST)
        return self._at[key]

    def _inside(self, node: Node, offset: int, path: str, depth: int) -> Place | None:
        if node.kind == _PTR:
            target = self._peeled(node.size_or_type)
            return Place(path, target.name if target.kind in (_STRUCT, _UNION) else "")
        if node.kind == _ARRAY and depth:
            return self._in_array(node, offset, path, depth)
        if node.kind not in (_STRUCT, _UNION) or not depth:
            return Place(path, "") if path else None
        for name, type_id, bits in self._btf.members(node):
            begin, inner = bits // 8, self._peeled(type_id)
            if begin <= offset < begin + self._bytes(inner):
                deeper = f"{path}.{name}" if path and name else path or name
                return self._inside(inner, offset - begin, deeper, depth - 1)
        return Place(path, "") if path else None

    def _in_array(self, node: Node, offset: int, path: str, depth: int) -> Place | None:
        element, _ = self._array(node)
        inner = self._peeled(element)
        size = self._bytes(inner) or 1
        return self._inside(inner, offset % size, f"{path}[{offset // size}]", depth - 1)

    def _bytes(self, node: Node) -> int:
        if node.kind == _PTR:
            return 8
        if node.kind == _ARRAY:
            element, count = self._array(node)
            return self._bytes(self._peeled(element)) * count
        return node.size_or_type

    @staticmethod
    def _array(node: Node) -> tuple[int, int]:
        """Type of the elements, and their number (struct btf_array)."""
        element, _, count = (ct.c_uint32 * 3).from_address(node.trailer)
        return int(element), int(count)

    def _peeled(self, type_id: int) -> Node:
        node = self._btf.node(type_id)
        while node.kind in _PEELED:
            node = self._btf.node(node.size_or_type)
        return node
