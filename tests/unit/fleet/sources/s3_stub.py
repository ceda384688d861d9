# SPDX-License-Identifier: Apache-2.0
"""An object store on loopback that speaks as much of S3 as pyarrow.fs asks for, and misbehaves on request."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

WHEN = "2026-11-28T10:00:00.000Z"


@dataclass
class Bucket:
    """`objects` by key.  `refuses`: whether to answer (method, key) with an error.

    `cuts`: keys of which half is sent before the connection ends.  `hangs`: keys that are never answered.
    """

    objects: dict[str, bytes]
    refuses: Callable[[str, str], bool] = lambda method, key: False
    cuts: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def listing(self, prefix: str) -> bytes:
        """The answer to ListObjectsV2."""
        found = {key: each for key, each in sorted(self.objects.items()) if key.startswith(prefix)}
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{WHEN}</LastModified>"
            f"<Size>{len(each)}</Size></Contents>"
            for key, each in found.items()
        )
        return (
            f"<?xml version='1.0'?><ListBucketResult><Name>b</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        ).encode()


class Server(ThreadingHTTPServer):
    bucket: Bucket


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        bucket, parts = self.server.bucket, urlsplit(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        bucket.asked[self.command, key] += 1
        query = parse_qs(parts.query, keep_blank_values=True)
        if key in bucket.hangs:
            bucket.ended.wait()
        elif bucket.refuses(self.command, key):
            self.reply(503, b"<Error><Code>SlowDown</Code></Error>")
        elif "list-type" in query:
            self.reply(200, bucket.listing(query.get("prefix", [""])[0]))
        elif key in bucket.objects:
            self.reply(200, bucket.objects[key], key in bucket.cuts)
        else:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def reply(self, status: int, content: bytes, cut: bool = False) -> None:
        begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if status == 200 and begin:
            status, content = 206, content[int(begin) : int(end) + 1 if end else None]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 10:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(bucket: Bucket) -> Iterator[Callable[[str], str]]:
    """While the block runs, the bucket is served; gives the URL of a key."""
    server = Server(("127.0.0.1", 0), Handler)
    server.bucket = bucket
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    options = f"scheme=http&region=eu&endpoint_override=127.0.0.1%3A{server.server_port}"
    try:
        yield lambda key: f"s3://me:secret@b/{key}?{options}"
    finally:
        bucket.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
