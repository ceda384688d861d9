# SPDX-License-Identifier: Apache-2.0
"""Computing the next items of a stream in a thread, while the current one is used.

Decompression, pairing and counting spend their time in code that releases the interpreter's lock, so they run
in parallel on two CPUs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], depth: int, name: str) -> Iterator[T]:
    """`items`, up to `depth` of them computed before they are asked for, in a thread called `name`.

    No item may be None.  An exception is raised where its item is asked for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        pending = deque(thread.submit(next, items, None) for _ in range(depth))
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item
