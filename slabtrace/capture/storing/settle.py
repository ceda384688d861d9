# SPDX-License-Identifier: Apache-2.0
"""--settle: wait until the kernel has freed what it frees with a delay, so that only what is in use is left.

Three things are waited for: RCU grace periods, the callbacks that free objects after them, and the
shrinking of the reclaimable slab caches (dentries, inodes) through /proc/sys/vm/drop_caches.  User space
has no rcu_barrier.  Callbacks run in a softirq or in an rcuo thread soon after their grace period, so this
waits for several grace periods, with time for callbacks after each.
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
_SHRINK_ON_A_LINE = f"read -r line && echo 2 > {DROP_CACHES}"  # reclaimable slab: admin-guide/sysctl/vm.rst
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_CMD_GLOBAL = 1  # calls synchronize_rcu()
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
    """A function that waits for RCU, shrinks the reclaimable caches, and waits for RCU again (OSError).

    Call this as root: only root may shrink the caches.  A shell that is started here does it when the
    returned function sends it a line, so the recorder need not stay root.  The shell ends with the
    recorder.  Raises CaptureError.
    """
    if not os.access(DROP_CACHES, os.W_OK):
        raise CaptureError(
            f"--settle needs root: it shrinks the machine's caches through {DROP_CACHES}", "run it with sudo"
        )
    waiting = subprocess.Popen(["sh", "-c", _SHRINK_ON_A_LINE], stdin=subprocess.PIPE)

    def settle() -> None:
        wait_grace_periods()
        waiting.communicate(b"now\n")
        if waiting.returncode:
            raise CaptureError(f"--settle: the reclaimable caches could not be shrunk through {DROP_CACHES}")
        wait_grace_periods()

    return settle
