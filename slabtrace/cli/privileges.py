# SPDX-License-Identifier: Apache-2.0
"""Privileges of commands: traces are read as the user who called sudo, never as root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slabtrace.errors import UsageError
from slabtrace.invoker import invoking_user

if TYPE_CHECKING:
    from slabtrace.capture.options import CaptureOptions


def behind_sudo() -> bool:
    """Whether this process is root on behalf of a user who called sudo."""
    return invoking_user().differs


def leave_sudo() -> None:
    """Become the user who called sudo, for good; does nothing without sudo.  Raises CaptureError."""
    if behind_sudo():
        from slabtrace.capture.process import privileges

        privileges.give_up()


def check_reach(trace: Path | None, results: Path | None) -> None:
    """Raise UsageError if the user who called sudo cannot read the trace or write into the folder `results`.

    Also if that user cannot run this Python, which may be root's own.  Call it before threads are started.
    """
    needed = [(Path(os.__file__).parent, os.X_OK), (Path(__file__).parent, os.X_OK)]
    needed += [(Path() if trace is None else trace.absolute().parent, os.X_OK)]
    needed += [(results, os.W_OK | os.X_OK)] if results else []
    for folder, access in needed:
        if behind_sudo() and folder.is_dir() and not _may_use(folder, access):
            raise UsageError(
                f"uid {invoking_user().uid}, who called sudo, cannot use {folder.absolute()}; slabtrace "
                "reads the trace as that user",
                "choose another place, or read it later; a root shell can unset SUDO_UID",
            )


def _may_use(folder: Path, access: int) -> bool:
    from slabtrace.capture.process import privileges

    return privileges.would(lambda: os.access(folder, access))


def tell_limits(options: CaptureOptions, quiet: bool = False) -> None:
    """Say on stderr what this recording will lack because a privilege or a kernel feature is missing."""
    from slabtrace.capture.limits import limits

    for problem in [] if quiet else limits(options):
        click.echo(f"note: {problem}", err=True)
