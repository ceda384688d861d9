# SPDX-License-Identifier: Apache-2.0
"""Who runs slabtrace: the user behind sudo if there is one.  The results are theirs, and read as them."""

from __future__ import annotations

import contextlib
import os
import pwd
from dataclasses import dataclass

_MOST_ID = (1 << 32) - 2  # the one above stands for "leave it as it is" (setresuid(2))


@dataclass(frozen=True)
class InvokingUser:
    """Who called: the user behind sudo if there is one, else the process's own."""

    uid: int
    gid: int
    name: str | None

    @property
    def differs(self) -> bool:
        """True under sudo."""
        return self.uid != os.geteuid()


def invoking_user() -> InvokingUser:
    """From SUDO_UID and SUDO_GID, which sudo sets, if we are root; else this process's own ids."""
    uid, gid = _id("SUDO_UID"), _id("SUDO_GID")
    if os.geteuid() != 0 or uid is None or gid is None:
        uid, gid = os.geteuid(), os.getegid()
    return InvokingUser(uid, gid, _name(uid))


def _id(variable: str) -> int | None:
    """None where it is not set, or to something that sudo never wrote."""
    text = os.environ.get(variable, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_ID)) else None
    return number if number is not None and number <= _MOST_ID else None


def _name(uid: int) -> str | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return None
