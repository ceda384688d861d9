# SPDX-License-Identifier: Apache-2.0
"""`slabtrace push`: what is outstanding, as a pprof profile to a continuous profiler."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from slabtrace.cli.options import trace_argument
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    from slabtrace.api import Trace

TIMEOUT_S = 30
KINDS = ["pyroscope", "parca"]


@click.command("push")
@trace_argument
@click.option("--to", "url", required=True, metavar="URL", help="The server, like http://127.0.0.1:4040.")
@click.option("--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="What it is.")
@click.option("--tenant", metavar="NAME", help="Pyroscope's tenant (X-Scope-OrgID).")
def command(trace: str, url: str, kind: str, tenant: str | None) -> None:
    """Push what a trace left outstanding to Pyroscope or Parca, as a profile by kernel stack.

    Labels are the host, the kernel's release and the trace's own labels. What is outstanding is a state:
    compare profiles over time or sum them over hosts, but never sum them over time. Of a rotated series push
    the newest part only, because it has what earlier ones left.

    \b
    Examples:
      slabtrace push t.slab --to http://127.0.0.1:4040
      slabtrace push t.slab --to http://127.0.0.1:7070 --kind parca
    """
    from slabtrace.cli.opening import open_trace
    from slabtrace.render.export.push import request

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise UsageError(f"{url} is not the URL of a server", "write http://127.0.0.1:4040")
    opened = open_trace(trace)
    offset = opened.manifest.realtime_minus_monotonic_ns
    begin, end = ((each + offset) // 10**9 for each in opened.span_ns)
    made = request(kind, _profile(opened), _labels(opened), begin, end)
    headers = made.headers | ({"X-Scope-OrgID": tenant} if tenant else {})
    _post(f"{url.rstrip('/')}{made.path}", headers, made.body)
    click.echo(f"pushed {len(made.body):,} bytes to {urlsplit(url).netloc}", err=True)


def _profile(opened: Trace) -> bytes:
    from slabtrace.render.export.pprof import write_pprof

    out = io.BytesIO()
    begin_ns = opened.span_ns[0] + opened.manifest.realtime_minus_monotonic_ns
    write_pprof(out, opened.stack_totals(), begin_ns, opened.length_ns, opened.completeness().verdict)
    return out.getvalue()


def _labels(opened: Trace) -> dict[str, str]:
    """The trace's own labels, and whose it is."""
    host = opened.manifest.host
    return opened.manifest.labels | {"host": host.hostname, "release": host.release}


def _post(url: str, headers: dict[str, str], body: bytes) -> None:
    """Raises UsageError where the server cannot be reached or does not take it."""
    try:
        sent = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310  (http or https, see above)
        with urllib.request.urlopen(sent, timeout=TIMEOUT_S) as answer:  # noqa: S310
            answer.read(1 << 10)
    except urllib.error.HTTPError as error:
        words = f"{error.code} {error.read(200).decode('utf-8', 'replace')}".strip()
        raise UsageError(f"{urlsplit(url).netloc} refused the profile: {words}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        raise UsageError(f"{urlsplit(url).netloc} cannot be reached: {why}", "is the URL right?") from None
