# SPDX-License-Identifier: Apache-2.0
"""What follows from the release of the recorded kernel.

Everywhere else features are detected.  Of an old recording the release is the only fact there is; where it is
not known either, the careful answer is taken.
"""

from __future__ import annotations

import re

FREES_TRACED_BEFORE = (6, 1)  # since then kmem_cache_free is traced before the free


def version_of(release: str) -> tuple[int, int] | None:
    """(5, 4) of "5.4.0-42-generic"; None where there is no version."""
    found = re.match(r"(\d{1,3})\.(\d{1,4})", release)
    return (int(found[1]), int(found[2])) if found else None


def traced_after(release: str) -> bool:
    """Whether kmem_cache_free was traced after the free.  Not known: yes, which is harmless if it was not."""
    version = version_of(release)
    return version is None or version < FREES_TRACED_BEFORE
