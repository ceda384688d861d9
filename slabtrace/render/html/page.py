# SPDX-License-Identifier: Apache-2.0
"""A page from a template, with its style and script; its security policy allows nothing else."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slabtrace.render.terminal.text import escape
from slabtrace.resources import reports_dir
from slabtrace.units import count, duration, growth, percent, plural, rate, size

FILTERS = {
    "count": count,
    "duration": duration,
    "growth": growth,
    "percent": percent,
    "plural": plural,
    "rate": rate,
    "size": size,
    "harmless": escape,  # control characters and the like; autoescape does the rest
}


def render(template: str, version: str, **values: Any) -> bytes:
    """The page that reports/templates/`template` makes of `values`, in UTF-8; `version`: of slabtrace.

    Its Content-Security-Policy names our style and our script by their hashes, so that no other
    script runs and nothing is loaded, whatever names from the traced machine contain.
    """
    places = [str(reports_dir() / "templates"), str(reports_dir())]
    pages = Environment(loader=FileSystemLoader(places), autoescape=True, undefined=StrictUndefined)
    pages.filters.update(FILTERS)
    pages.trim_blocks = pages.lstrip_blocks = True
    style, script = (
        _read("report.css"),
        _read("report.js"),
    )  # slabtrace's own: they contain no text of a trace
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    inside = {"style": Markup(style), "script": Markup(script)}  # noqa: S704
    made = pages.get_template(template).render(policy=policy, version=version, **inside, **values)
    return made.encode("utf-8", "backslashreplace")


def _read(name: str) -> str:
    return (reports_dir() / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
