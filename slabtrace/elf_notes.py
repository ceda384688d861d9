# SPDX-License-Identifier: Apache-2.0
"""ELF notes: the build id, which names one build of a kernel or module, and the debug information of it."""

from __future__ import annotations

import struct

_NT_GNU_BUILD_ID = 3
MOST_BYTES = 64  # of a build id; SHA-1 has 20


def build_id(notes: bytes, byte_order: str = "<") -> str:
    """The build id in the content of a note section, in hex; "" if it has none.

    `byte_order`: as struct has it.
    """
    at = 0
    while at + 12 <= len(notes):
        name_size, desc_size, kind = struct.unpack_from(f"{byte_order}III", notes, at)
        name = notes[at + 12 : at + 12 + name_size].rstrip(b"\0")
        desc = at + 12 + (name_size + 3) // 4 * 4
        if name == b"GNU" and kind == _NT_GNU_BUILD_ID:
            return notes[desc : desc + min(desc_size, MOST_BYTES)].hex()
        at = desc + (desc_size + 3) // 4 * 4
    return ""
