# SPDX-License-Identifier: Apache-2.0
"""`pack --redact`: every command gives the same answer as for the original trace."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import slabtrace
from slabtrace.api import Trace
from slabtrace.commands.main import run
from slabtrace.errors import TraceError
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Flag, Kind
from slabtrace.trace.manifest import Manifest, Step
from slabtrace.trace.redaction import made_up
from slabtrace.trace.redaction.redact import TREATMENT, redact
from tests.places import FIXTURES
from tests.unit.renaming import Renaming
from tests.unit.synthetic import Event, alloc, free, write_trace

FOLDERS = sorted(FIXTURES.glob("*.slab"))
COMMANDS = ("info", "leaks --by process", "mismatches")
SLABS = [0xFFFF_8880_0420_4000, 0xFFFF_8880_0420_8000, 0xFFFF_88A7_1000_0000, 0xFFFF_C900_0040_0000, 0x4000]
CACHES = [0, 0xFFFF_8880_0010_0E00]
CODE = [0xFFFF_FFFF_8127_BC41, 0xFFFF_FFFF_8127_BD00, 0xFFFF_FFFF_C04F_1234]
TABLES = {
    "symbols": [
        {"address": CODE[0], "name": "load_msg", "offset": 0x71, "module": "", "since_ns": 0},
        {"address": CODE[1], "name": "load_msg", "offset": 0x130, "module": "", "since_ns": 0},
    ],
    "stacks": [{"stack_id": each, "frames": [*CODE[:2], 0xFFFF_FFFF_C100_0000 + each]} for each in (3, 9)],
    "tasks": [{"ts_ns": 0, "tid": 7, "tgid": 7, "comm": "seven"}],
}


def packed(trace: Path, folder: Path) -> Path:
    path = folder / "t.slab.zip"
    assert run(["pack", str(trace), "--redact", "-o", str(path)]) == 0
    return path


def judgements(trace: Trace) -> dict[str, pd.DataFrame]:
    """Results that depend on addresses: pairing, slabs, stacks, tasks."""
    grouped = {f"leaks by {by}": trace.leaks(by=by) for by in ("stack", "process")}
    return {
        **grouped,
        "mismatches": trace.mismatches(),
        "by ptr": trace.stat(by="ptr"),
        "caches": trace.caches(),
    }


def tables(trace: Trace) -> dict[str, pd.DataFrame]:
    """The other tables that commands show, and the streams."""
    streams = {"events": trace.events(), "lifetimes": trace.lifetimes()}
    return {
        **{name: pa.Table.from_batches(list(stream)).to_pandas() for name, stream in streams.items()},
        "stat": trace.stat(), "lifetime table": trace.lifetime_table(), "usage": trace.usage(),
        "stacks": trace.stack_totals(), "tasks": trace.tasks(), "reconciled": trace.reconciliation(),
    }  # fmt: skip


@pytest.mark.parametrize("trace", FOLDERS, ids=lambda path: path.stem)
def test_a_redacted_trace_gives_the_same_answers(trace: Path, tmp_path: Path) -> None:
    renaming = Renaming()
    true, made = slabtrace.open(trace), slabtrace.open(packed(trace, tmp_path))
    for of in (judgements, tables):
        renaming.tables(of(true), of(made))
    renaming.compare(vars(true.completeness()), vars(made.completeness()))
    renaming.compare(true.damage, made.damage)
    renaming.check()
    assert len(renaming.pairs) > 5  # not an empty comparison
    assert made.manifest.redacted


def test_commands_give_the_same_answer(tmp_path: Path) -> None:
    """The tables of all fixtures are compared above, the output of commands here."""
    trace = FOLDERS[0].with_name("double-free.slab")
    redacted, renaming = packed(trace, tmp_path), Renaming()
    for command in COMMANDS:
        first, *rest = command.split()
        answers = []
        for each in (trace, redacted):
            with redirect_stdout(io.StringIO()) as out:
                code = run([first, str(each), *rest, "--json"])
            answers.append((code, json.loads(out.getvalue())))
        renaming.compare(*answers)
    renaming.check()


def events() -> st.SearchStrategy[list[Event]]:
    """Allocations, frees (of first and inner addresses) and page ends, at near and distant addresses."""
    places = st.tuples(st.sampled_from(SLABS), st.sampled_from((0, 64, 128)), st.sampled_from((0, 0, 8)))
    objects, now = places.map(sum), st.just(0)
    task = {"tid": st.sampled_from((0, 7, 4000)), "cache": st.sampled_from(CACHES)}
    where = {"call_site": st.sampled_from(CODE), "stack_id": st.sampled_from((-1, 3, 9))}
    flags = st.sampled_from((0, Flag.INTERIOR, Flag.LARGE))
    end = {"bytes_alloc": st.just(4096), "bytes_req": st.just(0), "call_site": st.just(0)}
    ends = st.builds(Event, now, st.sampled_from(SLABS), st.just(Kind.PAGE_END), **end, **task)
    allocs = st.builds(alloc, now, objects, **where, **task)
    frees = st.builds(free, now, objects, flags=flags, **where, **task)
    return st.lists(st.one_of(allocs, frees, ends), min_size=1, max_size=30)


@settings(max_examples=6, phases=(Phase.explicit, Phase.generate))
@given(events())
def test_any_trace_gives_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Event]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    in_time = [Event(**{**vars(event), "ts": i * 10_000_000}) for i, event in enumerate(drawn)]
    trace = write_trace(folder / "t.slab", in_time, TABLES, batch_events=7, segment_batches=2)
    (folder / "redacted").mkdir()
    redact(trace, folder / "redacted")
    renaming = Renaming()
    renaming.tables(*(judgements(slabtrace.open(each)) for each in (trace, folder / "redacted")))
    renaming.check()


NUMBERS = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from((0, 1, 4095, 4096, SLABS[0], SLABS[1])))


@given(NUMBERS, st.integers(12, 40))
def test_addresses_of_memory_keep_their_order_and_offset_in_a_block(numbers: list[int], bits: int) -> None:
    true, memory = np.array(numbers, np.uint64), made_up.Memory(bits)
    for part in np.array_split(true, 3):
        memory.meet(part)
    made = memory.of(true)
    assert np.array_equal(np.argsort(made, kind="stable"), np.argsort(true, kind="stable"))
    low = np.uint64((1 << bits) - 1)
    assert np.array_equal(made & low, true & low)
    blocks = {(t >> bits, m >> bits) for t, m in zip(numbers, made.tolist(), strict=True) if t}
    assert len({t for t, _ in blocks}) == len({m for _, m in blocks}) == len(blocks)
    assert all((m > made_up.DATA) == bool(t) for t, m in zip(numbers, made.tolist(), strict=True))


@given(st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1))))
def test_addresses_of_code_keep_their_order_and_offset_in_a_function(drawn: list[tuple[int, int]]) -> None:
    offsets = dict(drawn) | {CODE[0]: 0x71, CODE[1]: 0x130}
    true, met = np.array(list(offsets), np.uint64), made_up.Ranks()
    met.meet(true)
    text = made_up.Text(met, offsets)
    assert np.array_equal(np.argsort(text.of(true), kind="stable"), np.argsort(true, kind="stable"))
    first, second = text.of(np.array(CODE[:2], np.uint64)).tolist()
    assert any(CODE[0] < each < CODE[1] for each in offsets) or second - first == CODE[1] - CODE[0]


def test_stack_ids_do_not_show_the_order_of_their_hashes() -> None:
    ids = made_up.StackIds().of(np.array([900, -2, 17, 900, 400], np.int64))
    assert ids.tolist() == [0, -2, 1, 0, 2]


def test_an_unknown_value_is_an_error_with_a_message() -> None:
    with pytest.raises(TraceError, match="grows"):
        made_up.Memory(22).of(np.array([SLABS[0]], np.uint64))


def test_names_of_caches_lose_only_cgroups_and_addresses() -> None:
    names = made_up.CacheNames()
    before = ["kmalloc-cg-128", "x(3:user.slice)", "x(4:ab)", "nf_conntrack_ffffffff81c5e4c0", "raid5-md0"]
    assert [names.of(each) for each in before] == [
        "kmalloc-cg-128", "xredacted-1", "xredacted-2", "nf_conntrack_redacted-3", "raid5-md0"
    ]  # fmt: skip
    assert names.of("y(3:user.slice)") == "yredacted-1"


def test_every_column_of_the_format_is_redacted() -> None:
    formats = {**schema.CARRIED, **schema.SIDE_TABLES}
    treated = {name: set(columns) for name, columns in TREATMENT.items()}
    wanted = {name: set(columns.names) for name, columns in formats.items()}
    wanted["events"] |= set(schema.EVENTS_1.names)
    assert treated == wanted


def test_a_packed_trace_can_be_redacted_and_info_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pack", str(FOLDERS[0]), "-o", str(tmp_path / "a.slab.zip")]) == 0
    assert run(["pack", str(tmp_path / "a.slab.zip"), "--redact"]) == 0
    assert run(["info", str(tmp_path / "a.redacted.slab.zip")]) == 0
    assert "\nredacted " in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.redacted.slab.zip", "a.slab.zip"]


def test_objects_outside_a_coarser_sample_are_not_in_the_copy(tmp_path: Path) -> None:
    """A replaced address does not show whether it was in the sample; counted objects stay scaled."""
    events = [alloc(number + 1, 0x10000 + 64 * number) for number in range(499)]
    row = {"begin_ns": 0, "end_ns": 10, "site": 0, "lifetime_bin": 20, "objects": 400, "moved": 0}
    manifest = Manifest(
        status="complete",
        options={"sample": 4, "mode": "survivors", "threshold_s": 1.0},
        steps=[Step(ts_ns=10**9 + 400, one_in=4)],
    )
    trace = write_trace(tmp_path / "t.slab", events, {"counted": [row]}, manifest=manifest)
    opened, copied = slabtrace.open(trace), slabtrace.open(packed(trace, tmp_path))
    assert 0 < opened.completeness().outstanding < 250
    assert opened.completeness().counted == copied.completeness().counted == 100
    columns = ["allocated", "freed", "outstanding", "outstanding_estimate", "outstanding_error", "oldest_ns"]
    assert opened.leaks()[columns].equals(copied.leaks()[columns])
