# SPDX-License-Identifier: Apache-2.0
"""`slabtrace diff`: what is outstanding in a newer recording and was not in an older one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.opening import open_trace
from slabtrace.cli.options import by_option, cache_option
from slabtrace.cli.toml_files import read_suppressions, suppressions_option
from slabtrace.columns import DIFF
from slabtrace.errors import FOUND as EXIT_FOUND

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

LIMIT = 10
BY = ["stack", "call-site", "module", "cache"]


@click.command("diff")
@click.argument("old", metavar="OLD", type=click.Path(path_type=str))
@click.argument("new", metavar="NEW", type=click.Path(path_type=str))
@by_option(BY, "stack", "Group the objects of each cache by this.")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Also show differences that chance explains, and what was not compared.",
)
@cache_option
@suppressions_option
@answer_options(LIMIT)
def command(
    old: str,
    new: str,
    by: str,
    every: bool,
    caches: tuple[str, ...],
    suppressions: str | None,
    form: Form,
) -> int:
    """Compare what two recordings left outstanding: new, gone, grown and shrunk groups, and what grows in
    both.

    Groups are matched by cache and by the functions of their stack, so the recordings may come from
    different boots and builds of a kernel. What grows is compared by its rate, what came once by the
    number of objects, so the lengths of the recordings may differ. A difference is significant if chance
    does not explain it. Recordings with different filters are refused.

    The exit code is 1 if a significant group is new or grew, and is suspect, growing or retained; groups
    of slabtrace itself do not count, nor does what grows in both at the same rate.

    \b
    Examples:
      slabtrace diff yesterday.slab today.slab
      slabtrace diff old.slab new.slab --by cache --all
      slabtrace diff old.slab new.slab --json | jq '.groups[] | select(.state == "new")'
    """
    from slabtrace.analysis.comparing import diff as differences
    from slabtrace.analysis.comparing.comparability import notes, refuse_unlike
    from slabtrace.render.terminal.check import write_suppressed
    from slabtrace.render.terminal.diff import write_diff, write_found, write_notes
    from slabtrace.render.terminal.verdict import write_verdict

    rules = read_suppressions(suppressions)
    before, after = open_trace(old), open_trace(new)
    manifests, lengths = (before.manifest, after.manifest), (before.length_ns, after.length_ns)
    refuse_unlike(*manifests, by, caches)
    groups_before, _ = _groups(before, by, caches, rules)
    groups_after, used = _groups(after, by, caches, rules)
    one_in = manifests[0].sampled_one_in, manifests[1].sampled_one_in
    table = differences.diff(groups_before, groups_after, *lengths, one_in)
    found, noted = len(differences.found(table)), notes(*manifests, *lengths)
    wanted = table if every else differences.worth_showing(table)

    def below(out: TextIO) -> None:
        write_found(out, len(table) - len(wanted), found)
        write_notes(out, noted)
        write_suppressed(out, used)

    def verdicts(out: TextIO, path: str, completeness: Any, damage: Sequence[str]) -> None:
        write_verdict(out, old, before.completeness(), before.damage, "old: ")
        write_verdict(out, path, completeness, damage, "new: ")

    more = {"suppressed": used, "old": old, "old_completeness": before.completeness(), "found": found}
    rows, ranked = Rows(DIFF, wanted, "group"), after.findings()
    owners = dict(zip(ranked["rank"].tolist(), ranked["cache"].tolist(), strict=True))

    def write(out: TextIO, groups: pd.DataFrame) -> None:
        write_diff(out, groups, owners)

    answer(form, "diff", new, after, rows, write, more | {"notes": noted}, below, verdicts)
    return EXIT_FOUND if found else 0


def _groups(trace: Trace, by: str, caches: tuple[str, ...], rules: Any) -> Any:
    """The groups of a recording that the suppressions leave, and what each suppression matched."""
    groups = trace.leaks(by=by)
    return rules.apply(filters.chooser(trace, caches)(groups))
