# SPDX-License-Identifier: Apache-2.0
"""The report on a fleet, and the comparison of two, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from slabtrace.render.terminal.text import Column as Cell
from slabtrace.render.terminal.text import escape, name_column, write_more, write_paragraph, write_table
from slabtrace.units import count, duration, growth, percent, plural, size

DAY_S = 86_400
MOST_UNREAD = 10
FEW = "few"


def write_fleet(out: TextIO, report: Mapping[str, Any], most: int | None) -> None:
    """The report: what could not be read first, then the issues, at most `most` of them."""
    write_paragraph(out, head(report))
    _write_unread(out, report["unread"], "not read", report["traces"])
    _write_unread(out, report["doubtful"], "read as far as they go", 0)
    for note in report["notes"]:
        write_paragraph(out, note)
    findings = report["findings"]
    gated = [each for each in findings if each["gate"] != FEW]
    shown = gated if most is None else gated[:most]
    for finding in shown:
        out.write("\n")
        _write_finding(out, finding)
    write_more(out, len(gated) - len(shown), "issue")
    if not gated and report["hosts"]:
        out.write("\n")
        write_paragraph(
            out,
            "No issue is a suspected leak on three hosts or more, or fills a host's memory within 30 days.",
        )
    _write_few(out, [each for each in findings if each["gate"] == FEW], report["below_gate_not_shown"])


def write_fleet_diff(out: TextIO, compared: Mapping[str, Any], most: int | None) -> None:
    """The comparison, a line an issue."""
    sides = [
        f"{side}: {plural(compared[side]['hosts'], 'host')}, {plural(compared[side]['traces'], 'trace')}"
        for side in ("old", "new")
    ]
    write_paragraph(out, "; ".join(sides))
    issues = compared["issues"]
    shown = issues if most is None else issues[:most]
    if not issues:
        write_paragraph(out, "No issue passes the gate on either side.")
        return
    columns = (
        Cell("state", right=False),
        Cell("p"),
        Cell("old"),
        Cell("new"),
        Cell("certain growth, new"),
        name_column("issue"),
    )
    write_table(out, columns, (_diff_cells(row) for row in shown))
    write_more(out, len(issues) - len(shown), "issue")


def head(report: Mapping[str, Any]) -> str:
    """The first sentence."""
    counted = plural(report["hosts"], "host"), plural(report["traces"], "trace")
    builds = plural(len(report["builds"]), "kernel build")
    when = f", recorded {moment(report['begin_s'])} to {moment(report['end_s'])}" if report["begin_s"] else ""
    return f"{', '.join(counted)}, {builds}{when}."


def moment(seconds: int | None) -> str:
    """A time of day, UTC; "-" if it is not known or cannot be written."""
    try:
        return "-" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "-"


def per_day(value: int) -> str:
    """A growth in bytes a day, as people read it."""
    return growth(value / DAY_S)


def hosts_sentence(finding: Mapping[str, Any]) -> str:
    """Affected, clear, could not tell."""
    because = ", ".join(f"{each['hosts']:,} {each['reason']}" for each in finding["unknown_because"])
    unknown = f"{finding['unknown']:,} could not tell" + (f" ({because})" if because else "")
    gone = f"; it went away on {plural(finding['went_away'], 'host')}" if finding["went_away"] else ""
    return f"{plural(finding['affected'], 'host')} affected, {finding['clear']:,} clear, {unknown}{gone}"


def growth_sentence(finding: Mapping[str, Any]) -> str:
    """How fast, and how long the first host lasts."""
    full = ""
    if finding["full_in_s"] is not None:
        full = (
            f"; {finding['full_host']} is full of it in {duration(finding['full_in_s'] * 1e9)} at the latest"
        )
    low, measured, half = (
        per_day(finding[f"{name}growth{end}_per_day"])
        for name, end in (("", "_low"), ("", ""), ("median_", ""))
    )
    return (
        f"Certainly {low} in all, measured {measured}; half of the hosts {half} or more; "
        f"{size(finding['bytes'])} outstanding{full}"
    )


def association_sentence(each: Mapping[str, Any]) -> str:
    """What affected hosts have in common, with the numbers that say so."""
    also = f"; the same hosts have {', '.join(each['also'])}" if each["also"] else ""
    name = f"{each['attribute'].capitalize()} {each['value']}"
    shared = f"{each['affected_with']:,} of {each['affected']:,} affected hosts"
    chance = f"p = {each['p']:.2g}"
    if each["test"] == "growth":
        return f"{name}: affected hosts with it grow faster ({shared}), {chance}{also}"
    odds, low, high = (f"{each[key]:.3g}" for key in ("odds", "odds_low", "odds_high"))
    return (
        f"{name}: {shared} have it, {each['hosts_with']:,} of all {each['hosts_known']:,}; {chance}, "
        f"odds ratio {odds} ({low} to {high}){also}"
    )


def association_sentences(finding: Mapping[str, Any]) -> list[str]:
    """All that is said about what the affected hosts have in common."""
    said = [association_sentence(each) for each in finding["associations"]]
    if finding["goes_with"]:
        said.append(f"Explained by the first: {', '.join(finding['goes_with'])}")
    if finding["not_enough_hosts"]:
        said.append(
            f"Not enough hosts to test: all affected hosts have {', '.join(finding['not_enough_hosts'])}"
        )
    return said or ["Nothing that the affected hosts have in common stands out"]


def since_sentence(finding: Mapping[str, Any]) -> str:
    """Since when it is known."""
    boot = (
        ""
        if finding["since_boot_s"] is None
        else f"; seen {duration(finding['since_boot_s'] * 1e9)} after a boot at the earliest"
    )
    return f"Since {moment(finding['since_s'])}{boot}"


def first_sentence(finding: Mapping[str, Any]) -> str:
    """The gravest issue in a line, with what goes with it."""
    common = [
        f"; goes with {each['attribute']} {each['value']} (p = {each['p']:.2g})"
        for each in finding["associations"][:1]
    ]
    hosts, certain = plural(finding["affected"], "host"), per_day(finding["growth_low_per_day"])
    return f"First: {finding['title']}, {hosts}, certainly {certain} in all{''.join(common)}."


def reasons(unread: Sequence[Mapping[str, str]]) -> list[tuple[str, int]]:
    """How many for each reason, most first."""
    counted = Counter(each["why"] for each in unread)
    return sorted(counted.items(), key=lambda each: (-each[1], each[0]))


def _write_unread(out: TextIO, unread: Sequence[Mapping[str, str]], what: str, read: int) -> None:
    if not unread:
        return
    share = f" ({percent(len(unread) / (read + len(unread)))} of all)" if read else ""
    write_paragraph(out, f"{len(unread):,} {what}{share}:")
    for each in unread[:MOST_UNREAD]:
        write_paragraph(out, f"  {each['place']}: {each['why']}")
    if len(unread) > MOST_UNREAD:
        out.write(f"  … and {len(unread) - MOST_UNREAD:,} more (--json has all)\n")


def _write_finding(out: TextIO, finding: Mapping[str, Any]) -> None:
    alone = "  (few hosts, but memory fills within 30 days)" if finding["gate"] == "alone" else ""
    write_paragraph(out, f"#{finding['rank']}  {finding['title']}{alone}")
    for line in _lines(finding):
        write_paragraph(out, f"    {line}")


def _lines(finding: Mapping[str, Any]) -> Iterator[str]:
    yield hosts_sentence(finding)
    yield growth_sentence(finding)
    yield from association_sentences(finding)
    yield since_sentence(finding)
    if finding["outliers"]:
        each = ", ".join(
            f"{outlier['host']} ({per_day(outlier['growth_per_day'])})" for outlier in finding["outliers"]
        )
        yield f"Far above the others of its build: {each}"
    yield from (
        f"Worst: {each['host']}, {per_day(each['growth_low_per_day'])}: {each['place']}"
        for each in finding["worst"][:3]
    )
    stacks = plural(len(finding["variants"]), "stack")
    yield f"Signature {finding['signature']}, {stacks} shown by --html and --json"


def _write_few(out: TextIO, few: Sequence[Mapping[str, Any]], more: int) -> None:
    if not few:
        return
    out.write("\n")
    write_paragraph(out, "On one or two hosts only, so not compared with others:")
    rows = [
        (
            str(each["affected"]),
            per_day(each["growth_low_per_day"]),
            ", ".join(w["host"] for w in each["worst"][:2]),
            each["title"],
        )
        for each in few
    ]
    write_table(out, (Cell("hosts"), Cell("certain growth"), name_column("on"), name_column("issue")), rows)
    if more:
        out.write(f"… and {plural(more, 'issue')} more on few hosts\n")


def _diff_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    old, new = (
        f"{count(row[f'affected_{side}'])} of {count(row[f'affected_{side}'] + row[f'clear_{side}'])}"
        for side in ("old", "new")
    )
    return (
        row["state"],
        f"{row['p']:.2g}",
        old,
        new,
        per_day(row["growth_low_per_day_new"]),
        escape(row["title"]),
    )
