# SPDX-License-Identifier: Apache-2.0
"""The text of a census: what is read of the kernel is hostile."""

from __future__ import annotations

import io
from typing import Any

import pytest

from slabtrace.analysis.holders import census
from slabtrace.render.terminal.machine.census import write_census, write_changes

HOSTILE = "in /tmp/\x1b[2J\u202e"
ROW = {"kind": "dentry", "group": HOSTILE, "cache": "dentry\x07", "objects": 211, "bytes": 40512}
CACHE = {"cache": "d\x1b", "aliases": [], "objects": 211, "bytes": 40512, "slab_bytes": 65536, "unread": 0}
SAMPLE = {"group": 0, "in_use": True, "kind": "dentry", "held": 4, "holders": ["\x1b]0;x"], "references": 1}
CENSUS: dict[str, Any] = {
    "groups": [ROW],
    "caches": [CACHE],
    "cgroups": [{"cgroup": "/a\x1b", "objects": 1, "bytes": 192},
                {"cgroup": "", "objects": 210, "bytes": 40320}],
    "sample": [SAMPLE],
    "searched": {"slab": 1 << 20}, "whole": False, "notes": ["\x1bnote"], "seconds": 1.5, "cpu_seconds": 0.7,
    "allocations": [{"bytes": 4096, "calls": 1, "place": "\x1bmm.c:1", "module": "", "function": "f"}],
}  # fmt: skip


@pytest.mark.parametrize("name", ["groups", "caches", "cgroups"])
def test_nothing_that_a_terminal_acts_on_is_written(name: str) -> None:
    out = io.StringIO()
    write_census(out, CENSUS, census.table(CENSUS, name), name, None)
    write_changes(out, census.changes({**CENSUS, name: []}, CENSUS, name), name, None)
    assert all(each.isprintable() for each in out.getvalue().splitlines())


def test_the_account_says_what_was_read_and_that_time_was_short() -> None:
    out = io.StringIO()
    write_census(out, CENSUS, census.table(CENSUS, "cgroups"), "cgroups", 1)
    text = out.getvalue()
    assert "211 objects in use, 39.6 KiB; read in 1.5 s, 700 ms of CPU time" in text
    assert "searched for holders: 1 MiB of slabs" in text
    assert "the time was too short for everything" in text
    assert "(charged to none)" in text and "… and 1 row more" in text
