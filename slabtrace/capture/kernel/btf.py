# SPDX-License-Identifier: Apache-2.0
"""Read the running kernel's BTF: struct offsets, enum values, and tracepoint arguments.

BTF is the kernel's own description of its types, so the offsets are those of the running kernel, whatever
headers are on the disk.  libbpf parses it (libbcc needs libbpf, so every machine with bcc has it); this
module only walks the types.  Format: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import ctypes as ct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slabtrace.errors import CaptureError

VMLINUX = Path("/sys/kernel/btf/vmlinux")
MISSING = (
    f"this kernel has no BTF: {VMLINUX} is missing",
    "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution kernel is)",
)

_INT, _PTR, _STRUCT, _UNION, _ENUM, _TYPEDEF = 1, 2, 4, 5, 6, 8
_VOLATILE, _CONST, _FUNC, _VAR, _DATASEC = 9, 10, 12, 14, 15
_MODIFIERS = (_VOLATILE, _CONST)


class _Type(ct.Structure):
    """struct btf_type."""

    _fields_ = [("name_off", ct.c_uint32), ("info", ct.c_uint32), ("size_or_type", ct.c_uint32)]


@dataclass(frozen=True)
class Node:
    """One BTF type: its kind, name, and what follows it in memory."""

    kind: int
    name: str
    size_or_type: int
    count: int
    bitfields: bool
    trailer: int  # address of the members, enumerators or parameters


class Btf:
    """The types of the running kernel.

    Raises CaptureError if the kernel has no BTF or libbpf cannot be loaded.
    """

    def __init__(self, path: Path = VMLINUX) -> None:
        if not path.exists():
            raise CaptureError(*MISSING)
        self._lib = _libbpf()
        self._btf = self._lib.btf__parse_raw(str(path).encode())
        if not self._btf:
            raise CaptureError(
                f"libbpf cannot parse {path}", "libbpf may be older than this kernel: update libbpf"
            )

    def close(self) -> None:
        """Free libbpf's copy of the BTF (some 10 MB)."""
        if self._btf:
            self._lib.btf__free(self._btf)
            self._btf = None

    def sizeof(self, struct: str) -> int:
        """Size of a struct in bytes.  Raises CaptureError if there is none."""
        return self._struct(struct).size_or_type

    def offsetof(self, struct: str, field: str) -> int:
        """Byte offset of a field, looked for in anonymous members too.

        Raises CaptureError if the struct or the field is not in this kernel.
        """
        bits = self._bit_offset(self._struct(struct), field)
        if bits is None:
            raise CaptureError(
                f"this kernel's struct {struct} has no field {field}, which slabtrace needs",
                "please report it with the output of `uname -r`",
            )
        return bits // 8

    def has_field(self, struct: str, field: str) -> bool:
        """Does this kernel have the struct, with the field?"""
        type_id = self._find(struct, _STRUCT)
        return type_id is not None and self._bit_offset(self.node(type_id), field) is not None

    def bit_of(self, struct: str, field: str) -> int:
        """As `offsetof`, in bits: where a field of one bit is (little endian)."""
        bits = self._bit_offset(self._struct(struct), field)
        return bits if bits is not None else 8 * self.offsetof(struct, field)  # which raises

    def width(self, struct: str, field: str) -> int | None:
        """Size in bytes of a field that is a number or an enum; None if this kernel has no such field."""
        type_id = self._find(struct, _STRUCT)
        found = None if type_id is None else self.member(self.node(type_id), field)
        if found is None:
            return None
        node = self._unmodified(found[1], (*_MODIFIERS, _TYPEDEF))
        return node.size_or_type if node.kind in (_INT, _ENUM) else None

    def enum_value(self, enum: str, name: str) -> int | None:
        """Value of an enumerator; None if this kernel has no such enum or enumerator."""
        type_id = self._find(enum, _ENUM)
        if type_id is None:
            return None
        node = self.node(type_id)
        words = (ct.c_uint32 * (2 * node.count)).from_address(node.trailer)
        for i in range(node.count):
            if self._string(words[2 * i]) == name:
                return int(words[2 * i + 1])
        return None

    def tracepoint_arguments(self, tracepoint: str) -> list[str] | None:
        """C types of a tracepoint's arguments, in order, as in "const void *"; None if it has none.

        They come from the typedef btf_trace_NAME, a pointer to the probe's prototype; its first parameter,
        the probe's private data, is left out.
        """
        type_id = self._find(f"btf_trace_{tracepoint}", _TYPEDEF)
        if type_id is None:
            return None
        pointer = self.node(self.node(type_id).size_or_type)
        prototype = self.node(pointer.size_or_type)
        words = (ct.c_uint32 * (2 * prototype.count)).from_address(prototype.trailer)
        return [self._spelling(words[2 * i + 1]) for i in range(1, prototype.count)]

    def function(self, name: str) -> int | None:
        """Type id of a kernel function, to which a program can attach; None if there is no such function."""
        return self._find(name, _FUNC)

    def variable(self, name: str) -> bool:
        """Is there a per-CPU variable of this name?  (BTF has no others.)"""
        return self._find(name, _VAR) is not None

    def function_arguments(self, name: str) -> list[str]:
        """C types of a function's arguments, in order; [] if there is no such function."""
        prototype = self._prototype(name)
        if prototype is None:
            return []
        words = (ct.c_uint32 * (2 * prototype.count)).from_address(prototype.trailer)
        return [self._spelling(words[2 * i + 1]) for i in range(prototype.count)]

    def function_returns(self, name: str) -> str:
        """C type a function returns; "" if there is no such function."""
        prototype = self._prototype(name)
        return self._spelling(prototype.size_or_type) if prototype else ""

    def _prototype(self, function: str) -> Node | None:
        type_id = self._find(function, _FUNC)
        return None if type_id is None else self.node(self.node(type_id).size_or_type)

    def _spelling(self, type_id: int) -> str:
        if type_id == 0:
            return "void"
        node = self.node(type_id)
        if node.kind == _PTR:
            return self._spelling(node.size_or_type) + " *"
        if node.kind == _CONST:
            return "const " + self._spelling(node.size_or_type)
        if node.kind == _STRUCT:
            return "struct " + node.name
        return node.name

    def struct(self, name: str) -> Node | None:
        """The struct of that name; None if this kernel has none."""
        type_id = self._find(name, _STRUCT)
        return None if type_id is None else self.node(type_id)

    def section_size(self, name: str) -> int:
        """Bytes of a section of variables, as ".data..percpu"; 0 if it is not in the BTF."""
        type_id = self._find(name, _DATASEC)
        return 0 if type_id is None else self.node(type_id).size_or_type

    def _find(self, name: str, kind: int) -> int | None:
        found = self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)
        return found if found > 0 else None

    def _struct(self, name: str) -> Node:
        type_id = self._find(name, _STRUCT)
        if type_id is None:
            raise CaptureError(
                f"this kernel has no struct {name}: slabtrace needs SLUB, of Linux 5.10 or later",
                "boot such a kernel; if it is one, please report it with the output of `uname -r`",
            )
        return self.node(type_id)

    def node(self, type_id: int) -> Node:
        """The type with an id of this BTF."""
        address = self._lib.btf__type_by_id(self._btf, type_id)
        raw = _Type.from_address(address)
        return Node(
            kind=(raw.info >> 24) & 0x1F,
            name=self._string(raw.name_off),
            size_or_type=raw.size_or_type,
            count=raw.info & 0xFFFF,
            bitfields=bool(raw.info >> 31),
            trailer=address + ct.sizeof(_Type),
        )

    def _string(self, offset: int) -> str:
        return (self._lib.btf__name_by_offset(self._btf, offset) or b"").decode()

    def members(self, node: Node) -> Iterator[tuple[str, int, int]]:
        """(name, type id, offset in bits) of each member of a struct or union."""
        words = (ct.c_uint32 * (3 * node.count)).from_address(node.trailer)
        for i in range(node.count):
            bits = words[3 * i + 2]
            yield self._string(words[3 * i]), words[3 * i + 1], bits & 0xFFFFFF if node.bitfields else bits

    def _bit_offset(self, node: Node, field: str) -> int | None:
        found = self.member(node, field)
        return None if found is None else found[0]

    def member(self, node: Node, field: str) -> tuple[int, int] | None:
        """(offset in bits, type id) of a field; None if there is none."""
        for name, type_id, bits in self.members(node):
            if name == field:
                return bits, type_id
            if not name:  # an anonymous struct or union: its fields belong to the outer one
                inner = self.member(self._unmodified(type_id), field)
                if inner is not None:
                    return bits + inner[0], inner[1]
        return None

    def _unmodified(self, type_id: int, modifiers: tuple[int, ...] = _MODIFIERS) -> Node:
        node = self.node(type_id)
        while node.kind in modifiers:
            node = self.node(node.size_or_type)
        return node


def _libbpf() -> ct.CDLL:
    try:
        lib = ct.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise CaptureError(
            "libbpf.so.1 cannot be loaded", "install bcc with its libraries: apt install python3-bpfcc"
        ) from error
    lib.btf__parse_raw.restype = ct.c_void_p
    lib.btf__parse_raw.argtypes = [ct.c_char_p]
    lib.btf__free.argtypes = [ct.c_void_p]
    lib.btf__find_by_name_kind.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_uint32]
    lib.btf__find_by_name_kind.restype = ct.c_int32
    lib.btf__type_by_id.argtypes = [ct.c_void_p, ct.c_uint32]
    lib.btf__type_by_id.restype = ct.c_void_p
    lib.btf__name_by_offset.argtypes = [ct.c_void_p, ct.c_uint32]
    lib.btf__name_by_offset.restype = ct.c_char_p
    return lib
