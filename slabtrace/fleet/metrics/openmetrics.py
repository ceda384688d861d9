# SPDX-License-Identifier: Apache-2.0
"""Metrics as prometheus_client takes them: served on an address, or written as a textfile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slabtrace.errors import UsageError
from slabtrace.fleet.metrics.families import Family

LOOPBACK = "127.0.0.1"


class Snapshot:
    """A collector of metrics that somebody else makes: a scrape costs no more than writing them down."""

    def __init__(self) -> None:
        self.families: Sequence[Family] = ()

    def collect(self) -> Iterator[Any]:
        """New metrics for each scrape."""
        yield from map(metric, self.families)


def registry_of(collector: Any) -> Any:
    """A registry with the metrics of this collector alone.  Raises UsageError as `client`."""
    made = client().CollectorRegistry()
    made.register(collector)
    return made


def write_textfile(path: Path, registry: Any) -> None:
    """Replace a file for node_exporter's textfile collector, at once.  Raises OSError."""
    client().write_to_textfile(str(path), registry)


def serve(listen: str, registry: Any) -> tuple[str, Callable[[], None]]:
    """Serve an endpoint in a thread; its URL, and what ends it.  Raises UsageError, OSError."""
    address, port = address_of(listen)
    server, thread = client().start_http_server(port, address, registry)

    def end() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{server.server_port}/metrics", end


def client() -> Any:
    """prometheus_client."""
    try:
        import prometheus_client
    except ImportError:
        raise UsageError(
            "metrics need prometheus_client", "install it: pip install 'slabtrace[metrics]'"
        ) from None
    return prometheus_client


def address_of(listen: str) -> tuple[str, int]:
    """Where to listen, of "9796", "0.0.0.0:9796" or "[::1]:9796".  Raises UsageError."""
    host, _, port = listen.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"{listen!r} is no port", "write 9796, or 0.0.0.0:9796 for all interfaces")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def metric(family: Family) -> Any:
    """A family of prometheus_client."""
    from prometheus_client import core

    kinds: dict[str, Callable[..., Any]] = {
        "gauge": core.GaugeMetricFamily,
        "counter": core.CounterMetricFamily,
        "info": core.InfoMetricFamily,
    }
    made = kinds[family.kind](family.name, family.help, labels=family.labels)
    for labels, value in family.samples:
        if family.kind == "info":
            made.add_metric([], dict(zip(family.labels, labels, strict=True)))
        else:
            made.add_metric(labels, value)
    return made
