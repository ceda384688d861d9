# SPDX-License-Identifier: Apache-2.0
"""The part of the protocol buffers wire format that two exports write.

Writing needs only varints and lengths; the protobuf package would bring generated code for each of the
two formats, and a runtime bound to its major version.  https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

_VARINT, _LENGTH = 0, 2
_TWO_TO_64 = 1 << 64

Value: TypeAlias = int | str | bytes


def varint(number: int) -> bytes:
    """An integer of 64 bits in groups of seven; a negative one as its two's complement."""
    number %= _TWO_TO_64
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(tag: int, value: Value) -> bytes:
    """A field: an int as varint, text and a nested message (bytes) with their length."""
    if isinstance(value, int):
        return varint(tag << 3 | _VARINT) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | _LENGTH) + varint(len(content)) + content


def message(*fields: tuple[int, Value]) -> bytes:
    """A message of (tag, value) pairs; zero and empty values, which readers assume, are left out."""
    return b"".join(field(tag, value) for tag, value in fields if value)


def packed(numbers: Iterable[int]) -> bytes:
    """The content of a packed repeated field of integers."""
    return b"".join(varint(number) for number in numbers)
