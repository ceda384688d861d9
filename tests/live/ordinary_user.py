# SPDX-License-Identifier: Apache-2.0
"""Run a program as an ordinary user with chosen capabilities, or behind sudo, wherever the interpreter lies.

Root's home is closed to others, and Python or the checkout may lie in it.  So the program runs in a mount
namespace of its own, where an overlay over the outermost closed folder opens the way.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

NOBODY = 65534
REPOSITORY = Path(__file__).resolve().parents[2]


def closed_folders() -> list[Path]:
    """The folders on the way to Python and to this checkout that others may not pass, outermost first."""
    ends = [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), REPOSITORY]
    passed = {folder for end in ends for folder in (end, *end.parents)}
    return sorted(folder for folder in passed if folder.stat().st_mode & 0o005 != 0o005)


def _opened() -> str:
    """Shell commands that open them, in this mount namespace alone."""
    lines, over = [], None
    for folder in closed_folders():
        if over is None or not folder.is_relative_to(over):
            over, layer = folder, f"/mnt/{len(lines)}"
            lines += [
                f"mkdir {layer} {layer}/upper {layer}/work",
                f"mount -t overlay -o lowerdir={shlex.quote(str(folder))},"
                f"upperdir={layer}/upper,workdir={layer}/work none {shlex.quote(str(folder))}",
            ]
        lines.append(f"chmod o+rx {shlex.quote(str(folder))}")
    return " && ".join(["mount -t tmpfs none /mnt", *lines])


def as_root() -> list[str]:
    """What to put before a program's words to run it where nobody could, too."""
    script = f'{_opened()} && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"]


def as_nobody(capabilities: Iterable[str]) -> list[str]:
    """What to put before a program's words to run it as nobody with these capabilities ("bpf")."""
    given = ",".join(f"+{name}" for name in capabilities) or "-all"
    drop = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --inh-caps -all,{given} "
    drop += f"--ambient-caps -all,{given} --bounding-set -all,{given}"
    return [*as_root(), *shlex.split(drop)]
