# SPDX-License-Identifier: Apache-2.0
"""What the options of a recording become: -D numbers, and fields of the manifest."""

from __future__ import annotations

from typing import Any

import pytest

from slabtrace.capture.options import CaptureOptions
from slabtrace.errors import UsageError

OF_FREES, OF_ALLOCS = 1, 2  # bpf/twin.h


def test_a_cgroup_is_a_filter() -> None:
    options = CaptureOptions(cgroup="/a/*")
    assert options.filtered
    assert "FILTER_CGROUP" in options.defines() and "FILTER_COMM" not in options.defines()
    assert options.to_manifest()["cgroup"] == "/a/*"
    assert not CaptureOptions().filtered and CaptureOptions().to_manifest()["cgroup"] is None


@pytest.mark.parametrize("glob", ["", "a", "/" + "x" * 600])
def test_a_glob_that_cannot_be_judged_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="--cgroup"):
        CaptureOptions(cgroup=glob)


def test_percpu_does_not_go_with_a_choice_of_slab_caches() -> None:
    with pytest.raises(UsageError, match="--percpu does not go with --cache"):
        CaptureOptions(percpu=True, cache=("kmalloc-*",))
    assert CaptureOptions(percpu=True).to_manifest()["percpu"] is True


@pytest.mark.parametrize(
    ("options", "frees", "allocations"),
    [
        ({}, True, True),
        ({"mode": "survivors"}, True, True),
        ({"sample": 16}, False, False),
        ({"budget": 0.02}, False, False),
        ({"twins": "frees"}, True, False),
        ({"twins": "none"}, False, False),
        ({"twins": "all", "sample": 16}, True, True),
    ],
)
def test_which_tracepoints_have_twins(options: dict[str, Any], frees: bool, allocations: bool) -> None:
    chosen = CaptureOptions(**options)
    assert [chosen.twin_of(name) for name in ("kfree", "kmalloc")] == [frees, allocations]
    assert chosen.defines()["TWINS"] == OF_FREES * frees | OF_ALLOCS * allocations
