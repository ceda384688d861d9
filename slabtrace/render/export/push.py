# SPDX-License-Identifier: Apache-2.0
"""Requests that give a pprof profile to Pyroscope or Parca, by their documented HTTP interfaces.

Pyroscope: POST /ingest with name, from, until and format=pprof (grafana.com, "Server HTTP API").  Parca: POST
/profiles/writeraw with JSON (parca/profilestore/v1alpha1/profilestore.proto).  What is outstanding is a
state: profiles of one host must never be summed over time, only over hosts at one time.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

NAME = "slabtrace"
PYROSCOPE, PARCA = "pyroscope", "parca"
MOST_LABEL = 200  # characters of a value


class Request(NamedTuple):
    """What to POST: the path with its query, the headers, the body."""

    path: str
    headers: dict[str, str]
    body: bytes


def request(kind: str, profile: bytes, labels: Mapping[str, str], begin_s: int, end_s: int) -> Request:
    """The request for PYROSCOPE or PARCA; times are seconds since 1970."""
    named = {_name(name): _value(value) for name, value in sorted(labels.items()) if value}
    if kind == PARCA:
        series = [{"name": name, "value": value} for name, value in {"__name__": NAME, **named}.items()]
        sample = {"rawProfile": base64.b64encode(profile).decode()}
        document = {"normalized": True, "series": [{"labels": {"labels": series}, "samples": [sample]}]}
        return Request(
            "/profiles/writeraw", {"Content-Type": "application/json"}, json.dumps(document).encode()
        )
    written = ",".join(f"{name}={value}" for name, value in named.items())
    query = {
        "name": f"{NAME}{{{written}}}",
        "from": begin_s,
        "until": max(end_s, begin_s + 1),
        "format": "pprof",
        "spyName": NAME,
        "units": "bytes",
        "aggregationType": "average",  # over time: a leak that is pushed ten times is not ten leaks
    }
    return Request(f"/ingest?{urlencode(query)}", {"Content-Type": "application/octet-stream"}, profile)


def _name(name: str) -> str:
    """A label's name as Prometheus allows it."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _value(value: str) -> str:
    """A label's value that cannot end the label or begin another one."""
    return re.sub(r"[^\w.:/@+-]", "_", value[:MOST_LABEL], flags=re.ASCII)
