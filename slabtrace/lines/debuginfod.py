# SPDX-License-Identifier: Apache-2.0
"""Debug information from a debuginfod server: GET URL/buildid/ID/debuginfo, kept in the cache of elfutils.

Only a server whose URL was given is asked, and only for what no folder has.  What it sends is bounded in
size and time, and nothing is kept that has another build id.  The cache is that of elfutils' own client:
$DEBUGINFOD_CACHE_PATH, else debuginfod_client in the user's cache folder; ID/debuginfo in it.
"""

from __future__ import annotations

import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple

from slabtrace.errors import DebugInfoError
from slabtrace.lines.elf import read_elf

SCHEMES = ("http://", "https://")
CHUNK = 1 << 20
_NOT_THERE = (404, 410)
_CHOOSE = "Choose a cache with DEBUGINFOD_CACHE_PATH."


class Limits(NamedTuple):
    """`timeout_s`: without an answer; `bytes`: of a file (a kernel's debug info has 1 GB); `slowest`: bytes/s
    on average, judged from `timeout_s` on."""

    timeout_s: float = 60.0
    bytes: int = 4 << 30
    slowest: int = 2_000


USUAL_LIMITS = Limits()


class Server:
    """The server at `url`.  `fetching`: called with the URL of what it is asked for."""

    def __init__(
        self, url: str, limits: Limits = USUAL_LIMITS, fetching: Callable[[str], None] | None = None
    ) -> None:
        self.url, self._limits, self._fetching = url.rstrip("/"), limits, fetching
        # no file: or ftp:, wherever the server redirects to
        handlers = (urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.ProxyHandler)
        self._opener = urllib.request.OpenerDirector()
        for handler in (*handlers, urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
                        urllib.request.HTTPDefaultErrorHandler):  # fmt: skip
            self._opener.add_handler(handler())

    def fetch(self, build_id: str) -> Path | None:
        """The debug information of that build, in the cache; None if the server has none.

        Raises DebugInfoError if it does not answer, or sends too much, too slowly, or of another build.
        """
        kept = cache_folder() / build_id / "debuginfo"
        if (elf := read_elf(kept)) is not None and elf.build_id == build_id:
            return kept
        url = f"{self.url}/buildid/{build_id}/debuginfo"
        if self._fetching is not None:
            self._fetching(url)
        try:
            with self._opener.open(url, timeout=self._limits.timeout_s) as answer:
                return self._keep(answer, kept, build_id)
        except urllib.error.HTTPError as error:
            if error.code in _NOT_THERE:
                return None
            raise self._failed(f"it answered {error.code}") from None
        except TimeoutError:
            raise self._failed(f"no answer for {self._limits.timeout_s:g} s") from None
        except urllib.error.URLError as error:
            raise self._failed(str(error.reason)) from None
        except (HTTPException, ValueError, OSError) as error:
            raise self._failed(f"it does not speak HTTP as it should ({type(error).__name__})") from None

    def _keep(self, answer: HTTPResponse, kept: Path, build_id: str) -> Path:
        """Receive the file beside its place, check it, and move it there."""
        name = ""
        try:
            kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=".slabtrace-", delete=False) as file:
                name = file.name
                for chunk in self._chunks(answer):
                    file.write(chunk)
            elf = read_elf(Path(name))
            if elf is None or elf.build_id != build_id:
                raise self._failed("what it sent is not of the build that was asked for")
            Path(name).replace(kept)
        except OSError as error:
            raise DebugInfoError(
                f"{kept.parent} cannot be written: {error.strerror or error}",
                _CHOOSE,
            ) from None
        finally:
            if name:
                Path(name).unlink(missing_ok=True)
        return kept

    def _chunks(self, answer: HTTPResponse) -> Iterator[bytes]:
        """What it sends.  Raises DebugInfoError beyond the limits, or if the connection breaks."""
        limits, begun, received = self._limits, time.monotonic(), 0
        while chunk := self._next(answer):
            yield chunk
            received += len(chunk)
            took = time.monotonic() - begun
            if received > limits.bytes:
                raise self._failed(f"it sent more than {limits.bytes >> 20} MiB")
            if took > limits.timeout_s and received < took * limits.slowest:
                raise self._failed(f"it sent only {received} bytes in {took:.0f} s")
        if answer.length:
            raise self._failed("the connection ended early")

    def _next(self, answer: HTTPResponse) -> bytes:
        try:
            return answer.read1(CHUNK)
        except TimeoutError:
            raise self._failed(f"no answer for {self._limits.timeout_s:g} s") from None
        except (OSError, HTTPException, ValueError):
            raise self._failed("the connection broke") from None

    def _failed(self, reason: str) -> DebugInfoError:
        return DebugInfoError(
            f"no debug info from {self.url}: {reason}",
            "Try again later, give a file or folder, or leave --lines out.",
        )


def cache_folder() -> Path:
    """Where elfutils' client keeps what it fetched.  Raises DebugInfoError where nobody has a home."""
    own = os.environ.get("DEBUGINFOD_CACHE_PATH")
    if own:
        return Path(own)
    folder = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(folder) if folder else Path.home() / ".cache") / "debuginfod_client"
    except RuntimeError:
        raise DebugInfoError("there is no home folder to keep debug info in", _CHOOSE) from None
