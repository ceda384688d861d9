# SPDX-License-Identifier: Apache-2.0
"""The automaton that the BPF program runs accepts just what fnmatch does."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.programs.comm_automaton import CommGlob
from slabtrace.errors import UsageError

PARTS = st.sampled_from(["a", "b", "-", "*", "?", "[ab]", "[!a]", "[a-c]", "**"])


@given(st.lists(PARTS, min_size=1, max_size=8).map("".join), st.text("abcd-", max_size=15))
def test_as_fnmatch(pattern: str, comm: str) -> None:
    assert CommGlob(pattern).matches(comm) == fnmatch.fnmatchcase(comm, pattern)


@pytest.mark.parametrize("pattern", ["", "a" * 32])
def test_what_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        CommGlob(pattern)


def test_a_comm_of_several_byte_characters() -> None:
    assert CommGlob("k*ü?").matches("kernelü!")
    assert not CommGlob("k*ü").matches("kernelu")


def test_a_comm_of_bytes_that_are_no_text() -> None:
    """As the shell hands over $'wörker\\xff' in another encoding: surrogates stand for such bytes."""
    assert CommGlob("w*\udcff").matches("worker\udcff")
    assert not CommGlob("w*\udcfe").matches("worker\udcff")
