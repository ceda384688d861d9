# SPDX-License-Identifier: Apache-2.0
"""slabtrace: every slab allocation and free of a running Linux kernel, and what leaks.

    import slabtrace
    trace = slabtrace.open("boot.slab")
    trace.leaks().head()

Importing this package loads neither numpy, pandas, pyarrow, matplotlib nor bcc; `open` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from slabtrace.api import Trace

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(path: str | PathLike[str]) -> Trace:
    """Open the trace folder at `path` for reading; no root needed.

    Raises TraceError when it is missing, damaged beyond reading, or from a newer major version.
    """
    from slabtrace.api import Trace

    return Trace(path)
