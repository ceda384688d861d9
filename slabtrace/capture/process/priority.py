# SPDX-License-Identifier: Apache-2.0
"""The recorder's threads run before ordinary ones: on a busy machine the consumer must not starve."""

from __future__ import annotations

import contextlib
import os
import threading

_HIGHEST = -20


def raise_priority() -> None:
    """Give the calling thread the highest ordinary priority, if we may.

    It takes what it needs and sleeps.  On Linux a nice value belongs to a thread, so each calls this.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _HIGHEST)
