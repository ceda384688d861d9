# SPDX-License-Identifier: Apache-2.0
"""What is read from /proc and /sys: slabinfo, kallsyms, the build id, stacks."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from slabtrace.capture.kernel import kallsyms, modules, slabinfo
from slabtrace.capture.kernel.features import _name_arguments
from slabtrace.capture.kernel.module_watch import ModuleWatch
from slabtrace.capture.kernel.slabinfo import SlabinfoRow, SlabinfoSampler
from slabtrace.capture.storing.periodic import PeriodicRecords
from slabtrace.capture.storing.storing import Storing
from slabtrace.capture.stream.stacks import from_call_site
from slabtrace.errors import CaptureError

SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
filp                1301   1344    192   21    1 : tunables    0    0    0 : slabdata     64     64      0
my cache (odd)         7     32    128   32    1 : tunables    0    0    0 : slabdata      1      1      0
"""  # noqa: E501


def test_slabinfo_rows() -> None:
    assert slabinfo.parse(SLABINFO) == [
        SlabinfoRow("filp", 1301, 1344, 192, 21, 1, 64),
        SlabinfoRow("my cache (odd)", 7, 32, 128, 32, 1, 1),
    ]


def test_only_changes_are_sampled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "slabinfo"
    monkeypatch.setattr(slabinfo, "SLABINFO", path)
    sampler = SlabinfoSampler()
    assert sampler.sample() == sampler.unchanged() == []
    path.write_text(SLABINFO)
    first = sampler.sample()
    assert len(first) == 2
    assert sampler.sample() == []
    assert sampler.unchanged() == first[:1]
    path.write_text(SLABINFO.replace("1301", "1303"))
    assert [row.name for row in sampler.sample()] == ["filp"]
    assert len(sampler.sample(everything=True)) == 2


def test_slabinfo_has_a_row_for_every_second_even_where_nothing_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else what a killed recorder saw in quiet seconds before its end would be unverified."""
    path = tmp_path / "slabinfo"
    path.write_text(SLABINFO)
    monkeypatch.setattr(slabinfo, "SLABINFO", path)
    stored: list[int] = []
    looks: list[int] = []
    store = SimpleNamespace(
        rows=lambda table, columns: stored.extend(columns["ts_ns"]), look_again=lambda: looks.append(1)
    )
    records = PeriodicRecords.__new__(PeriodicRecords)
    records._store, records._slabinfo = cast(Storing, store), SlabinfoSampler()
    for second in (1, 2, 3):
        records.slabinfo(second)
    assert stored == [1, 1, 2, 3] and not looks
    path.write_text(SLABINFO.replace("my cache", "another"))
    records.slabinfo(4)  # a cache was made
    assert stored[4:] == [4] and looks


KERNEL = "ffffffff81000000 T _stext\nffffffff81000100 t load_msg\n"


def symbols(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> kallsyms.Kallsyms:
    (tmp_path / "kallsyms").write_text(text)
    monkeypatch.setattr(kallsyms, "KALLSYMS", tmp_path / "kallsyms")
    monkeypatch.setattr(kallsyms, "MODULES", tmp_path / "modules")
    return kallsyms.Kallsyms()


def test_symbols(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = symbols(
        monkeypatch,
        tmp_path,
        "ffffffff81000000 T _stext\nffffffff81000100 t load_msg\nffffffffa0000000 t probe\t[leaky]\n"
        "ffffffff82000000 D slab_caches\nffffffff82000100 D vmemmap_base\n"
        "ffffffff82000108 R page_offset_base\n",
    )
    assert names.resolve(0xFFFFFFFF81000141) == ("load_msg", 0x41, "")
    assert names.resolve(0xFFFFFFFFA0000010) == ("probe", 0x10, "leaky")
    assert names.resolve(0x1000) is None
    assert names.address("slab_caches") == 0xFFFFFFFF82000000
    assert names.address("vmemmap_base") == 0xFFFFFFFF82000100
    assert names.address("page_offset_base") == 0xFFFFFFFF82000108
    assert names.address("load_msg") == 0xFFFFFFFF81000100
    assert names.address("no_such_function") == 0


def test_a_return_address_belongs_to_the_function_that_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A call that ends its function returns, on paper, to the first byte of the next one."""
    names = symbols(monkeypatch, tmp_path, "ffffffff81000000 T first\nffffffff81000100 T second\n")
    assert names.resolve(0xFFFFFFFF81000100) == ("first", 0x100, "")


