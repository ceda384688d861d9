# SPDX-License-Identifier: Apache-2.0
"""Computing the next items of a stream in a thread while the last one is worked on.

Decompression, pairing and counting each spend their time in code that does without the
interpreter's lock, so that on two CPUs they run side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], depth: int, name: str) -> Iterator[T]:
    """`items`, up to `depth` of them computed before they are asked for, in a thread called `name`.

    No item may be None.  What computing one raises is raised where it is asked for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        pending = deque(thread.submit(next, items, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item
