# SPDX-License-Identifier: Apache-2.0
"""LTTng's kernel traces (CTF), through babeltrace2: its text, and its warnings of discarded events.

The text is seven times as fast as the Python binding and says as much.  Who ran is in the events only if the
recording had the contexts tid and procname; else it follows from sched_switch, CPU by CPU.  A trace with a
stream that is missing gives no warning, so the CPUs are counted: by the names of the streams, and by the CPUs
that scheduler events name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slabtrace.errors import TraceError
from slabtrace.importing.distinct import distinct
from slabtrace.importing.formats.ctf_lines import Events, cpus, find_events
from slabtrace.importing.formats.programs import required, running
from slabtrace.importing.formats.sources import LONGEST_REST, Readable, Source, blocks, opened
from slabtrace.importing.formats.tasks_on_cpus import TasksOnCpus
from slabtrace.importing.records import NOT_KMEM, Facts, Frame, Lost, Records, Texts, made
from slabtrace.importing.text import fields
from slabtrace.importing.text.lines import LAST_SECOND
from slabtrace.importing.text.markers import MOST_CPUS
from slabtrace.importing.text.scan import Block, Positions, combined, hashes

NAMES = {
    b"kmem_kmalloc": "kmalloc",
    b"kmem_kmalloc_node": "kmalloc_node",
    b"kmem_kfree": "kfree",
    b"kmem_cache_alloc": "kmem_cache_alloc",
    b"kmem_cache_alloc_node": "kmem_cache_alloc_node",
    b"kmem_cache_free": "kmem_cache_free",
}
_LINE = re.compile(
    rb"^\[(?:(\d{1,2}):(\d\d):)?(\d{1,10})\.(\d{9})\] (?:\([^)\n]{0,40}\) )?(?:[^\s{}]{1,200} )?"
    rb"(kmem_kmalloc(?:_node)?|kmem_kfree|kmem_cache_alloc(?:_node)?|kmem_cache_free|sched_switch"
    rb"|lttng_statedump_process_state): \{ cpu_id = (\d{1,5})[^{}\n]*\}, (.*)$",
    re.MULTILINE,
)
_POINTER = re.compile(rb"\bptr = 0x([0-9A-Fa-f]{1,16})")
_NAME = re.compile(rb'"((?:[^"\\]|\\.){0,128})"')
_NOTED = (b" sched_switch: {", b" lttng_statedump_process_state: {")
_STACK = re.compile(rb"callstack_kernel = \[((?: \[\d+\] = 0x[0-9A-Fa-f]{1,16},?)*) \]")
_FRAME = re.compile(rb"= 0x([0-9A-Fa-f]{1,16})")
_DISCARDED = re.compile(
    r"Tracer (?:discarded (\d{1,18})|may have discarded) (event|packet)s? "
    r"between \[([^\]]{0,40})\] and \[([^\]]{0,40})\]"
)
_TIME = re.compile(r"(\d{1,10})\.(\d{1,9})", re.ASCII)
_STREAM = re.compile(r"(.+)_(\d{1,4})(?:_\d+)?$")
_METADATA = 64 << 20
_CUT = "babeltrace2 found errors in the trace: it may be cut"


def ctf_records(source: Source, texts: Texts, facts: Facts, progress: object = None) -> Iterator[Records]:
    """The records of a CTF trace in a folder, or of a text that babeltrace2 printed.

    Raises UsageError if babeltrace2 is missing, TraceError if it cannot read the trace.
    """
    facts.tool = "LTTng"
    reader = _Reader(texts, facts)
    if not source.binary:
        with opened(source.path) as file:
            yield from reader.records(file)
        return
    program = required("babeltrace2", source.path)
    read_metadata(source.path, facts)
    command = [program, "--clock-seconds", "--no-delta", str(source.path)]
    with running(command, source.path, lambda message: heed(message, facts)) as output:
        yield from reader.records(output)
    facts.losses_told = True


def read_metadata(folder: Path, facts: Facts) -> None:
    """Note the kernel, the host, the enabled events and the number of streams."""
    content = b""
    for path in sorted(folder.rglob("metadata")):
        if path.is_file() and not path.is_symlink():
            with opened(path) as file:
                content += file.read(_METADATA)
            facts.cpus_declared = max(facts.cpus_declared, _streams(path.parent))
    if (
        b"CTF" not in content[:256]
        and b"\xd1\x1d\xc1\x75"[::-1] not in content[:8]
        and b"trace {" not in content
    ):
        raise TraceError(f"{folder} has a file metadata that is not CTF's")
    for name, key in (("release", b"kernel_release"), ("hostname", b"hostname")):
        found = re.search(key + rb' = "([^"\n]{1,200})"', content)
        setattr(facts, name, fields.text(found[1]) if found else "")
    enabled = re.findall(rb'name = "(\w{1,64})";', content)
    facts.enabled = [NAMES[each] for each in dict.fromkeys(enabled) if each in NAMES]
    facts.clock = "monotonic" if b'name = "monotonic"' in content else ""


def _streams(folder: Path) -> int:
    """How many CPUs the names of the streams count: channel0_3 is the fourth."""
    numbers = [int(found[2]) for each in folder.iterdir() if (found := _STREAM.match(each.name))]
    return min(max(numbers, default=-1) + 1, MOST_CPUS)


class _Reader:
    """Reads the lines of babeltrace2's text."""

    def __init__(self, texts: Texts, facts: Facts) -> None:
        self._texts, self._facts = texts, facts
        self._tasks = TasksOnCpus(texts, facts)
        self._site: dict[tuple[bytes, bytes], int] = {}

    def records(self, file: Readable) -> Iterator[Records]:
        rest = b""
        for piece in blocks(file):
            block = Block(rest, piece)
            rest = block.rest(block.end)
            if len(rest) > LONGEST_REST:
                self._facts.reject(rest)
                rest = b""
            yield self._block(block)
        if rest:
            yield self._block(Block(rest, b"\n"))

    def _block(self, block: Block) -> Records:
        facts = self._facts
        facts.lines += block.lines
        seen, named = cpus(block)
        facts.cpus |= seen
        facts.cpus_declared = max(facts.cpus_declared, *(each + 1 for each in seen | named), 0)
        found = find_events(block)
        return self._one_by_one(block) if found is None else self._at_once(block, found)

    def _at_once(self, block: Block, found: Events) -> Records:
        """The records of a block's events."""
        known, switched = dict(self._tasks.running), self._switches(block)
        task, stack = self._contexts(block, found)
        unknown = np.flatnonzero(task < 0)
        task[unknown] = _running(found.begin[unknown], found.cpu[unknown], switched, known)
        self._facts.real += len(found.ptr)
        site = self._sites(block, found)
        records = Records(found.ts_ns, found.ptr, site, task, found.cpu, stack)
        return records.take(site != NOT_KMEM)

    def _sites(self, block: Block, found: Events) -> NDArray[np.int64]:
        """The number of each event's site; NOT_KMEM: it is another event."""
        name, brace, payload, begin, end, stop = (
            found.name, found.brace, found.payload, found.begin, found.end, found.stop,
        )  # fmt: skip
        head = combined(hashes(block, name, brace), hashes(block, payload, begin))
        each = distinct(combined(head, hashes(block, end, stop)))
        text = block.text
        numbers = [
            self._known_site(
                text[name[row] : brace[row] - 2],
                text[payload[row] : begin[row]] + b"0" + text[end[row] : stop[row]],
            )
            for row in each.first.tolist()
        ]
        return np.array(numbers, np.int64)[each.code]

    def _contexts(self, block: Block, found: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of each event's task and stack, by its contexts; -1 where they name none."""
        begin, end = found.contexts, found.payload
        each = distinct(hashes(block, begin, end))
        pairs = [self._context(block.text[begin[row] : end[row]]) for row in each.first.tolist()]
        task, stack = np.array(pairs, np.int64).reshape(-1, 2).T
        return task[each.code], stack[each.code]

    def _one_by_one(self, block: Block) -> Records:
        """The same, line by line, for a block with lines of another form."""
        text = block.text[block.begin : block.end]
        rows = [row for found in _LINE.finditer(text) if (row := self._row(found.groups())) is not None]
        return made(rows)

    def _switches(self, block: Block) -> list[tuple[int, int, int]]:
        """(position, CPU, task that runs from then on) of each switch in a block."""
        found = []
        for at in sorted(each for needle in _NOTED for each in _occurrences(block, needle)):
            start = block.text.rfind(b"\n", 0, at) + 1
            line = _LINE.match(block.text, start, block.text.find(b"\n", at))
            if line is not None and line[5] not in NAMES and int(line[6]) < MOST_CPUS:
                cpu = int(line[6])
                self._tasks.note(line[5], cpu, line[7].rpartition(b" }, { ")[2])
                if line[5] == b"sched_switch":
                    found.append((at, cpu, self._tasks.running.get(cpu, -1)))
        return found

    def _context(self, contexts: bytes) -> tuple[int, int]:
        return self._tasks.named(contexts), self._stack(contexts)

    def _row(self, parts: tuple[bytes, ...]) -> tuple[int, ...] | None:
        hour, minute, second, fraction, event, cpu_text, rest = parts
        seconds = int(second) + (3600 * int(hour) + 60 * int(minute) if hour else 0)
        cpu = int(cpu_text)
        if seconds >= LAST_SECOND or cpu >= MOST_CPUS:
            return None
        contexts, _, payload = rest.rpartition(b" }, { ")
        if event not in NAMES:
            self._tasks.note(event, cpu, payload)
            return None
        pointer = _POINTER.search(payload)
        if pointer is None:
            self._facts.reject(rest)
            return None
        site = self._known_site(event, payload[: pointer.start(1)] + b"0" + payload[pointer.end(1) :])
        self._facts.real += 1
        task, stack = self._context(contexts)
        task = self._tasks.running.get(cpu, -1) if task < 0 else task
        ts_ns = seconds * 1_000_000_000 + int(fraction)
        return ts_ns, int(pointer[1], 16), site, task, cpu, stack

    def _known_site(self, event: bytes, payload: bytes) -> int:
        """The number of a site: `payload` is an event's own fields, with 0 as the pointer."""
        key = event, payload.strip(b"{} ")
        site = self._site.get(key)
        if site is None:
            site = self._site[key] = self._new_site(*key) if event in NAMES else NOT_KMEM
        return site

    def _new_site(self, event: bytes, payload: bytes) -> int:
        plain = payload.replace(b" = ", b"=").replace(b", ", b" ")
        plain = _NAME.sub(rb"\1", re.sub(rb"0x[0-9A-F]+", lambda each: each[0].lower(), plain))
        site = fields.site_of(NAMES[event].encode() + b": " + plain)
        return NOT_KMEM if site is None else self._texts.site(site)

    def _stack(self, contexts: bytes) -> int:
        found = _STACK.search(contexts) if contexts else None
        if not found:
            return -1
        return self._texts.stack(tuple(Frame(int(each, 16)) for each in _FRAME.findall(found[1])))


def _occurrences(block: Block, needle: bytes) -> Iterator[int]:
    at = block.text.find(needle, block.begin, block.end)
    while at >= 0:
        yield at
        at = block.text.find(needle, at + 1, block.end)


def _running(
    position: Positions, cpu: NDArray[np.int32], switched: list[tuple[int, int, int]], known: dict[int, int]
) -> NDArray[np.int64]:
    """The task that runs at each position on its CPU: of the last switch before, else the `known` one."""
    found = np.full(len(position), -1, np.int64)
    for one in np.unique(cpu).tolist():
        mine = cpu == one
        at, _, tasks = zip(
            *[(0, 0, known.get(one, -1)), *(each for each in switched if each[1] == one)], strict=True
        )
        found[mine] = np.array(tasks)[np.searchsorted(at, position[mine]) - 1]
    return found


def heed(message: str, facts: Facts) -> None:
    """Note what a message of babeltrace2 says is missing.  A packet holds an unknown number of events."""
    warning = _DISCARDED.search(message)
    if warning:
        begin, end = _ns(warning[3], 0), _ns(warning[4], LAST_SECOND * 1_000_000_000)
        events = int(warning[1] or 0) if warning[2] == "event" else 0
        facts.lose(Lost(begin, max(begin, end), -1, events, warning[0]))
    elif "ERROR" in message and _CUT not in facts.notes:
        facts.notes.append(_CUT)


def _ns(text: str, unknown: int) -> int:
    found = _TIME.fullmatch(text)
    if not found or int(found[1]) >= LAST_SECOND:
        return unknown
    return int(found[1]) * 1_000_000_000 + int(found[2].ljust(9, "0"))
