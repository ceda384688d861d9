# SPDX-License-Identifier: Apache-2.0
"""What is outstanding, judged: the findings of a question, the groups they consist of, the verdict."""

from __future__ import annotations

import pandas as pd

from slabtrace.analysis.grouping.groups import Groups, group_sites, modules
from slabtrace.analysis.grouping.kept import Kept, Question
from slabtrace.analysis.leaks.judgement import Known, Verdicts, judged, of_other_groups
from slabtrace.analysis.leaks.table import Tables, other_groups, tables
from slabtrace.analysis.leaks.verdict import Verdict, verdict
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.opened.vouched import Vouched
from slabtrace.analysis.tables.outstanding import outstanding
from slabtrace.analysis.trust.confidence import OF_OBJECTS, filtered, prove


class Judging:
    """Made of a trace's side tables, passes, and what it can vouch for.  The last answer is kept."""

    def __init__(self, recorded: Recorded, passes: Passes, vouched: Vouched) -> None:
        self._recorded, self._passes, self._vouched = recorded, passes, vouched
        self._last: dict[Question, tuple[Verdicts, Tables]] = {}

    def findings(self, question: Question) -> pd.DataFrame:
        """columns.FINDINGS."""
        return self._judged(question)[1].findings

    def groups(self, by: str, question: Question) -> pd.DataFrame:
        """columns.LEAKS."""
        question = question._replace(by_process=by == "process")
        verdicts, made = self._judged(question)
        if by == "stack":
            return made.groups
        frame, groups, kept = self.grouped(by, question)
        judged_ = of_other_groups(kept, frame, groups, self._known(kept), verdicts)
        return other_groups(judged_, made)

    def verdict(self, question: Question) -> Verdict:
        """What was found, and what could have been."""
        verdicts, made = self._judged(question)
        ages = self._passes.kept(question).ages
        return verdict(made.findings, verdicts.judged.tests, ages, self._recorded.manifest)

    def grouped(self, by: str, question: Question) -> tuple[pd.DataFrame, Groups, Kept]:
        """What is outstanding of the objects asked for, with the groups it is in."""
        lookup, vouched, recorded = self._recorded.lookup, self._vouched, self._recorded
        kept = self._passes.kept(question)
        module = modules(kept.sites, lookup.stacks, lookup.symbols)
        groups = group_sites(kept.sites, kept.caches, by, module, kept.process)
        account, missed, losses = vouched.account, vouched.missed, vouched.losses
        damaged = bool(recorded.reader.damage)  # known once all was read
        proof = prove(recorded.slabs, account, missed, losses, recorded.manifest, damaged)
        return outstanding(kept, lookup, groups, proof), groups, kept

    def _judged(self, question: Question) -> tuple[Verdicts, Tables]:
        if question not in self._last:
            frame, groups, kept = self.grouped("stack", question)
            found = judged(kept, frame, groups, self._known(kept))
            made = tables(found, kept.ages.length_ns, len(kept.ages.horizons_ns))
            self._last = {question: (found, made)}
        return self._last[question]

    def _known(self, kept: Kept) -> Known:
        recorded, account = self._recorded, self._vouched.account
        names = recorded.caches.names
        counted = [at for at, known in enumerate(account.known.tolist()) if known]
        part = recorded.manifest.part
        whole = part is None or part.number < 2  # the kernel's count is of this part alone
        return Known(
            pinned=recorded.pins.pinned(kept.objects.live),
            kernel_change={names[at]: int(account.kernel[at]) for at in counted if whole},
            slack={names[at]: int(account.slack[at]) for at in counted},
            older_unseen=filtered(recorded.manifest, OF_OBJECTS),
            one_in=recorded.manifest.sampled_one_in,
        )
