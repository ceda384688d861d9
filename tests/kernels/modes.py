# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: every mode and option is compiled, loaded and attached once, with others in pairs.

    python -m tests.kernels.modes

A line for each that this kernel refuses; exit status 1 if there is one.  Survivors mode may be refused with
its own words, where the kernel cannot pair (5.10).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.session import Session
from slabtrace.errors import CaptureError, SlabtraceError

PID = os.getpid()
MODES: tuple[dict[str, Any], ...] = (
    {"stacks": "auto"},
    {"stacks": "none", "twins": "none", "sample": 16},
    {"stacks": "auto", "pid": PID, "budget": 0.02},
    {"stacks": "all", "comm": "sl*", "twins": "frees", "min_size": 64},
    {"stacks": "auto", "cgroup": "/a*", "cache": ("kmalloc-*",)},
    {"stacks": "none", "pid": PID, "follow": True, "max_size": 512, "sample": 4},
    {"mode": "survivors", "stacks": "auto"},
    {"mode": "survivors", "stacks": "none", "cache": ("dentry",), "sample": 16, "twins": "frees"},
    {"mode": "survivors", "stacks": "all", "comm": "sl*", "pid": PID, "min_size": 64, "budget": 0.02},
    {"mode": "survivors", "stacks": "auto", "cgroup": "/a*", "twins": "none"},
    {"stacks": "auto", "percpu": True, "pages": True, "vmalloc": True},
    {"stacks": "none", "pages": True, "pid": PID, "min_size": 64, "twins": "none"},
    {"mode": "survivors", "stacks": "auto", "percpu": True, "vmalloc": True},
)


def refused(mode: dict[str, Any]) -> str:
    """Why this kernel refuses it; "" if it does not."""
    options = CaptureOptions(buffer_mib=1, **mode)
    try:
        session = Session(options)
    except CaptureError as error:
        cannot_pair = options.survivors and error.message.startswith("--mode survivors cannot be used")
        return "" if cannot_pair else error.message
    try:
        session.start()
        session.stop()
    except SlabtraceError as error:
        return error.message
    finally:
        session.close()
    return ""


def main() -> int:
    """Try all of MODES, as many at a time as there are CPUs: to compile takes long; 1 if one is refused."""
    spawn = multiprocessing.get_context("spawn")  # bcc's clang does not outlive a fork
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        reasons = list(pool.map(refused, MODES))
    for mode, reason in zip(MODES, reasons, strict=True):
        sys.stderr.write(f"{mode}: {reason}\n" if reason else "")
    return int(any(reasons))


if __name__ == "__main__":
    sys.exit(main())
