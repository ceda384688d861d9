# SPDX-License-Identifier: Apache-2.0
"""`slabtrace metrics`: the newest digest for Prometheus, as a textfile or an endpoint."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from slabtrace.cli.output import replace, say_written
from slabtrace.errors import UsageError


@click.command("metrics")
@click.argument("place", metavar="DIGEST|DIR", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.prom", help="Write a textfile, at once."
)
@click.option(
    "--listen", metavar="[ADDRESS:]PORT", help="Serve an endpoint; on loopback unless an address is given."
)
def command(place: Path, output: Path | None, listen: str | None) -> None:
    """Give a digest, or the newest one of a folder, to Prometheus: about 140 series, in OpenMetrics.

    With -o a file for node_exporter's textfile collector is written, renamed into place; run it after each
    digest. With --listen an endpoint is served that reads the folder at each scrape, if there is a newer
    digest. Suspects have the fleet's signature as a label, so this says how many hosts have an issue:
    `count by (signature) (slabtrace_suspect_bytes)`. deploy/ has alert rules and a dashboard.

    Needs prometheus_client: pip install 'slabtrace[metrics]'.

    \b
    Examples:
      slabtrace metrics /var/lib/slabtrace -o /var/lib/prometheus/node-exporter/slabtrace.prom
      slabtrace metrics /var/lib/slabtrace --listen 9796
    """
    from slabtrace.fleet.metrics.exporter import newest, read, registry
    from slabtrace.fleet.metrics.openmetrics import client, serve

    if (output is None) == (listen is None):
        raise UsageError("say where the metrics go", "give either -o FILE.prom or --listen PORT")
    prometheus = client()
    if output is not None:
        path = newest(place)
        if path is None:
            raise UsageError(f"{place} has no digest", "make one: slabtrace digest TRACE -o DIR")
        read(path)  # raises TraceError: a textfile of nothing would hide what is wrong
        replace(output, prometheus.generate_latest(registry(place)))
        say_written(output)
        return
    url, end = serve(listen or "", registry(place))
    click.echo(f"serving {url}", err=True)
    try:
        threading.Event().wait()
    finally:
        end()
