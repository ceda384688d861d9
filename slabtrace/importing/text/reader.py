# SPDX-License-Identifier: Apache-2.0
"""Text of ftrace and its kin, many lines at once: trace, trace_pipe, trace-cmd report, perf script, systrace.

A line is "comm-tid [cpu] flags time: event: … ptr=… …".  All numbers of a block are read together
(event_lines.py).  What surrounds them, who ran and what the event's other fields are, is hashed; each
different text is parsed once (fields.py).  Lines of another form are parsed one by one (lines.py).

Memory: one block, and what differs in the texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from slabtrace.importing.distinct import Distinct, distinct
from slabtrace.importing.records import NO_CPU, NOT_KMEM, Facts, Records, Texts, made
from slabtrace.importing.text import fields
from slabtrace.importing.text.event_lines import Pointers, Times, find_pointers, find_times, is_stack
from slabtrace.importing.text.lines import LONGEST_LINE, parsed
from slabtrace.importing.text.losing import Losing
from slabtrace.importing.text.markers import MOST_CPUS, markers, read_header
from slabtrace.importing.text.scan import Block, Positions, combined, hashes
from slabtrace.importing.text.stacks import Stacks

_BEGINS_STACK = "\t ="  # the first character of a frame's line


class TextReader:
    """Turns blocks of text into records; `texts` and `facts` grow.  `close` notes the end of the text."""

    def __init__(self, texts: Texts, facts: Facts) -> None:
        self._texts, self._facts = texts, facts
        self._site: dict[int, int] = {}  # by hash
        self._task: dict[int, int] = {}
        self._stacks = Stacks()
        self._losing = Losing(facts)
        self._begun = False

    def feed(self, block: Block, last: bool) -> tuple[Records, int]:
        """The records of a block, and the position up to which it was read.

        What follows is to be fed again, with the next text: a stack may go on there.
        """
        if not self._begun:
            read_header(block.text[block.begin : block.end], self._facts)
            self._begun = True
        times = find_times(block)
        times = times.until(block.end)
        end = block.end if last else _last_event(block, times)
        times = times.until(end)
        pointers = find_pointers(block, times, end)
        self._note(block, times, end, len(pointers.row))
        return self._records(block, times, pointers), end

    def close(self) -> None:
        """The text has ended."""
        self._losing.close()

    def _note(self, block: Block, times: Times, end: int, pointers: int) -> None:
        """Count lines and CPUs, and find losses: not where every line is of a kmem event."""
        facts = self._facts
        lines = int(np.searchsorted(block.newlines, end)) - 1
        facts.lines += lines
        facts.events += len(times.at)
        facts.cpus.update(np.flatnonzero(np.bincount(times.cpu)).tolist())
        found = markers(block.text, block.begin, end) if pointers < lines else ()
        self._losing.note(times.at, times.ts_ns, times.cpu, list(found))

    def _records(self, block: Block, times: Times, pointers: Pointers) -> Records:
        every = pointers.whole.all()
        whole = pointers if every else pointers.take(pointers.whole)
        row = whole.row
        digits = whole.end - whole.begin
        self._count_pointers(whole.value, digits)
        records = Records(
            ts_ns=times.ts_ns[row],
            ptr=whole.value,
            site=self._sites(block, times.at[row] + 1, whole),
            task=self._tasks(block, whole.start, times.bracket[row]),
            cpu=times.cpu[row],
            stack=self._stacks_of(block, times, row),
        )
        if not every:
            others = pointers.take(~pointers.whole)
            records = self._with_others(block, records, whole.begin, others)
        kept = records.site != NOT_KMEM
        return records if kept.all() else records.take(kept)

    def _sites(self, block: Block, text: Positions, pointers: Pointers) -> NDArray[np.int64]:
        """The number of each event's site; `text`: where its text begins.  See Texts."""
        _, begin, end, _, stop, *_ = pointers
        found = distinct(combined(hashes(block, text, begin), hashes(block, end, stop)))

        def new(row: int) -> int:
            raw = block.text[text[row] : begin[row]] + b"0" + block.text[end[row] : stop[row]]
            return self._new_site(raw)

        return _numbers(found, self._site, new)

    def _tasks(self, block: Block, start: Positions, bracket: Positions) -> NDArray[np.int64]:
        """The number of each event's task."""
        found = distinct(hashes(block, start, bracket))

        def new(row: int) -> int:
            return self._texts.task(fields.task_of(block.text[start[row] : bracket[row]]))

        return _numbers(found, self._task, new)

    def _new_site(self, raw: bytes) -> int:
        site = fields.site_of(raw)
        if site is None:
            return NOT_KMEM
        if not fields.whole(site):
            self._facts.cut += 1
        return self._texts.site(site)

    def _count_pointers(self, value: NDArray[np.uint64], digits: Positions) -> None:
        """Hashes have 32 bits in 16 digits; addresses of 64-bit kernels have the highest bit."""
        hashed = (digits == 16) & (value >> np.uint64(32) == 0) & (value > 0)
        self._facts.hashed += int(hashed.sum())
        self._facts.real += int((value >> np.uint64(63)).sum())

    def _with_others(self, block: Block, records: Records, at: Positions, others: Pointers) -> Records:
        """`records`, with pointers that begin at `at`, and those of lines parsed one by one, in order."""
        rows, where = [], []
        lines = zip(others.begin.tolist(), others.start.tolist(), others.stop.tolist(), strict=True)
        for position, start, stop in lines:
            row = self._one(block.text[start : min(stop, start + LONGEST_LINE + 1)])
            if row is not None:
                rows.append(row)
                where.append(position)
        if not rows:
            return records
        order = np.argsort(np.concatenate([at, where]), kind="stable")
        return records.joined(made(rows)).take(order)

    def _one(self, line: bytes) -> tuple[int, ...] | None:
        """The record of one line; None: it is of another event, or refused."""
        found = parsed(line)
        if found is None:
            if b"call_site=" in line:
                self._facts.reject(line)
            return None
        self._count_pointers(np.array([found.ptr], np.uint64), np.array([found.digits]))
        cpu = found.cpu if found.cpu < MOST_CPUS else NO_CPU
        task = self._texts.task(fields.task_of(found.head))
        return found.ts_ns, found.ptr, self._new_site(found.site), task, cpu, -1

    def _stacks_of(self, block: Block, times: Times, row: Positions) -> NDArray[np.int64]:
        """The number of the stack below each event, -1 if there is none.

        It begins in the next line, or behind an event that is the stack; it ends before the next event.
        """
        stack = np.full(len(row), -1, np.int64)
        timed = np.append(times.line, block.lines)  # and the end
        following = timed[row + 1]
        apart = following == times.line[row] + 1
        apart[apart] = is_stack(block, np.append(times.at, block.end)[row[apart] + 1])
        first = times.line[row] + 1 + apart
        last = np.where(apart, timed[np.minimum(row + 2, len(timed) - 1)], following)
        some = np.flatnonzero(first < last)
        letter = block.bytes[block.newlines[first[some]] + 1]
        for at in some[np.isin(letter, np.frombuffer(_BEGINS_STACK.encode(), np.uint8))].tolist():
            lines = block.text[block.newlines[first[at]] + 1 : block.newlines[last[at]]]
            stack[at] = self._texts.stack(self._stacks.frames(lines.split(b"\n\n", 1)[0]))
        return stack


def _last_event(block: Block, times: Times) -> int:
    """Where the last event begins, whose stack may not be whole; the end if there is no event."""
    for row in (len(times.at) - 1, len(times.at) - 2):
        if row >= 0 and not is_stack(block, times.at[row : row + 1])[0]:
            return int(block.newlines[times.line[row]]) + 1
    return block.end


def _numbers(found: Distinct, known: dict[int, int], new: Callable[[int], int]) -> NDArray[np.int64]:
    """The number of each text, by its hash; `new` makes one for a text that is not known yet."""
    numbers = np.empty(len(found.value), np.int64)
    for at, (value, row) in enumerate(zip(found.value.tolist(), found.first.tolist(), strict=True)):
        number = known.get(value)
        if number is None:
            number = known[value] = new(row)
        numbers[at] = number
    return numbers[found.code]
