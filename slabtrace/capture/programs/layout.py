# SPDX-License-Identifier: Apache-2.0
"""NumPy dtypes and numbers of bpf/*.h, derived from the C text, so that nothing is defined twice."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from slabtrace.resources import bpf_dir

_FIELD = re.compile(r"^\s*(u8|u16|u32|u64|s16|s32|s64|struct (\w+)) (\w+)(?:\[(\w+)\])?;", re.M)
_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.M | re.S)
_DEFINE = re.compile(r"^#define (\w+)\s+(0x[0-9a-fA-F]+|\d+)\s*$", re.M)
_ENUM = re.compile(r"^\s*(SLAB_\w+) = (0x[0-9a-fA-F]+),", re.M)


def _header(name: str) -> str:
    text = (bpf_dir() / name).read_text()
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


@cache
def header_numbers(name: str) -> dict[str, int]:
    """The #defines of plain numbers, and the SLAB_ enumerators, of a header."""
    text = _header(name)
    return {key: int(value, 0) for key, value in _DEFINE.findall(text) + _ENUM.findall(text)}


@cache
def struct_dtype(header: str, struct: str) -> np.dtype[np.void]:
    """The dtype of a C struct whose fields are naturally aligned integers, arrays or structs of them.

    Raises KeyError if the header has no such struct.
    """
    body = dict(_STRUCT.findall(_header(header)))[struct]
    numbers = header_numbers(header)
    fields: list[tuple[str, object, tuple[int, ...]]] = []
    for spelling, inner, name, count in _FIELD.findall(body):
        base: object = struct_dtype(header, inner) if inner else _scalar(spelling)
        shape = (numbers[count] if count in numbers else int(count),) if count else ()
        fields.append((name, base, shape))
    return np.dtype(fields, align=True)


def _scalar(spelling: str) -> str:
    return f"<{'u' if spelling[0] == 'u' else 'i'}{int(spelling[1:]) // 8}"


def event_dtype() -> np.dtype[np.void]:
    """struct slab_event: one 64-byte slot."""
    return struct_dtype("event.h", "slab_event")
