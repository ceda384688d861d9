# SPDX-License-Identifier: Apache-2.0
"""All records of the files that were given, whatever their formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from slabtrace.errors import UsageError
from slabtrace.importing.formats.buffer_stats import add_stats
from slabtrace.importing.formats.ctf import ctf_records
from slabtrace.importing.formats.perf import perf_text
from slabtrace.importing.formats.sources import LONGEST_REST, Readable, Source, blocks, opened
from slabtrace.importing.formats.trace_cmd import trace_cmd_text
from slabtrace.importing.records import Facts, Records, Texts
from slabtrace.importing.text.reader import TextReader
from slabtrace.importing.text.scan import Block

TOOLS = {"ftrace": "ftrace", "trace-cmd": "trace-cmd", "perf": "perf", "ctf": "LTTng"}
Progress = Callable[[int], None] | None


def read(
    sources: Sequence[Source], texts: Texts, facts: Facts, progress: Progress = None
) -> Iterator[Records]:
    """The records of all sources, one after the other.  `facts` is complete when the last was given.

    `progress` is called with numbers of bytes read.  Raises UsageError, TraceError, OSError.
    """
    if len({source.kind for source in sources}) > 1:
        kinds = ", ".join(sorted({source.kind for source in sources}))
        raise UsageError(
            f"files of different tools cannot become one trace: {kinds}", "import them one by one"
        )
    facts.tool = TOOLS[sources[0].kind]
    for source in (each for each in sources if not each.stats):
        yield from _records(source, texts, facts, progress)
    add_stats([source.path for source in sources if source.stats], facts)


def _records(source: Source, texts: Texts, facts: Facts, progress: Progress) -> Iterator[Records]:
    if source.kind == "ctf":
        yield from ctf_records(source, texts, facts, progress)
    elif source.binary:
        convert = {"perf": perf_text, "trace-cmd": trace_cmd_text}[source.kind]
        with convert(source.path, facts) as file:
            yield from text_records(file, texts, facts, progress)
    else:
        with opened(source.path) as file:
            yield from text_records(file, texts, facts, progress)


def text_records(file: Readable, texts: Texts, facts: Facts, progress: Progress) -> Iterator[Records]:
    """The records of a text as ftrace prints it."""
    reader, rest = TextReader(texts, facts), b""
    for piece in blocks(file, progress):
        block = Block(rest, piece)
        end = block.begin
        if block.lines:
            records, end = reader.feed(block, last=len(rest) > LONGEST_REST // 2)
            yield records
        rest = _bounded(block.rest(end), facts)
    if rest:
        block = Block(rest, b"" if rest.endswith(b"\n") else b"\n")
        yield reader.feed(block, last=True)[0]
    reader.close()


def _bounded(rest: bytes, facts: Facts) -> bytes:
    """What is fed again with the next block; of an endless line or stack only its begin is kept."""
    if len(rest) <= LONGEST_REST:
        return rest
    facts.reject(rest)
    kept = rest[rest.rfind(b"\n") + 1 :]
    return kept if len(kept) <= LONGEST_REST else b""
