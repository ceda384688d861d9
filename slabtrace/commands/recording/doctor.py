# SPDX-License-Identifier: Apache-2.0
"""`slabtrace doctor`: what this machine has and lacks for tracing, with remedies."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from slabtrace.errors import CANNOT_TRACE


@click.command(
    epilog="""\b
Examples:
  sudo slabtrace doctor
  slabtrace doctor --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def command(as_json: bool) -> int:
    """Say whether this machine can trace, and what to do if not.

    The exit code is 4 if something is missing that recording needs.
    """
    from slabtrace.capture.preflight import run_checks

    checks = run_checks()
    able = all(check.ok or not check.required for check in checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        click.echo(json.dumps({"schema": "slabtrace.doctor/1", "able": able, "checks": rows}, indent=1))
        return 0 if able else CANNOT_TRACE
    for check in checks:
        mark = "ok" if check.ok else ("MISSING" if check.required else "limited")
        click.echo(f"{mark:8} {check.name:13} {check.found if check.ok else check.problem}")
        if not check.ok:
            click.echo(f"{'':22} {check.remedy}")
    click.echo("this machine can trace" if able else "this machine cannot trace as it is")
    return 0 if able else CANNOT_TRACE
