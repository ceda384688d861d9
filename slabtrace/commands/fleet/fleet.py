# SPDX-License-Identifier: Apache-2.0
"""`slabtrace fleet`: one answer for many hosts; `slabtrace fleet diff`: two fleets, dates or builds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.answer import Form, answer_options
from slabtrace.cli.output import check_new, check_suffix, replace, say_written
from slabtrace.commands.fleet.fleet_run import outcome_of
from slabtrace.errors import BAD_TRACE, FOUND, UsageError

if TYPE_CHECKING:
    from slabtrace.fleet.merging.merged import Merged
    from slabtrace.fleet.running import Outcome

LIMIT = 10
DIFF = "diff"


@click.command("fleet")
@click.argument(
    "places", metavar="[diff] PATH|URL...", nargs=-1, required=True, type=click.Path(path_type=str)
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write one HTML page, FILE.html."
)
@click.option(
    "--where",
    multiple=True,
    metavar="TERM",
    help="Only traces for which this holds, like build=6.12* or label.role=db.",
)
@click.option(
    "--old", "olds", multiple=True, metavar="TERM", help="diff: the older side, like until=2026-11-01."
)
@click.option(
    "--new", "news", multiple=True, metavar="TERM", help="diff: the newer side, like from=2026-11-01."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Read traces in N processes (needs slabtrace[fleet]).",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Read traces on this Dask cluster: an address or a scheduler file."
)
@click.option(
    "--digests",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep digests here (default: ~/.cache/slabtrace/digests).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite the page.")
@answer_options(LIMIT)
def command(
    places: tuple[str, ...],
    html: Path | None,
    where: tuple[str, ...],
    olds: tuple[str, ...],
    news: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
    digests: Path | None,
    force: bool,
    form: Form,
) -> int:
    """Merge traces or digests of many hosts: which leaks, on how many hosts, and what these have in common.

    PATH is a trace, a packed one, a digest, or a folder of them, at any depth; URL is such a place in an
    object store (s3://, gs://, hdfs://). Of each trace a digest is made and kept, so a second run is fast,
    and one that was killed goes on. What cannot be read is named, and the rest is unharmed.

    For each issue: hosts affected, clear, and those that could not tell; certain growth over all hosts; how
    long the first host's memory lasts; what the affected hosts have in common (kernel build, release,
    labels, modules), with its probability by chance; since when; outliers; the worst recordings.

    `fleet diff OLD NEW` compares two such places; with --old and --new, two dates or builds of one. TERMs
    are host=, release=, build=, system=, machine=, trace=, label.NAME= with a pattern, from= and until= with
    a date.

    The exit code is 1 if an issue was found that is a suspect on three hosts or more, or fills a host's
    memory within 30 days (diff: if one is new or on more hosts); 3 if nothing could be read.

    \b
    Examples:
      slabtrace fleet /srv/traces --html fleet.html
      slabtrace fleet s3://traces/2026-11-28?region=eu-west-1 --workers 8
      slabtrace fleet digests/ --where build='6.12*' --json | jq '.findings[0].associations'
      slabtrace fleet diff monday/ tuesday/
      slabtrace fleet diff digests/ --old build='6.12.8*' --new build='6.12.9*'
    """
    if html is not None:
        check_suffix(html, (".html", ".htm"))
        check_new(html, force)
    run: dict[str, Any] = {
        "workers": workers,
        "scheduler": scheduler,
        "digests": digests,
        "robots": form.as_json,
    }
    if places[0] == DIFF:
        return _diff(places[1:], where, (olds, news), html, run, form)
    if olds or news:
        raise UsageError(
            "--old and --new are of diff", "write: slabtrace fleet diff PLACE --old ... --new ..."
        )
    outcome = outcome_of(places, **run)
    report = _report(outcome, where)
    _write(report, "fleet", form)
    if html is not None:
        _page(html, report)
    if not outcome.merged.by_fingerprint:
        return BAD_TRACE
    return FOUND if any(each["gate"] != "few" for each in report["findings"]) else 0


def _diff(
    places: tuple[str, ...],
    where: tuple[str, ...],
    terms: tuple[tuple[str, ...], tuple[str, ...]],
    html: Path | None,
    run: dict[str, Any],
    form: Form,
) -> int:
    from slabtrace.fleet.comparing import compared

    if html is not None:
        raise UsageError("diff has no page", "leave out --html, or use --json")
    old, new = _sides(places, where, terms, run)
    found = compared(old, new)
    _write(found, "fleet diff", form)
    return FOUND if found["found"] else 0


def _sides(
    places: tuple[str, ...],
    where: tuple[str, ...],
    terms: tuple[tuple[str, ...], tuple[str, ...]],
    run: dict[str, Any],
) -> tuple[Merged, Merged]:
    """The older and the newer fleet."""
    from slabtrace.fleet.selection import chosen

    if any(terms):
        if not all(terms) or not places:
            raise UsageError(
                "diff needs both --old and --new, or two places", "slabtrace fleet diff --help shows examples"
            )
        merged = _read(places, run)
        return chosen(merged, [*where, *terms[0]]), chosen(merged, [*where, *terms[1]])
    if len(places) != 2:
        raise UsageError(
            "diff compares two places, or --old and --new of one",
            "slabtrace fleet diff --help shows examples",
        )
    old, new = (_read((place,), run) for place in places)
    return chosen(old, where), chosen(new, where)


def _read(places: tuple[str, ...], run: dict[str, Any]) -> Merged:
    from slabtrace.render.terminal.text import escape

    outcome = outcome_of(places, **run)
    for place, why in sorted(outcome.unread):
        click.echo(escape(f"slabtrace: not read: {place}: {why}"), err=True)
    return outcome.merged


def _report(outcome: Outcome, where: tuple[str, ...]) -> dict[str, Any]:
    from slabtrace.fleet.judging.report import report
    from slabtrace.fleet.selection import chosen

    return report(chosen(outcome.merged, where) if where else outcome.merged, outcome.unread)


def _write(document: dict[str, Any], kind: str, form: Form) -> None:
    from slabtrace.render import json
    from slabtrace.render.terminal.machine.fleet import write_fleet, write_fleet_diff

    if form.as_json:
        json.write(document, sys.stdout)
    elif kind == "fleet":
        write_fleet(sys.stdout, document, form.most)
    else:
        write_fleet_diff(sys.stdout, document, form.most)


def _page(path: Path, report: dict[str, Any]) -> None:
    from slabtrace import __version__
    from slabtrace.render.html.fleet import fleet_page

    replace(path, fleet_page(__version__, report))
    say_written(path)
