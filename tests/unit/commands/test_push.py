# SPDX-License-Identifier: Apache-2.0
"""`slabtrace push` against a server on loopback that keeps what it is given."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from slabtrace.commands import main
from slabtrace.render.export.push import request
from tests.places import FIXTURES

TRACE = str(FIXTURES / "slow-leak.slab")


class Server(HTTPServer):
    status = 200
    got: list[tuple[str, dict[str, str], bytes]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((self.path, headers, body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"too\x1b[31m old")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.got = []
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_pyroscope_gets_a_profile_that_is_not_summed_over_time(server: Server) -> None:
    assert main.run(["push", TRACE, "--to", url(server), "--tenant", "ops"]) == 0
    ((path, headers, body),) = server.got
    query = {key: value for key, (value,) in parse_qs(urlsplit(path).query).items()}
    assert urlsplit(path).path == "/ingest"
    assert query["name"] == "slabtrace{host=fixture,release=6.18.44-fc-v669}"
    assert (query["format"], query["aggregationType"]) == ("pprof", "average")
    assert int(query["until"]) - int(query["from"]) in (24, 25)  # the recording lasts 24.5 s
    assert headers["x-scope-orgid"] == "ops"
    assert b"load_msg" in gzip.decompress(body) and b"inuse_space" in gzip.decompress(body)


def test_parca_gets_labels_and_the_profile(server: Server) -> None:
    assert main.run(["push", TRACE, "--to", f"{url(server)}/", "--kind", "parca"]) == 0
    ((path, _, body),) = server.got
    (series,) = json.loads(body)["series"]
    assert path == "/profiles/writeraw"
    assert {"name": "__name__", "value": "slabtrace"} in series["labels"]["labels"]
    assert {"name": "host", "value": "fixture"} in series["labels"]["labels"]
    (sample,) = series["samples"]
    assert b"load_msg" in gzip.decompress(base64.b64decode(sample["rawProfile"]))


def test_a_refusal_is_shown_escaped(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.status = 422
    assert main.run(["push", TRACE, "--to", url(server)]) == 2
    assert "refused the profile: 422 too\\x1b[31m old" in capsys.readouterr().err


@pytest.mark.parametrize(
    "to", ["http://127.0.0.1:9", "ftp://127.0.0.1", "127.0.0.1:4040", "file:///etc/passwd"]
)
def test_no_server_is_explained(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["push", TRACE, "--to", to]) == 2
    assert capsys.readouterr().err.startswith("slabtrace: ")


def test_hostile_labels_end_nothing() -> None:
    labels = {"a b-c": 'x",host="other', "1": "y}{z", "empty": "", "host": "h\n"}
    made = request("pyroscope", b"", labels, 1, 1)
    (name,) = parse_qs(urlsplit(made.path).query)["name"]
    assert name == "slabtrace{_1=y__z,a_b_c=x__host__other,host=h_}"
