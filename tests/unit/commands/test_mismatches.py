# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mismatches`: what is listed, what is only counted, and the exit code."""

from __future__ import annotations

import json

from tests.unit.commands.conftest import Run, printed_json
from tests.unit.fake_rows import MISMATCH
from tests.unit.fake_trace import FakeTrace


def test_mismatches_json(run: Run) -> None:
    trace = FakeTrace([MISMATCH])
    (finding,) = printed_json(run, "mismatches", "t.slab", trace=trace, code=1)["findings"]
    assert (finding["kind"], finding["ptr"]) == ("double-free", "0xffff888004205500")
    assert finding["second_free"]["ts_ns"] == 3_000


def test_mismatches_show_each_event(run: Run) -> None:
    _, out, _ = run("mismatches", "t.slab", trace=FakeTrace([MISMATCH]))
    assert "double-free of 0xffff888004205500 in kmalloc-cg-192; confirmed" in out
    assert r"freed again at 3 us on CPU 1 by evil\x1b]0;owned\x07 (pid 4321)" in out
    assert "      kfree_sensitive+0x1" in out.splitlines()


def test_mismatches_say_which_kind_may_be_hidden(run: Run) -> None:
    trace = FakeTrace()
    assert "Frees to the wrong cache may be missing" in run("mismatches", "t.slab", trace=trace)[1]
    trace.manifest.coverage.attached.append("on_wrong_cache_free")
    assert "wrong cache" not in run("mismatches", "t.slab", trace=trace)[1]


def test_no_mismatches_is_said(run: Run) -> None:
    code, out, _ = run("mismatches", "t.slab")
    assert code == 0 and out.startswith("no mismatches") and "Not listed" not in out


EXPLAINED = MISMATCH | {"ptr": 0xFFFF888004205600, "confidence": "unprovable", "supported": False}
EXPLAINED["explained_by"] = "allocations that cannot be traced"


def test_what_missed_events_explain_is_one_sentence(run: Run) -> None:
    trace = FakeTrace([EXPLAINED] * 12)
    code, out, _ = run("mismatches", "t.slab", trace=trace)
    assert code == 0 and out.startswith("no mismatches") and "double-free" not in out
    sentence = (
        "12 apparent wrong frees that allocations that cannot be traced could explain; --all lists them."
    )
    assert f"Not listed: {sentence}" in " ".join(out.split())
    code, out, _ = run("mismatches", "t.slab", "--all", "-l", "0", trace=trace)
    listed = " ".join(out.split())
    assert code == 0 and "Not listed" not in out
    assert listed.count("unverified: allocations that cannot be traced could explain it") == 12


def test_json_lists_what_is_supported_and_counts_the_rest(run: Run) -> None:
    code, out, _ = run("mismatches", "t.slab", "--json", trace=FakeTrace([EXPLAINED, MISMATCH, EXPLAINED]))
    document = json.loads(out)
    assert code == 1 and [each["ptr"] for each in document["findings"]] == ["0xffff888004205500"]
    assert document["unsupported"] == {"count": 2, "cause": "allocations that cannot be traced"}
    code, out, _ = run("mismatches", "t.slab", "--json", "--all", trace=FakeTrace([EXPLAINED]))
    assert code == 0 and [each["supported"] for each in json.loads(out)["findings"]] == [False]


AT_ONCE = MISMATCH | {"confidence": "unprovable"}


def test_what_supports_an_unverified_double_free_is_said(run: Run) -> None:
    out = " ".join(run("mismatches", "t.slab", trace=FakeTrace([AT_ONCE]))[1].split())
    assert "unverified, but one task allocated it and freed it twice within 1 us, from two call sites" in out
