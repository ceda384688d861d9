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
import time
from pathlib import Path

DROP_CACHES = Path("/proc/sys/vm/drop_caches")
_RECLAIMABLE_SLAB = "2\n"  # Documentation/admin-guide/sysctl/vm.rst
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


def settle() -> None:
    """Wait out RCU, shrink the reclaimable caches, and wait out RCU again.  Raises OSError."""
    wait_grace_periods()
    DROP_CACHES.write_text(_RECLAIMABLE_SLAB)
    wait_grace_periods()
