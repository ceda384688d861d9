# SPDX-License-Identifier: Apache-2.0
"""Notice when a module is loaded, so that its symbols are known even after it is unloaded.

A call site gets its name when its first event is stored.  Under load this may be seconds later, and the
module may be unloaded by then.  So a thread looks at /proc/modules ten times a second (in survivors mode
twice), and reads the symbols at once when it has changed.
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
