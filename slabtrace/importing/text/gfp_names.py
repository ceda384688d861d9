# SPDX-License-Identifier: Apache-2.0
"""Names of gfp flags as traces print them, translated to the bits of kernels from 5.10 on.

The bits moved several times before 5.10, so the number in an old recording cannot be read without its kernel.
A name can: only what the analysis asks for is translated (analysis/names/gfp.py).  Names without two
underscores that are flags now were printed so before 4.6.
"""

from __future__ import annotations

_RECLAIM, _IO, _FS, _ZERO, _ACCOUNT = 0xC00, 0x40, 0x80, 0x100, 0x400000
_BITS = {
    "GFP_KERNEL": _RECLAIM | _IO | _FS,
    "GFP_KERNEL_ACCOUNT": _RECLAIM | _IO | _FS | _ACCOUNT,
    "GFP_NOFS": _RECLAIM | _IO,
    "GFP_NOIO": _RECLAIM,
    "GFP_ATOMIC": 0x820,
    "GFP_NOWAIT": 0x800,
    "GFP_USER": _RECLAIM | _IO | _FS | 0x100000,
    "GFP_HIGHUSER": _RECLAIM | _IO | _FS | 0x100002,
    "GFP_HIGHUSER_MOVABLE": _RECLAIM | _IO | _FS | 0x10000A,
    "GFP_TEMPORARY": _RECLAIM | _IO | _FS | 0x10,
    "GFP_DMA": 0x1,
    "GFP_DMA32": 0x4,
    "DMA": 0x1,
    "WAIT": 0x400,
    "RECLAIM": _RECLAIM,
    "DIRECT_RECLAIM": 0x400,
    "KSWAPD_RECLAIM": 0x800,
    "IO": _IO,
    "FS": _FS,
    "ZERO": _ZERO,
    "ACCOUNT": _ACCOUNT,
    "HIGH": 0x20,
    "RECLAIMABLE": 0x10,
}


def gfp_flags(text: str) -> tuple[int, bool]:
    """(bits, whether `text` had names): of "GFP_KERNEL|__GFP_ZERO", of "0xdc0" as it stands, of "" 0."""
    number = text.split(" ")[0].rstrip(",")
    if number[:1].isdigit():
        try:
            return int(number, 0) & 0xFFFFFFFF, False
        except ValueError:
            return 0, True
    found = 0
    for name in text.split("|"):
        plain = name.removeprefix("__GFP_").removeprefix("GFP_")
        found |= _BITS.get(name, _BITS.get(plain, 0))
    return found, True
