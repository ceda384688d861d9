# SPDX-License-Identifier: Apache-2.0
"""Notice when a module is loaded, so that its symbols and its build are known even after it is unloaded.

A call site gets its name when its first event is stored.  Under load this may be seconds later, and the
module may be unloaded by then.  So a thread looks at /proc/modules ten times a second (in survivors mode
twice), and reads the symbols at once when it has changed.  What /sys says of a new module becomes a row of
modules.arrow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.kernel.modules import Loaded, ModuleRow, describe
from slabtrace.capture.process.privileges import reduce

PAUSE_S = 0.1


class ModuleWatch:
    """Keeps `kallsyms` up to date until closed, looking every `pause_s` seconds.

    `found` gets a row for the kernel and each module that is loaded, at first all of them, then new ones;
    it is called in the thread.
    """

    def __init__(
        self,
        kallsyms: Kallsyms,
        pause_s: float = PAUSE_S,
        found: Callable[[list[ModuleRow]], None] = lambda rows: None,
    ) -> None:
        self._pause_s = pause_s
        self._kallsyms = kallsyms
        self._found = found
        self._seen: list[Loaded] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slabtrace-modules", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        reduce()
        self._look()
        while not self._done.wait(self._pause_s):
            self._kallsyms.refresh()
            self._look()

    def _look(self) -> None:
        """Describe what was loaded since.  One that is loaded again is described again."""
        loaded, before = self._kallsyms.loaded, self._seen
        if loaded is not before:
            self._seen, now_ns = loaded, time.monotonic_ns()
            self._found([describe(each, now_ns) for each in loaded if each not in before])

    def close(self) -> None:
        """End the thread."""
        self._done.set()
        self._thread.join()
