# SPDX-License-Identifier: Apache-2.0
"""Wait until the kernel has freed what it only keeps for later, so that what is left was truly kept.

Three things are waited out: RCU grace periods, the callbacks that free after them, and, through
/proc/sys/vm/drop_caches, the reclaimable slab caches (dentries, inodes).  There is no rcu_barrier
for user space: callbacks run in softirq or in rcuo threads soon after their grace period, so a few
grace periods are waited for, with time for the callbacks between them.
"""

from __future__ import annotations

import ctypes as ct
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from slabtrace.errors import CaptureError

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_ON_THE_WORD = f"read -r word && echo 2 > {DROP_CACHES}"  # reclaimable slab: admin-guide/sysctl/vm.rst
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_CMD_GLOBAL = 1  # synchronize_rcu(), in all but name
_GRACE_PERIODS = 3
_CALLBACK_SECONDS = 0.1


def wait_grace_periods() -> None:
    """Return after several RCU grace periods, each followed by time for its callbacks.

    Raises OSError where the kernel has no membarrier (CONFIG_MEMBARRIER).
    """
    libc = ct.CDLL(None, use_errno=True)
    for _ in range(_GRACE_PERIODS):
        if libc.syscall(_SYS_MEMBARRIER[platform.machine()], _MEMBARRIER_CMD_GLOBAL, 0, 0) < 0:
            error = ct.get_errno()
            raise OSError(error, os.strerror(error))
        time.sleep(_CALLBACK_SECONDS)


def settler() -> Callable[[], None]:
    """A function that waits out RCU, shrinks the reclaimable caches, and waits out RCU again (OSError).

    To be called by root, who alone may shrink them: that is left to a shell which waits for the word,
    so that the recorder need not stay root.  It ends with the recorder.  Raises CaptureError.
    """
    if not os.access(DROP_CACHES, os.W_OK):
        raise CaptureError("--settle needs root: it shrinks the machine's caches", "run it with sudo")
    waiting = subprocess.Popen(["sh", "-c", _ON_THE_WORD], stdin=subprocess.PIPE)

    def settle() -> None:
        wait_grace_periods()
        waiting.communicate(b"now\n")
        if waiting.returncode:
            raise CaptureError(f"the reclaimable caches could not be shrunk through {DROP_CACHES}")
        wait_grace_periods()

    return settle
