# SPDX-License-Identifier: Apache-2.0
"""Notices modules as they come, so that their symbols are known before they go.

What allocated is named when its call site is stored first, which may be seconds later under load; by then a
module may be gone, and its functions with it.  So a thread of its own looks at /proc/modules, ten times a
second (less often in recordings of days), and reads the symbols at once when that changed.
"""

from __future__ import annotations

import threading

from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.process.privileges import reduce

PAUSE_S = 0.1


class ModuleWatch:
    """Keeps `kallsyms` up to date until closed, looking every `pause_s` seconds."""

    def __init__(self, kallsyms: Kallsyms, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._kallsyms = kallsyms
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slabtrace-modules", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        reduce()
        while not self._done.wait(self._pause_s):
            self._kallsyms.refresh()

    def close(self) -> None:
        """End the thread."""
        self._done.set()
        self._thread.join()
