# SPDX-License-Identifier: Apache-2.0
"""Traces and digests in object stores: anything that pyarrow.fs opens by a URL (s3://, gs://, hdfs://).

A trace is copied to this machine's disk before it is read, because a reader maps files; a packed one is one
request.  A request that fails is tried again a few times, then what it was for is left out, and named.
Bytes that never came are noticed by the length, what came wrong by the reader of the trace.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from slabtrace.errors import UsageError
from slabtrace.fleet.digests.file import MOST_BYTES
from slabtrace.fleet.sources.items import (
    FOLDER,
    PACKED,
    Found,
    Item,
    is_trace_name,
    kind_of_file,
    without_secrets,
)
from slabtrace.trace.format import schema

T = TypeVar("T")
ATTEMPTS = 3
WAIT_S = 0.5  # before the second attempt; twice as long before the third
CONNECT_S, REQUEST_S = 10, 60
CHUNK = 1 << 20
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IN_TRACE = re.compile(rf"({schema.EVENTS_DIR}/|{schema.CARRIED_DIR}/)?[a-z0-9]{{1,32}}\.(arrow|json)")


class ShortError(OSError):
    """Less came than there is."""


def is_url(place: str) -> bool:
    """Whether `place` is a URL, not a path."""
    return _URL.match(place) is not None and not place.startswith("file://")


def find(url: str) -> Found:
    """What lies below `url`.  Raises UsageError for a URL that pyarrow cannot open."""
    store, base = _opened(url)
    try:
        infos = tried(lambda: _listed(store, base))
    except (OSError, pa.ArrowException) as error:
        return Found(unread=[(without_secrets(url), f"cannot be listed: {_words(error)}")])
    if not infos:
        return Found(unread=[(without_secrets(url), "does not exist, or is empty")])
    return _sorted_out(url, base, infos)


@contextmanager
def local_copy(item: Item) -> Iterator[Path]:
    """A copy of the trace on this machine's disk while the block runs.  Raises OSError."""
    store, _ = _opened(item.place)
    with tempfile.TemporaryDirectory(prefix="slabtrace-fleet-") as folder:
        name = item.place.partition("?")[0].rstrip("/").rpartition("/")[2]
        target = Path(folder) / (name if re.fullmatch(r"[\w.-]{1,200}", name) else "trace")
        if item.kind == PACKED:
            _download(store, _path(item.place), target, item.bytes)
        else:
            target.mkdir()
            for each, size in item.files:
                (target / each).parent.mkdir(exist_ok=True)
                _download(store, f"{_path(item.place)}/{each}", target / each, size)
        yield target


def content(item: Item) -> bytes:
    """A digest's content.  Raises OSError."""
    if item.bytes > MOST_BYTES:
        raise OSError("too large for a digest")
    store, _ = _opened(item.place)

    def read() -> bytes:
        with store.open_input_stream(_path(item.place)) as source:
            got = bytes(source.read(MOST_BYTES + 1))
        return _whole(got, len(got), item.bytes)

    return tried(read)


def tried(action: Callable[[], T]) -> T:
    """The result of `action`, once more where it came short: for failed requests the client of the store has
    its own attempts.  Raises OSError.
    """
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except FileNotFoundError:
            raise
        except ShortError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(WAIT_S * 2**attempt)
        except (OSError, pa.ArrowException) as error:
            raise OSError(_words(error)) from error
    raise AssertionError("not reached")


def _opened(url: str) -> tuple[Any, str]:
    try:
        store, path = _s3(url) if url.startswith("s3://") else fs.FileSystem.from_uri(url)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        how = "write s3://BUCKET/PATH or gs://BUCKET/PATH"
        raise UsageError(f"{without_secrets(url)} cannot be opened: {_words(error)}", how) from None
    return store, path


@lru_cache(maxsize=64)
def _s3(url: str) -> tuple[Any, str]:
    """As pyarrow's from_uri, but with bounds on attempts and times.  Raises ValueError."""
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    unknown = set(options) - {"region", "scheme", "endpoint_override", "anonymous"}
    if unknown or not parts.hostname:
        raise ValueError(f"unknown option {min(unknown)}" if unknown else "no bucket")
    if options.pop("anonymous", "") in ("true", "1"):
        options["anonymous"] = True  # type: ignore[assignment]
    if parts.username:
        options |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password or "")}
    store = fs.S3FileSystem(
        **options,
        connect_timeout=CONNECT_S,
        request_timeout=REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    return store, f"{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}".rstrip("/")


def _path(url: str) -> str:
    """The path in the store, as `_opened` has it."""
    return _opened(url)[1]


def _listed(store: Any, base: str) -> list[Any]:
    (own,) = store.get_file_info([base])
    if own.type == fs.FileType.File:
        return [own]
    found = store.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
    return [info for info in found if info.type == fs.FileType.File]


def _sorted_out(url: str, base: str, infos: list[Any]) -> Found:
    """Files as items; those of one trace are one."""
    found, traces = Found(), defaultdict(list)
    for info in sorted(infos, key=lambda info: info.path):
        inside = info.path[len(base) :].strip("/")
        folders = inside.split("/")[:-1]
        if is_trace_name(base.rstrip("/")):
            traces[""].append((inside, info))
        elif at := next((at for at, name in enumerate(folders, 1) if is_trace_name(name)), 0):
            traces["/".join(folders[:at])].append((inside.split("/", at)[at], info))
        elif kind := kind_of_file(info.path) or ("" if inside else PACKED):
            found.items.append(Item(kind, _joined(url, inside), info.size, True, stamp=str(info.mtime_ns)))
    for name, files in traces.items():
        known = [(each, info) for each, info in files if _IN_TRACE.fullmatch(each)]
        sizes = tuple((each, info.size) for each, info in known)
        stamp = str(max((info.mtime_ns or 0 for _, info in known), default=0))
        found.items.append(
            Item(FOLDER, _joined(url, name), sum(size for _, size in sizes), True, sizes, stamp)
        )
    return found


def _joined(url: str, inside: str) -> str:
    """The URL of something below `url`, which may end with ?options."""
    place, mark, options = url.partition("?")
    return f"{place.rstrip('/')}{'/' if inside else ''}{inside}{mark}{options}"


def _download(store: Any, path: str, target: Path, size: int) -> None:
    def copy() -> None:
        got = 0
        with store.open_input_stream(path) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK):
                got += len(chunk)
                if got > size:
                    break
                file.write(chunk)
        _whole(b"", got, size)

    tried(copy)


def _whole(result: bytes, got: int, size: int) -> bytes:
    if got != size:
        raise ShortError(f"{got} of {size} bytes came")
    return result


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
