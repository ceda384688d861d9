# SPDX-License-Identifier: Apache-2.0
"""The worked examples in the docstrings of object_layout, proof and support, run as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slabtrace
from slabtrace.analysis.mismatches.object_layout import ObjectLayout, Shape
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Coverage, Manifest, Unattached
from tests.unit.synthetic import START, alloc, free, intern, sites_of, write_trace

S = 1_000_000_000


def test_object_layout() -> None:
    frees, columns = intern([free(1, ptr, cache=0xC0) for ptr in (0x1000, 0x10C0, 0x10D0, 0x1FC0)])
    layout = ObjectLayout({0xC0: Shape(96, 0, 0)}, sites_of(columns), 4096)
    assert layout.into(frees).tolist() == [0, 0, 16, 4032]


UNTRACED = Coverage(unattached=[Unattached("kmem_cache_alloc_bulk", "")])


def lost(second: int, count: int) -> dict[str, Any]:
    times = {"begin_ns": START + second * S, "end_ns": START + second * S + S // 10}
    return {**times, "cpu": -1, "kind": Loss.RING_FULL, "program": "", "count": count}


@pytest.mark.parametrize(
    ("losses", "of", "maybe_missed", "confidence"),
    [
        ([], {}, 0, "exact"),
        ([lost(4, 2)], {}, 2, "bounded"),
        ([lost(1, 9)], {}, 0, "exact"),
        ([lost(7, 9)], {}, 0, "exact"),
        ([lost(4, 9) | {"kind": Loss.RECURSION, "program": "kfree"}], {}, 0, "exact"),
        (
            [],
            {"coverage": Coverage(unattached=[Unattached("kmem_cache_alloc_bulk", "")])},
            None,
            "unprovable",
        ),
        ([], {"options": {"pid": 5}}, None, "unprovable"),
    ],
)
def test_proof(
    tmp_path: Path, losses: Any, of: dict[str, Any], maybe_missed: int | None, confidence: str
) -> None:
    events = [alloc(1, 0x10), free(3 * S, 0x10), free(5 * S, 0x10)]
    manifest = Manifest(status="complete", **of)
    path = write_trace(tmp_path / "t", events, {"losses": losses}, manifest=manifest, seconds=10)
    (found,) = slabtrace.open(path).mismatches().to_dict("records")
    assert (found["kind"], found["confidence"]) == ("double-free", confidence)
    assert (None if pd.isna(found["maybe_missed"]) else found["maybe_missed"]) == maybe_missed


@pytest.mark.parametrize(("other_cache", "supported"), [(0xC0, [False, False]), (0xC1, [True, False])])
def test_support(tmp_path: Path, other_cache: int, supported: list[bool]) -> None:
    ms, f, g, rcu = S // 1000, 0x111, 0x222, 0x333
    close = [alloc(ms, 0x10), free(2 * ms, 0x10, call_site=f), free(3 * ms, 0x10, call_site=g)]
    of: dict[str, Any] = {"cache": other_cache, "call_site": rcu, "tid": 0}
    apart = [alloc(ms, 0x20, cache=other_cache), free(5 * ms, 0x20, **of), free(900 * ms, 0x20, **of)]
    events = sorted([*close, *apart], key=lambda event: event.ts)
    path = write_trace(tmp_path / "t", events, manifest=Manifest(status="complete", coverage=UNTRACED))
    frame = slabtrace.open(path).mismatches().sort_values("ptr")
    assert frame["supported"].tolist() == supported
