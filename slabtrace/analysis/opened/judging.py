# SPDX-License-Identifier: Apache-2.0
"""What is outstanding, judged: the findings of a question, the groups they consist of, the verdict."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from slabtrace.analysis.grouping.groups import Groups, group_sites, modules
from slabtrace.analysis.grouping.kept import Kept, Question
from slabtrace.analysis.leaks.judgement import Known, Verdicts, groups_tested, judged
from slabtrace.analysis.leaks.table import Tables, findings_table, groups_table, with_groups
from slabtrace.analysis.leaks.verdict import Verdict, verdict
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.opened.vouched import Vouched
from slabtrace.analysis.tables.outstanding import outstanding
from slabtrace.analysis.trust.confidence import OF_OBJECTS, Proof, filtered, prove


class Judging:
    """Made of a trace's side tables, passes, and what it can vouch for.  The last answer is kept."""

    def __init__(self, recorded: Recorded, passes: Passes, vouched: Vouched) -> None:
        self._recorded, self._passes, self._vouched = recorded, passes, vouched
        self._last: dict[Question, _Judged] = {}

    def findings(self, question: Question) -> pd.DataFrame:
        """columns.FINDINGS."""
        return self._judged(question).findings

    def groups(self, by: str, question: Question) -> pd.DataFrame:
        """columns.LEAKS."""
        question = question._replace(by_process=by == "process")
        found = self._judged(question)
        if by == "stack":
            return found.by_stack
        frame, groups, kept = self.grouped(by, question)
        tested = groups_tested(kept, frame, groups, self._known(kept), found.verdicts)
        return groups_table(tested, found.tables)

    def verdict(self, question: Question) -> Verdict:
        """What was found, and what could have been."""
        found = self._judged(question)
        ages = self._passes.kept(question).ages
        tests, recorded = found.verdicts.judged.tests, self._recorded
        cut = recorded.reader.series_is_cut and question.between is None
        return verdict(found.findings, tests, ages, recorded.manifest, cut)

    def grouped(self, by: str, question: Question) -> tuple[pd.DataFrame, Groups, Kept]:
        """What is outstanding of the objects asked for, with the groups it is in."""
        lookup = self._recorded.lookup
        kept = self._passes.kept(question)
        module = modules(kept.sites, lookup.stacks, lookup.symbols)
        groups = group_sites(kept.sites, kept.caches, by, module, kept.process)
        return outstanding(kept, lookup, groups, self._proof()), groups, kept

    def _proof(self) -> Proof:
        recorded, vouched = self._recorded, self._vouched
        account, missed, losses = vouched.account, vouched.missed, vouched.losses
        damaged = bool(recorded.reader.damage)  # known once all was read
        return prove(recorded.slabs, account, missed, losses, recorded.manifest, damaged)

    def _judged(self, question: Question) -> _Judged:
        if question not in self._last:
            frame, groups, kept = self.grouped("stack", question)
            known = self._known(kept)
            found = judged(kept, frame, groups, known)
            made = findings_table(kept, frame, groups, self._recorded.lookup, found, known.one_in)
            by_stack = groups_table(groups_tested(kept, frame, groups, known, found), made)
            self._last = {question: _Judged(found, made, with_groups(made.findings, by_stack), by_stack)}
        return self._last[question]

    def _known(self, kept: Kept) -> Known:
        recorded, account = self._recorded, self._vouched.account
        names = recorded.caches.names
        counted = [at for at, known in enumerate(account.known.tolist()) if known]
        whole = recorded.judged_alone  # the kernel's count is of this part alone
        uncounted = not whole and not recorded.reader.counts_earlier
        return Known(
            proof=self._proof(),
            pinned=recorded.pins.pinned(kept.objects.live),
            kernel_change={names[at]: int(account.kernel[at]) for at in counted if whole},
            slack={names[at]: int(account.slack[at]) for at in counted},
            older_unseen=filtered(recorded.manifest, OF_OBJECTS) or uncounted,
            one_in=recorded.manifest.sampled_one_in,
        )


class _Judged(NamedTuple):
    """The answer to a question."""

    verdicts: Verdicts
    tables: Tables
    findings: pd.DataFrame
    by_stack: pd.DataFrame
