# SPDX-License-Identifier: Apache-2.0
"""A debuginfod server: asked only when it was named, bounded, its answers checked and kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from slabtrace.analysis.names.modules import Modules
from slabtrace.errors import DebugInfoError
from slabtrace.lines import debuginfod
from slabtrace.lines.debug_files import DebugFiles
from slabtrace.lines.debuginfod import Limits, Server
from tests.unit.lines import built


class Asked(ThreadingHTTPServer):
    """A server that remembers which paths it was asked for."""

    daemon_threads = True
    mode = "right"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class Answers(BaseHTTPRequestHandler):
    """Answers as the server's `mode` says."""

    server: Asked

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        getattr(self, self.server.mode)()

    def send(self, content: bytes, length: int | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def right(self) -> None:
        self.send((built.tree() / "vmlinux").read_bytes())

    def other_build(self) -> None:
        self.send((built.tree() / "leaky.ko").read_bytes())

    def cut(self) -> None:
        content = (built.tree() / "vmlinux").read_bytes()
        self.send(content[:4000], len(content))

    def none(self) -> None:
        self.send(b"no", status=404)

    def broken(self) -> None:
        self.send(b"oops", status=500)

    def silent(self) -> None:
        time.sleep(3)

    def garbage(self) -> None:
        self.wfile.write(b"\x00\x01\x02\n\n")

    def to_a_file(self) -> None:
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _ in range(40):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.05)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Asked]:
    """A server here, and an empty cache."""
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Asked()
    thread = threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def kept(tmp_path: Path) -> list[str]:
    """All that is in the cache."""
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_debug_info_is_fetched_once_and_kept(server: Asked, tmp_path: Path) -> None:
    build_id, seen = built.kernel().build_id, []
    path = Server(server.url + "/", fetching=seen.append).fetch(build_id)
    assert path == tmp_path / "cache" / build_id / "debuginfo"
    assert path.read_bytes() == (built.tree() / "vmlinux").read_bytes()
    assert Server(server.url).fetch(build_id) == path
    assert server.asked == [f"/buildid/{build_id}/debuginfo"]
    assert seen == [server.url + server.asked[0]] and kept(tmp_path) == ["debuginfo"]


def test_a_server_without_it_is_no_failure(server: Asked, tmp_path: Path) -> None:
    server.mode = "none"
    assert Server(server.url).fetch(built.kernel().build_id) is None
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("other_build", "not of the build that was asked for"),
        ("cut", "ended early"),
        ("broken", "it answered 500"),
        ("silent", "no answer|timed out"),
        ("garbage", "HTTP"),
        ("drip", "sent only|no answer"),
        ("to_a_file", "answered 302|file"),
    ],
)
def test_what_a_server_does_wrong_is_one_error(server: Asked, tmp_path: Path, mode: str, words: str) -> None:
    server.mode = mode
    timeout_s = 0.4 if mode in ("silent", "drip") else 50.0  # a busy machine answers late
    begun = time.monotonic()
    with pytest.raises(DebugInfoError, match=words) as error:
        Server(server.url, Limits(timeout_s=timeout_s, slowest=2000)).fetch(built.kernel().build_id)
    assert time.monotonic() - begun < 60
    assert server.url in error.value.message and "\n" not in error.value.remedy
    assert kept(tmp_path) == []


def test_a_file_that_is_too_long_is_not_kept(server: Asked, tmp_path: Path) -> None:
    with pytest.raises(DebugInfoError, match="more than"):
        Server(server.url, Limits(bytes=1000)).fetch(built.kernel().build_id)
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_written(
    server: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "file"))
    with pytest.raises(DebugInfoError, match="cannot be written") as error:
        Server(server.url).fetch(built.kernel().build_id)
    assert "DEBUGINFOD_CACHE_PATH" in error.value.remedy


def test_no_server_is_asked_unless_its_url_was_given(
    server: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", server.url)
    modules = Modules(built.recorded())
    kernel = next(iter(modules))
    assert DebugFiles([], modules, "", root=tmp_path).find(kernel).elf is None
    assert server.asked == []
    found = DebugFiles([server.url], modules, "", root=tmp_path).find(kernel)
    assert found.elf is not None and found.elf.build_id == kernel.build_id


def test_a_server_is_asked_only_for_what_no_folder_has(server: Asked, tmp_path: Path) -> None:
    modules = Modules(built.recorded())
    files = DebugFiles([server.url, str(built.tree())], modules, "", root=tmp_path)
    assert all(files.find(module).elf for module in modules)
    assert server.asked == []


def test_the_cache_is_that_of_elfutils(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEBUGINFOD_CACHE_PATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert debuginfod.cache_folder() == Path("/x/debuginfod_client")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/y")
    assert debuginfod.cache_folder() == Path("/home/y/.cache/debuginfod_client")


def test_nobody_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEBUGINFOD_CACHE_PATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DebugInfoError, match="no home folder"):
        debuginfod.cache_folder()
