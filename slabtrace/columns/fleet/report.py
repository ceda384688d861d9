# SPDX-License-Identifier: Apache-2.0
"""Columns of the fleet's report: a row an issue."""

from __future__ import annotations

from slabtrace.columns.table import DICTS, NUMBERS, TEXT, TEXTS, Column, Table

_INTEGER = "Int64"

FLEET = Table(
    "fleet", "an issue that hosts of the fleet have", "(fleet.judging.report.report)",
    (
        Column("rank", "int64", "", "from 1, by certain growth over all hosts"),
        Column("signature", TEXT, "", "names the issue, as in digests"),
        Column("title", TEXT, "", "the issue in words"),
        Column("gate", TEXT, "", "hosts: suspect on three hosts or more; alone: on one or two, an exact leak that fills the memory within 30 days"),
        Column("affected", "int64", "", "hosts on which it is a suspect"),
        Column("clear", "int64", "", "hosts that would have shown it and do not"),
        Column("unknown", "int64", "", "hosts of which it cannot be said: filtered, too short, too coarse a sample, growing or young there"),
        Column("unknown_because", DICTS, "", "why: reason and hosts"),
        Column("growing", "int64", "", "of the unknown, hosts on which it grows, undecided"),
        Column("went_away", "int64", "", "hosts that had it in an older recording and not in the newest"),
        Column("growth_low_per_day", "int64", "B", "certain growth, summed over the affected hosts"),
        Column("growth_per_day", "int64", "B", "growth, summed over the affected hosts"),
        Column("median_growth_per_day", "int64", "B", "half of the affected hosts grow at least so fast, to half an octave"),
        Column("bytes", "int64", "B", "outstanding on the affected hosts"),
        Column("exact", "int64", "", "affected hosts on which it is confirmed (none can have been freed unseen)"),
        Column("full_in_s", _INTEGER, "s", "until the first host's memory is full of it, at the latest, at its measured growth; missing if not known", nullable=True),
        Column("full_host", TEXT, "", "that host"),
        Column("since_s", _INTEGER, "s", "when the first recording that shows it began, since 1970", nullable=True),
        Column("since_boot_s", _INTEGER, "s", "least time since boot at which a recording that shows it had ended", nullable=True),
        Column("associations", DICTS, "", "what the affected hosts have in common more often than chance: attribute, value, affected_with, "
               "hosts_with, p, odds, odds_low, odds_high, test (presence or growth), also (what the same hosts have in common)"),
        Column("goes_with", TEXTS, "", "further attributes that the first association explains"),
        Column("not_enough_hosts", TEXTS, "", "attributes that all affected hosts share, but no number of affected hosts could have been significant"),
        Column("outliers", DICTS, "", "hosts that grow much faster than others of their build: host, growth_per_day"),
        Column("variants", DICTS, "", "whole stacks, most hosts first, five at most: variant, hosts, stack"),
        Column("worst", DICTS, "", "recordings with most certain growth, five at most: host, trace, place, growth_low_per_day"),
        Column("commands", TEXTS, "", "commands that allocated them, most hosts first, five at most"),
        Column("object", TEXT, "", "what the objects are, if it is known"),
        Column("stack", TEXT, "", "stack of one host, functions with offsets, innermost first"),
        Column("growth_bins", NUMBERS, "", "affected hosts by growth in half octaves, as [bin, hosts]: bin b is from 2^(b/2) bytes a day"),
    ),
    command="fleet", json_list="findings",
)  # fmt: skip

FLEET_DIFF = Table(
    "fleet diff", "an issue in two fleets, or on two dates or builds of one", "(fleet.comparing.compared)",
    (
        Column("state", TEXT, "", "new, gone, more hosts, fewer hosts, or same"),
        Column("significant", "bool", "", "chance does not explain the difference"),
        Column("p", "float64", "0 to 1", "probability of such a difference of shares of hosts by chance (Fisher, two-sided)"),
        Column("signature", TEXT, "", "names the issue"),
        Column("title", TEXT, "", "the issue in words"),
        *(Column(f"{name}_{side}", "int64", unit, f"{what}, {side}")
          for name, unit, what in (("affected", "", "hosts affected"), ("clear", "", "hosts clear"), ("unknown", "", "hosts that could not tell"),
                                   ("growth_low_per_day", "B", "certain growth"))
          for side in ("old", "new")),
    ),
    command="fleet", json_list="issues",
)  # fmt: skip
