# SPDX-License-Identifier: Apache-2.0
"""JSON objects as typed dataclasses, with every type checked; the manifest is read with it."""

from __future__ import annotations

import dataclasses
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
LARGEST = 1 << 62  # the sum of a few smaller numbers fits into 64 bits; as ns it is 146 years


def from_json(cls: type[T], content: Any, where: str = "") -> T:
    """An instance of the dataclass `cls` from the JSON object `content`.

    Keys that the dataclass lacks are ignored; fields that the object lacks keep their default.  Raises
    TypeError, naming the key (`where` is its path so far), for a value of another type, and for a number out
    of range: from -LARGEST to LARGEST, or as "below" and "least" in the field's metadata say.
    """
    if not isinstance(content, dict):
        raise TypeError(f"{where or 'the content'} is not an object")
    hints = get_type_hints(cls)
    fields = [f for f in dataclasses.fields(cls) if f.name in content]  # type: ignore[arg-type]
    return cls(
        **{f.name: _value(hints[f.name], content[f.name], f"{where}{f.name}", **f.metadata) for f in fields}
    )


def _value(hint: Any, value: Any, where: str, below: int = LARGEST, least: int | None = None) -> Any:
    """`value` checked against the type `hint`: a scalar, list, dict, dataclass or X | None."""
    if isinstance(value, int) and not (1 - below if least is None else least) <= value < below:
        raise TypeError(f"{where} is out of range")
    if hint is Any:
        return value
    if isinstance(hint, UnionType):
        return _optional(hint, value, where)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, f"{where}.")  # type: ignore[arg-type]
    if get_origin(hint) is list and isinstance(value, list):
        (item,) = get_args(hint)
        return [_value(item, each, f"{where}[{i}]") for i, each in enumerate(value)]
    if get_origin(hint) is dict and isinstance(value, dict):
        _, item = get_args(hint)
        return {key: _value(item, each, f"{where}.{key}") for key, each in value.items()}
    expected = get_origin(hint) or hint
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise TypeError(f"{where} is {type(value).__name__}, not {expected.__name__}")
    return value


def _optional(hint: UnionType, value: Any, where: str) -> Any:
    """`value` for a hint of the form X | None."""
    if value is None and NoneType in get_args(hint):
        return None
    (kind,) = [each for each in get_args(hint) if each is not NoneType]
    return _value(kind, value, where)