def test_hidden_symbols(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = symbols(monkeypatch, tmp_path, "0000000000000000 T _stext\n0000000000000000 t load_msg\n")
    assert names.hidden
    assert names.resolve(0xFFFFFFFF81000141) is None


def test_build_id(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    xen = (
        (4).to_bytes(4, "little")
        + (8).to_bytes(4, "little")
        + (2).to_bytes(4, "little")
        + b"Xen\0"
        + b"linux\0\0\0"
    )
    gnu = (
        (4).to_bytes(4, "little")
        + (4).to_bytes(4, "little")
        + (3).to_bytes(4, "little")
        + b"GNU\0"
        + b"\xab\xcd\x01\x02"
    )
    notes.write_bytes(xen + gnu)
    assert modules.build_id(notes) == "abcd0102"
    assert modules.build_id(tmp_path / "missing") == ""


def test_a_stack_begins_at_the_call_site() -> None:
    assert from_call_site([1, 2, 3, 4], 3) == [3, 4]
    assert from_call_site([1, 2], 9) == [9, 1, 2]
    assert from_call_site([], 9) == [9]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (  # 5.10
            ["long unsigned int", "const void *", "size_t", "size_t", "gfp_t"],
            {"call_site": 0, "ptr": 1, "bytes_req": 2, "bytes_alloc": 3, "gfp_flags": 4},
        ),
        (  # 6.1 kmem_cache_alloc
            ["long unsigned int", "const void *", "struct kmem_cache *", "gfp_t", "int"],
            {"call_site": 0, "ptr": 1, "cache": 2, "gfp_flags": 3, "node": 4},
        ),
        (  # 5.15 kmem_cache_free
            ["long unsigned int", "const void *", "const char *"],
            {"call_site": 0, "ptr": 1, "name": 2},
        ),
    ],
)
def test_arguments_are_named_by_type_and_order(types: list[str], expected: dict[str, int]) -> None:
    assert _name_arguments("kmalloc", types) == expected


def test_arguments_nobody_knows_are_refused() -> None:
    with pytest.raises(CaptureError, match="arguments slabtrace does not know"):
        _name_arguments("kfree", ["struct folio *", "int"])


ALPHA = "ffffffffc0100000 t leak\t[alpha]\nffffffffc0100200 t keep\t[alpha]\n"
BETA = "ffffffffc0100100 t other\t[beta]\n"
TEXT = "ffffffff81000000 T _stext\n"


def swap_modules(tmp_path: Path, modules: str, text: str) -> None:
    (tmp_path / "modules").write_text(modules)
    (tmp_path / "kallsyms").write_text(text)


def test_a_module_that_comes_and_goes_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = symbols(monkeypatch, tmp_path, TEXT)
    swap_modules(tmp_path, "alpha 16384 0 - Live 0xffffffffc0100000 (OE)\n", TEXT + ALPHA)
    assert names.refresh() and not names.refresh()
    assert names.resolve(0xFFFFFFFFC0100026) == ("leak", 0x26, "alpha")
    swap_modules(tmp_path, "", TEXT)
    assert names.refresh()
    assert names.resolve(0xFFFFFFFFC0100226) == ("keep", 0x26, "alpha")


