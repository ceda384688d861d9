# SPDX-License-Identifier: Apache-2.0
"""The one exception family: what is wrong, the remedy, and the exit code.

Every failure that a user can see is one of these.  Only commands/main.py prints them and exits with
their `exit_code`.
"""

from __future__ import annotations

FOUND = 1  # `check`, `diff` and `mismatches` found something
USAGE = 2
BAD_TRACE = 3
CANNOT_TRACE = 4


class SlabtraceError(Exception):
    """A failure that is explained to the user.

    `message` says what is missing or wrong; `remedy` (may be empty) how to solve it.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(SlabtraceError):
    """Options that contradict each other or match nothing, or a place that cannot be written."""

    exit_code = USAGE


class DebugInfoError(UsageError):
    """Debug information that is missing, of another build, or cannot be fetched or read (--lines)."""


class TraceError(SlabtraceError):
    """A trace that is missing, damaged, or written by a newer slabtrace."""

    exit_code = BAD_TRACE


class CaptureError(SlabtraceError):
    """This machine, or this user on it, cannot trace."""

    exit_code = CANNOT_TRACE
