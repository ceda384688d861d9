# SPDX-License-Identifier: Apache-2.0
"""Keeping freed memory for the next batch, instead of returning it to the kernel every time.

Every batch needs the same few large arrays.  glibc returns those at once, and the kernel has to clear each
page of the next ones: a quarter of the time of pairing, a tenth of storing.  This changes malloc for the
whole process, so it is for commands, not for a library in somebody's notebook.
"""

from __future__ import annotations

import ctypes

# mallopt(3): parameters as in malloc.h, and values in bytes
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
SETTINGS = {M_MMAP_THRESHOLD: 32 << 20, M_TRIM_THRESHOLD: 512 << 20, M_TOP_PAD: 64 << 20}


def keep_freed_memory() -> None:
    """Configure malloc; it does nothing if malloc is not that of glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter, value in SETTINGS.items():
        mallopt(parameter, value)
