# SPDX-License-Identifier: Apache-2.0
"""The automaton that the BPF program runs accepts just what fnmatch does."""

from __future__ import annotations

import fnmatch
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.processes.processes import path_matches
from slabtrace.capture.programs.glob_automaton import Glob, cgroup_glob, comm_glob
from slabtrace.errors import UsageError

PARTS = st.sampled_from(["a", "b", "-", "*", "?", "[ab]", "[!a]", "[a-c]", "**"])
PATHS = st.lists(st.text("ab.", min_size=1, max_size=3), max_size=4).map(lambda parts: "/" + "/".join(parts))
PATH_PARTS = st.sampled_from(["a", "b", ".", "/", "*", "?", "[/a]", "[!a]"])
BITS = (1 << 64) - 1


def as_the_programs_do(glob: Glob, text: str) -> bool:
    """glob_take of bpf/glob.h, over the words of the table."""
    words, table = glob.words, glob.table().tolist()
    loop, accept = table[256 * words : 257 * words], table[257 * words]
    state = [1] + [0] * (words - 1)
    for c in os.fsencode(text):
        carry, step = 0, table[c * words : (c + 1) * words]
        for i in range(words):
            passed = state[i] & step[i]
            state[i] = (passed << 1 | carry | (state[i] & loop[i])) & BITS
            carry = passed >> 63
    return bool(state[-1] & accept)


@given(st.lists(PARTS, min_size=1, max_size=8).map("".join), st.text("abcd-", max_size=15))
def test_as_fnmatch(pattern: str, comm: str) -> None:
    glob = comm_glob(pattern)
    assert glob.matches(comm) == as_the_programs_do(glob, comm) == fnmatch.fnmatchcase(comm, pattern)


@given(
    st.integers(55, 140),
    st.lists(PARTS, max_size=4).map("".join),
    st.integers(53, 142),
    st.text("abcd-", max_size=5),
)
def test_a_glob_of_several_words(length: int, pattern: str, texts: int, text: str) -> None:
    pattern, text = "/" + "a" * length + pattern, "/" + "a" * texts + text
    glob = cgroup_glob(pattern)
    assert glob.matches(text) == as_the_programs_do(glob, text) == fnmatch.fnmatchcase(text, pattern)


@given(st.lists(PATH_PARTS, max_size=6).map("".join), st.sampled_from(["/", "*", "?", "[/]"]), PATHS)
def test_a_path_or_one_above_it_as_when_reading(pattern: str, first: str, path: str) -> None:
    """The recorder judges by the automaton, the reader by fnmatch."""
    assert cgroup_glob(first + pattern).matches_path(path) == path_matches(path, [first + pattern])


@pytest.mark.parametrize(
    ("path", "glob", "wanted"),
    [
        ("/a.slice/b.service", "/a.slice/b.service", True),
        ("/a.slice/b.service/x/y", "/a.slice/b.service", True),
        ("/a.slice/b.service-x", "/a.slice/b.service", False),
        ("/a.slice", "/a.slice/*", False),
        ("/a.slice/b/c", "/a.slice/*", True),
        ("/a/b/c/d", "/a/*/d", True),
        ("/a/docker-1.scope/x", "*/docker-*", True),
        ("/anything", "/", True),
        ("/", "/", True),
        ("/", "*", True),
        ("/", "/?*", False),
    ],
)
def test_which_paths_match(path: str, glob: str, wanted: bool) -> None:
    assert cgroup_glob(glob).matches_path(path) == path_matches(path, [glob]) == wanted


@pytest.mark.parametrize("pattern", ["", "a" * 64])
def test_what_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        comm_glob(pattern)


def test_the_longest_glob_of_a_cgroup() -> None:
    assert cgroup_glob("/" + "a" * 510).matches_path("/" + "a" * 510 + "/b")
    with pytest.raises(UsageError, match=r"may have 511 characters, not 512"):
        cgroup_glob("/" + "a" * 511)


@pytest.mark.parametrize("pattern", ["nginx.service", "", "system.slice/*"])
def test_a_glob_that_no_path_can_match_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError) as refused:
        cgroup_glob(pattern)
    assert not pattern or f"*/{pattern}" in (refused.value.remedy or "")


def test_a_comm_of_several_byte_characters() -> None:
    assert comm_glob("k*ü?").matches("kernelü!")
    assert not comm_glob("k*ü").matches("kernelu")


def test_a_comm_of_bytes_that_are_no_text() -> None:
    """As the shell hands over $'wörker\\xff' in another encoding: surrogates stand for such bytes."""
    assert comm_glob("w*\udcff").matches("worker\udcff")
    assert not comm_glob("w*\udcfe").matches("worker\udcff")
