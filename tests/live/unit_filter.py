# SPDX-License-Identifier: Apache-2.0
"""The system calls that a systemd unit allows, without systemd.

    python -m tests.live.unit_filter UNIT COMMAND...

runs COMMAND with a seccomp filter that allows what SystemCallFilter= of UNIT does (its groups as this
machine's systemd-analyze lists them) and refuses everything else with EPERM, and with no_new_privs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

_ALLOW, _ERRNO, _UNKNOWN = 0x7FFF0000, 0x00050000, -1  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(0), __NR_SCMP_ERROR


def allowed(words: list[str]) -> set[str]:
    """The names of system calls that these names and groups (@…) are."""
    names = {word for word in words if not word.startswith("@")}
    groups = [word for word in words if word.startswith("@")]
    if groups:
        run = ["systemd-analyze", "syscall-filter", "--no-pager", *groups]
        said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        inside = re.findall(r"^ +([@a-z]\S*)$", re.sub(r"\x1b\[[0-9;]*m", "", said), re.M)
        names |= allowed(inside)
    return names


def main(unit: str, *command: str) -> None:
    """Become COMMAND."""
    (words,) = re.findall(r"^SystemCallFilter=(.*)$", Path(unit).read_text(), re.M)
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filtering = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))
    for name in sorted(allowed(words.split())):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN and library.seccomp_rule_add(filtering, _ALLOW, number, 0):
            raise OSError(f"seccomp: {name} cannot be allowed")
    if library.seccomp_load(filtering):
        raise OSError("seccomp: the filter cannot be loaded")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
