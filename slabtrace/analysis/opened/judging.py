# SPDX-License-Identifier: Apache-2.0
"""What is outstanding, judged: the findings of a question, the groups they consist of, the verdict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.grouping.contexts import every_context
from slabtrace.analysis.grouping.groups import Groups, group_sites, modules
from slabtrace.analysis.grouping.kept import Kept, Question
from slabtrace.analysis.grouping.whose import CHARGED, KINDS
from slabtrace.analysis.holders.classes import LOST, UNKNOWN
from slabtrace.analysis.leaks.doubts import Holders, KernelCount, Known
from slabtrace.analysis.leaks.judgement import Verdicts, freed_inside_by, judged
from slabtrace.analysis.leaks.of_groups import groups_tested, with_shared_growth
from slabtrace.analysis.leaks.table import Tables, findings_table, groups_table, with_groups
from slabtrace.analysis.leaks.verdict import Verdict, verdict
from slabtrace.analysis.names.tasks import UNKNOWN_TGID
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.opened.vouched import Vouched
from slabtrace.analysis.tables.identity import Identities
from slabtrace.analysis.tables.inspected import inspected
from slabtrace.analysis.tables.oldest import Outstanding, oldest
from slabtrace.analysis.tables.outstanding import outstanding
from slabtrace.analysis.tables.who import who
from slabtrace.analysis.trust.confidence import Proof, prove
from slabtrace.analysis.trust.filters import BY_ALLOCATION, filtered
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.reading.window import WindowReader


class Judging:
    """Made of a trace's side tables, passes, and what it can vouch for.  The last answer is kept."""

    def __init__(self, recorded: Recorded, passes: Passes, vouched: Vouched) -> None:
        self._recorded, self._passes, self._vouched = recorded, passes, vouched
        self._last: dict[Question, _Judged] = {}

    def findings(self, question: Question) -> pd.DataFrame:
        """columns.FINDINGS."""
        return self._judged(question).findings

    def groups(self, by: str, question: Question, sum_copies: bool = False) -> pd.DataFrame:
        """columns.LEAKS.  `sum_copies`: the copies of a kmalloc cache count as one (not by stack)."""
        question = question._replace(by_whom=by if by in KINDS else "")
        found = self._judged(question)
        if by == "stack":
            return found.by_stack
        frame, groups, kept = self.grouped(by, question, sum_copies)
        tested = groups_tested(kept, frame, groups, found.verdicts, self._one_in)
        if by == CHARGED:
            finding = found.tables.rank[found.verdicts.owned.finding]
            tested = with_shared_growth(tested, kept, groups, finding, found.findings)
        return groups_table(tested, found.tables)

    def oldest(self, question: Question, most: int, ranks: Collection[int] | None = None) -> pd.DataFrame:
        """columns.OLDEST, of the findings `ranks` (None: all)."""
        found, kept, recorded = self._judged(question), self._passes.kept(question), self._recorded
        rank = np.append(found.tables.rank, 0)[found.verdicts.of_owner]
        wanted = rank if ranks is None else np.where(np.isin(rank, list(ranks)), rank, 0)
        outstanding = Outstanding(kept.sites, kept.caches, kept.objects, recorded.slabs)
        ended_ns, redacted = recorded.span_ns[1], recorded.manifest.redacted
        return oldest(outstanding, recorded.lookup, wanted, most, ended_ns, redacted)

    def inspected(self, question: Question) -> pd.DataFrame:
        """columns.OBJECTS: the outstanding objects that were inspected at the end."""
        found, kept, recorded = self._judged(question), self._passes.kept(question), self._recorded
        rank = np.append(found.tables.rank, 0)[found.verdicts.owned.finding]
        table, account = recorded.reader.table("objects"), recorded.manifest.inspection
        live = kept.objects.live
        frame = inspected(table, account, live, rank, kept.sites, kept.caches, recorded.lookup.symbols)
        spared = found.tables.rank[[each.never_lost for each in found.verdicts.held]]
        frame.loc[frame["finding"].isin(spared) & (frame["held"] == LOST), "held"] = UNKNOWN
        return frame

    def verdict(self, question: Question) -> Verdict:
        """What was found, and what could have been."""
        found = self._judged(question)
        kept, recorded = self._passes.kept(question), self._recorded
        kept = replace(kept, until_ns=kept.until_ns or _until_ns(recorded.manifest))
        length_ns = round(kept.ages.length_ns * kept.until())
        tests = found.verdicts.judged.tests
        cut = recorded.reader.series_is_cut and question.between is None
        return verdict(found.findings, tests, kept.ages, recorded.manifest, cut, length_ns)

    def who(self, by: str, question: Question) -> pd.DataFrame:
        """columns.WHO; `by`: one of whose.KINDS."""
        recorded, found, kept = self._recorded, self._judged(question), self._passes.kept(question)
        whose = recorded.whose(by, kept.objects.live)
        identities = Identities(kept.objects.live, recorded.tasks, recorded.processes)
        finding = found.tables.rank[found.verdicts.owned.finding]
        return who(kept, whose, identities, recorded.lookup, finding, found.findings)

    def grouped(
        self, by: str, question: Question, sum_copies: bool = False
    ) -> tuple[pd.DataFrame, Groups, Kept]:
        """What is outstanding of the objects asked for, with the groups it is in."""
        lookup = self._recorded.lookup
        kept = self._passes.kept(question)
        ends = (kept.until_ns, _until_ns(self._recorded.manifest))
        kept = replace(kept, until_ns=min((each for each in ends if each is not None), default=None))
        if self._of_the_command(question):
            kept = replace(kept, older=OlderFrees(0))
        kept = replace(kept, older=kept.older.without(freed_inside_by(kept, lookup)))
        proof = self._proof()
        if sum_copies:
            caches, row = kept.caches.summed()
            kept, proof = replace(kept, caches=caches), proof.summed(row, len(caches))
        module = modules(kept.sites, lookup.stacks, lookup.symbols)
        context = every_context(kept, lookup.stacks) if by == "work" else None
        groups = group_sites(kept.sites, kept.caches, by, module, kept.process, context)
        return outstanding(kept, lookup, groups, proof), groups, kept

    @property
    def _one_in(self) -> int:
        """Of so many addresses one was recorded."""
        return self._recorded.manifest.sampled_one_in

    def _proof(self) -> Proof:
        recorded, vouched = self._recorded, self._vouched
        account, missed, losses = vouched.account, vouched.missed, vouched.losses
        damaged = bool(vouched.damage)
        return prove(recorded.slabs, account, missed, losses, recorded.manifest, damaged, recorded.caches)

    def _judged(self, question: Question) -> _Judged:
        if question not in self._last:
            frame, groups, kept = self.grouped("stack", question)
            found = judged(kept, frame, groups, self._known(kept, question))
            made = findings_table(kept, frame, groups, self._recorded.lookup, found, self._one_in)
            by_stack = groups_table(groups_tested(kept, frame, groups, found, self._one_in), made)
            self._last = {question: _Judged(found, made, with_groups(made.findings, by_stack), by_stack)}
        return self._last[question]

    def _of_the_command(self, question: Question) -> bool:
        """Whether only the recorded command is asked about: none of its objects is older than the recording.

        So no free of an older object balances what it leaves, nor does the kernel's count of all processes.
        """
        command, whole = self._recorded.manifest.command, not isinstance(self._recorded.reader, WindowReader)
        asked = set(question.pids) if question.between is None and whole else set()
        return command is not None and asked == {command.pid}

    def _known(self, kept: Kept, question: Question) -> Known:
        recorded, account = self._recorded, self._vouched.account
        names = recorded.caches.names
        counted = [at for at, known in enumerate(account.known.tolist()) if known]
        alone = recorded.judged_alone  # the kernel's count is of this part alone
        uncounted = not alone and not recorded.reader.counts_earlier
        whole = alone and not self._of_the_command(question)
        return Known(
            proof=self._proof(),
            pinned=recorded.inspected.pinned(kept.objects.live, recorded.pins.pinned(kept.objects.live)),
            inspected=recorded.inspected,
            holders=self._holders(kept),
            kernel=KernelCount(
                {names[at]: int(account.kernel[at]) for at in counted if whole},
                {names[at]: int(account.slack[at]) for at in counted},
            ),
            older_unseen=filtered(recorded.manifest, BY_ALLOCATION) or uncounted,
            one_in=self._one_in,
            length_s=kept.ages.length_ns / 1e9,
            settled=bool(recorded.manifest.options.get("settle")),
        )

    def _holders(self, kept: Kept) -> Holders:
        tasks, live = self._recorded.tasks, kept.objects.live
        tgid = np.append(tasks.tgid, UNKNOWN_TGID)[tasks.rows(live.tid, live.ts_ns)]  # row -1: the last
        at_end, processes = self._recorded.manifest.processes, self._recorded.processes
        if at_end is None:  # the recorder was killed, or could not see processes of others
            began = processes.running_since(self._recorded.manifest.started_ns)
            return Holders(tgid, began if processes.states else None)
        return Holders(tgid, frozenset(at_end.running), len(at_end.ended))


class _Judged(NamedTuple):
    """The answer to a question."""

    verdicts: Verdicts
    tables: Tables
    findings: pd.DataFrame
    by_stack: pd.DataFrame


def _until_ns(manifest: Manifest) -> int | None:
    """From when on nothing may come any more, though it leaks; None: never.

    What the recorded command did cannot go on after its end.  And a recording is longer than it was to be by
    the checks at its end; a load that was made for it may have ended before.
    """
    command = manifest.command
    ends = (manifest.asked_until_ns, None if command is None else command.ended_ns)
    return min((each for each in ends if each is not None), default=None)
