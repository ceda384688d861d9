# SPDX-License-Identifier: Apache-2.0
"""Short recordings of other tools, written by hand in their forms, and what becomes of them."""

from __future__ import annotations

import io
from pathlib import Path

import slabtrace
from slabtrace.api import Trace
from slabtrace.importing.formats.reading import text_records
from slabtrace.importing.formats.sources import Source
from slabtrace.importing.recording import import_recording
from slabtrace.importing.records import Facts, Records, Texts
from slabtrace.trace.manifest import Manifest

HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: {0}/{1}   #P:{2}\n#\n"


def line(
    event: str, seconds: float = 1.0, cpu: int = 0, task: str = "sh-7", form: str = "{:>16} [{:03}] .... "
) -> str:
    """A line of `trace`: "            sh-7 [000] .... 1.000000: EVENT"."""
    return f"{form.format(task, cpu)}{seconds:.6f}: {event}\n"


def alloc(ptr: int, size: int = 64, site: str = "foo+0x10/0x20", event: str = "kmalloc") -> str:
    """An allocation of `size` bytes."""
    return (
        f"{event}: call_site={site} ptr={ptr:016x} bytes_req={size} bytes_alloc={size} gfp_flags=GFP_KERNEL"
    )


def free(ptr: int, site: str = "bar+0x10/0x20", event: str = "kfree", name: str = "") -> str:
    """A free."""
    return f"{event}: call_site={site} ptr={ptr:016x}{f' name={name}' if name else ''}"


def read(text: str | bytes) -> tuple[Records, Texts, Facts]:
    """The records of a text, all in one batch."""
    texts, facts = Texts(), Facts(tool="ftrace")
    content = text if isinstance(text, bytes) else text.encode()
    batches = list(text_records(io.BytesIO(content), texts, facts, None))
    records = batches[0]
    for batch in batches[1:]:
        records = records.joined(batch)
    return records, texts, facts


def manifest_of(place: Path, *texts: str, kernel: str = "") -> Manifest:
    """The manifest of the trace `t.slab` in `place`, made of files with these texts."""
    paths = []
    for number, text in enumerate(texts):
        path = place / f"{number}.txt"
        path.write_bytes(text.encode())
        paths.append(Source(path))
    return import_recording(paths, place / "t.slab", kernel, force=True)


def imported(place: Path, *texts: str, kernel: str = "") -> Trace:
    """The trace made of files with these texts."""
    manifest_of(place, *texts, kernel=kernel)
    return slabtrace.open(place / "t.slab")
