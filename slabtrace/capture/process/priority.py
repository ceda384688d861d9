# SPDX-License-Identifier: Apache-2.0
"""Let the recorder's threads run before ordinary ones: on a busy machine the rings would fill otherwise."""

from __future__ import annotations

import contextlib
import os
import threading

_HIGHEST = -20


def raise_priority() -> None:
    """Give the calling thread the highest ordinary priority (nice -20), if that is permitted.

    A recorder's thread sleeps when it has nothing to do, so it does not harm others.  On Linux the nice value
    belongs to a thread, so each thread calls this.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _HIGHEST)