def test_a_module_that_went_holds_no_more_than_its_own_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else each would hold a whole reading of kallsyms, 13 MiB, for as long as the recording takes."""
    names = symbols(monkeypatch, tmp_path, TEXT)
    for number in range(17):
        text = ALPHA.replace("alpha", f"a{number}").replace("c0100", f"c{number:02x}00")
        swap_modules(tmp_path, f"a{number} 16384 0 - Live 0xffffffffc{number:02x}00000\n", TEXT + text)
        assert names.refresh()
    swap_modules(tmp_path, "", TEXT)
    assert names.refresh()
    held = [len(module.functions.address) for module in names._gone.values()]
    assert held == [2] * 17
    assert names.resolve(0xFFFFFFFFC0500226) == ("keep", 0x26, "a5")
    assert names.resolve(0xFFFFFFFFC0500026) == ("leak", 0x26, "a5")


def test_a_module_is_noticed_while_nobody_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it allocated may be named only when it is gone."""
    names = symbols(monkeypatch, tmp_path, KERNEL)
    watch = ModuleWatch(names)
    (tmp_path / "kallsyms").write_text(KERNEL + "ffffffffa0000000 t probe\t[leaky]\n")
    (tmp_path / "modules").write_text("leaky 4096 0 - Live 0xffffffffa0000000\n")
    known = names.modules
    deadline = time.monotonic() + 30
    while names.modules == known:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watch.close()
    (tmp_path / "kallsyms").write_text(
        KERNEL + "ffffffff9ffff800 t bpf_trampoline_1\t[bpf]\n"
    )  # right before it
    (tmp_path / "modules").write_text("")
    names.refresh()
    assert names.resolve(0xFFFFFFFFA0000010) == ("probe", 0x10, "leaky")


def test_a_module_that_began_within_the_reach_of_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """/proc/modules counts all memory of a module, of which its functions are a part."""
    overlay = "ffffffffc0800000 t ovl_open\t[overlay]\nffffffffc0800b10 t cleanup_module\t[overlay]\n"
    leaky = "ffffffffc0801000 t probe\t[leaky]\n"
    line = "overlay 204800 0 - Live 0xffffffffc0800000\n"
    names = symbols(monkeypatch, tmp_path, KERNEL + overlay + leaky)
    swap_modules(tmp_path, line + "leaky 16384 0 - Live 0xffffffffc0801000\n", KERNEL + overlay + leaky)
    assert names.refresh()
    swap_modules(tmp_path, line, KERNEL + overlay)
    assert names.refresh()
    assert names.resolve(0xFFFFFFFFC0801010) == ("probe", 0x10, "leaky")
    assert names.resolve(0xFFFFFFFFC0800B20) == ("cleanup_module", 0x10, "overlay")
    assert names.resolve(0xFFFFFFFFC0800020) == ("ovl_open", 0x20, "overlay")


