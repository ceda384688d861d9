# SPDX-License-Identifier: Apache-2.0
"""A process that frees and allocates objects all the time: `python -m tests.live.churn FOLDER`.

Names tell what an object must be: `missing-…` never exists, `there-…` is a file while it is open.  Memory of
one is used again for the other at once.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from pathlib import Path


def turn(folder: Path, number: int) -> None:
    """Make and free a folder with names and files in it, and sockets beside."""
    inner = folder / f"turn-{number}"
    inner.mkdir()
    there = [inner / f"there-{i}" for i in range(16)]
    fds = [os.open(path, os.O_CREAT | os.O_RDWR) for path in there]
    for i in range(random.randrange(64)):
        os.path.exists(inner / f"missing-{i}")
    sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(random.randrange(16))]
    for each in sockets:
        each.close()
    for fd, path in zip(fds, there, strict=True):
        os.close(fd)
        path.unlink()
    inner.rmdir()


def main() -> None:
    """Until the process is killed."""
    number = 0
    while True:
        turn(Path(sys.argv[1]), number := number + 1)


if __name__ == "__main__":
    main()
