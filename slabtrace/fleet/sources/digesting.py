# SPDX-License-Identifier: Apache-2.0
"""The map: one trace becomes one digest, or a reason why not.  This runs on workers, too.

Nothing that is wrong with a trace raises here, so one bad trace never ends the work on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from slabtrace.errors import SlabtraceError
from slabtrace.fleet.digests.file import MOST_BYTES, encoded
from slabtrace.fleet.digests.fingerprint import fingerprint
from slabtrace.fleet.digests.making import digest_frame
from slabtrace.fleet.sources import remote
from slabtrace.fleet.sources.items import Item

GONE = "disappeared while it was read, as old parts of a series do"


class Job(NamedTuple):
    """A trace to be read.  `key`: what names its digest in the store."""

    key: str
    item: Item


class Result(NamedTuple):
    """`content`: the digest as a file; empty where there is none, and `why` says why.

    Plain values, so that nothing has to be unpickled that could run.
    """

    key: str
    content: bytes
    why: str = ""


def digest_bundle(jobs: Sequence[Job]) -> list[tuple[str, bytes, str]]:
    """Several traces, one after another; each result as a plain tuple."""
    return [tuple(digest_job(job)) for job in jobs]  # type: ignore[misc]


def digest_job(job: Job) -> Result:
    """The digest of one trace."""
    try:
        return Result(job.key, _digest(job.item))
    except FileNotFoundError:
        return Result(job.key, b"", GONE)
    except SlabtraceError as error:
        gone = not job.item.remote and not Path(job.item.place).exists()
        return Result(job.key, b"", GONE if gone else error.message)
    except MemoryError:
        return Result(job.key, b"", "needs more memory than there is")
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        ArithmeticError,
        pa.ArrowException,
    ) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        return Result(job.key, b"", f"cannot be read: {words}")


def _digest(item: Item) -> bytes:
    from slabtrace.api import Trace

    copy = remote.local_copy(item) if item.remote else nullcontext(Path(item.place))
    with copy as path:
        if not path.exists():
            raise FileNotFoundError(path)
        name = fingerprint(path)
        return encoded(digest_frame(Trace(path), path.name, name))


def read_digest(item: Item) -> bytes:
    """The content of a digest.  Raises OSError."""
    if item.remote:
        return remote.content(item)
    with Path(item.place).open("rb") as file:
        return file.read(MOST_BYTES + 1)


def content_hash(content: bytes) -> str:
    """What names the content of a digest."""
    return blake2b(content, digest_size=16).hexdigest()


def key_of(item: Item) -> str:
    """What names the digest of a trace in the store.  Raises TraceError, OSError."""
    return item.version if item.remote else fingerprint(Path(item.place))