def test_an_address_far_behind_a_bpf_program_is_not_its(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A module may lie there that is not known yet."""
    names = symbols(
        monkeypatch, tmp_path, KERNEL + "ffffffffc0000000 t bpf_prog_1 [bpf]\n".replace(" [", "\t[")
    )
    assert names.resolve(0xFFFFFFFFC0000100) == ("bpf_prog_1", 0x100, "bpf")
    assert names.resolve(0xFFFFFFFFC0008000) is None


def test_the_users_of_a_module_are_no_reason_to_read_all_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = symbols(monkeypatch, tmp_path, TEXT)
    swap_modules(tmp_path, "alpha 16384 0 - Loading 0xffffffffc0100000 (OE+)\n", TEXT + ALPHA)
    assert names.refresh()
    swap_modules(tmp_path, "alpha 16384 1 beta, Live 0xffffffffc0100000 (OE)\n", TEXT + ALPHA)
    assert not names.refresh()


@pytest.mark.parametrize(("trampoline", "known"), [("c0300000", True), ("c0100100", False)])
def test_bpf_programs_around_a_module_that_went_do_not_have_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trampoline: str, known: bool
) -> None:
    """They are scattered between modules: on 6.1 every fexit program has a page of its own."""
    bpf = f"ffffffffc0000000 t bpf_prog_1\t[bpf]\nffffffff{trampoline} t bpf_trampoline_2\t[bpf]\n"
    names = symbols(monkeypatch, tmp_path, TEXT)
    swap_modules(tmp_path, "alpha 16384 0 - Live 0xffffffffc0100000\n", TEXT + ALPHA)
    assert names.refresh()
    swap_modules(tmp_path, "", TEXT + bpf)
    assert names.refresh()
    assert names.resolve(0xFFFFFFFFC0100026) == (("leak", 0x26, "alpha") if known else None)


def test_a_module_seen_while_it_loads_does_not_end_with_its_init_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its init functions have memory of their own; a BPF program between the two is not in its place."""
    names = symbols(monkeypatch, tmp_path, TEXT)
    loading = TEXT + ALPHA + "ffffffffc0300000 t init_alpha\t[alpha]\n"
    swap_modules(tmp_path, "alpha 16384 0 - Loading 0xffffffffc0100000\n", loading)
    assert names.refresh()
    swap_modules(tmp_path, "", TEXT + "ffffffffc0200000 t bpf_prog_1\t[bpf]\n")
    assert names.refresh()
    assert names.resolve(0xFFFFFFFFC0100026) == ("leak", 0x26, "alpha")


def test_a_module_in_anothers_place_takes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = symbols(monkeypatch, tmp_path, TEXT + ALPHA)
    swap_modules(tmp_path, "beta 16384 0 - Live 0xffffffffc0100000\n", TEXT + BETA)
    assert names.refresh()
    assert names.resolve(0xFFFFFFFFC0100126) == ("other", 0x26, "beta")


def test_where_functions_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = "ffffffff81000000 T one\nffffffff81000040 t two\nffffffff81000100 D three\n"
    symbols(monkeypatch, tmp_path, kernel + "ffffffff81000100 T end\nffffffffc0100000 t one\t[alpha]\n")
    found = kallsyms.function_spans({"one", "two", "three", "none", ""})
    assert found == {
        "one": range(0xFFFFFFFF81000000, 0xFFFFFFFF81000040),
        "two": range(0xFFFFFFFF81000040, 0xFFFFFFFF81000100),
    }


def test_hidden_addresses_tell_of_no_function(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    symbols(monkeypatch, tmp_path, "0000000000000000 T one\n0000000000000000 T two\n")
    assert kallsyms.function_spans({"one"}) == {}


def test_an_address_behind_a_modules_end_is_nobodys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As of a module that came and went unnoticed."""
    swap_modules(tmp_path, "alpha 16384 0 - Live 0xffffffffc0100000 (OE)\n", "")
    names = symbols(monkeypatch, tmp_path, TEXT + ALPHA)
    assert names.resolve(0xFFFFFFFFC0104000) == ("keep", 0x3E00, "alpha"), "the last return address in it"
    assert names.resolve(0xFFFFFFFFC0104001) is None
    assert names.resolve(0xFFFFFFFFA0000000) is None, "between the kernel and its modules"
    assert names.resolve(0) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0000000000000000 A __per_cpu_start\n000000000002f000 A __per_cpu_end\n", 0x2F000),
        ("0000000000000000 A __per_cpu_start\n", 0),
        ("000000000002f000 A __per_cpu_start\n0000000000000000 A __per_cpu_end\n", 0),
        ("", 0),
    ],
)
def test_the_distance_of_two_symbols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int
) -> None:
    monkeypatch.setattr(kallsyms, "KALLSYMS", tmp_path / "kallsyms")
    (tmp_path / "kallsyms").write_text(
        f"ffffffff81000000 T _stext\n{text}ffffffff82000000 t __per_cpu_start_x\n"
    )
    assert kallsyms.bytes_between("__per_cpu_start", "__per_cpu_end") == size
