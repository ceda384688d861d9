# SPDX-License-Identifier: Apache-2.0
"""Who a process was at a time: the example, pids that are used again, and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.processes.processes import NOT_ENDED, Processes
from slabtrace.analysis.processes.states import ProcessStates, Row, State, rows_of
from slabtrace.trace.format.schema import CGROUPS, PROCESSES, CgroupEvent, ProcessEvent

RUNNING, FORK, EXEC, EXIT, MOVED = ProcessEvent


def row(
    ts_ns: int, event: int, tgid: int, parent: int = 0, cgroup: int = 0, command: str = "", **more: Any
) -> Row:
    made = {"pid_ns": 1, "net_ns": 2, "hierarchy": 0, "exe": command and f"/bin/{command}"} | more
    return Row(ts_ns, event, tgid, parent, cgroup=cgroup, command=command, **made)


def cgroup(number: int, path: str, event: int = CgroupEvent.SEEN, **more: Any) -> dict[str, Any]:
    row = {"ts_ns": 1, "event": event, "hierarchy": 0, "cgroup": number, "path": path, "controllers": ""}
    return row | more


def processes(rows: list[Row], cgroups: list[dict[str, Any]] | None = None) -> Processes:
    table = pa.Table.from_pylist([each._asdict() for each in rows], PROCESSES)
    return Processes(table, pa.Table.from_pylist(cgroups or [], CGROUPS))


def at(found: Processes, tgid: int, ts_ns: int) -> State | None:
    (position,) = found.rows(np.array([tgid]), np.array([ts_ns])).tolist()
    return found.states[position] if position >= 0 else None


EXAMPLE = [
    row(10, RUNNING, 7, 1, 90, "sh"),
    row(20, FORK, 8, 7, 90),
    row(30, MOVED, 7, cgroup=91),
    row(40, EXEC, 8, 7, 90, "ls"),
    row(50, EXIT, 8),
]


def test_the_example() -> None:
    found = processes(EXAMPLE[::-1], [cgroup(90, "/"), cgroup(91, "/a.service")])
    seen = [at(found, 8, ts_ns) for ts_ns in (25, 35, 45, 60)]
    assert [each.command for each in seen if each] == ["sh", "sh", "ls", "ls"]
    assert [found.path(each) for each in seen if each] == ["/"] * 4
    last = at(found, 7, 35)
    assert last is not None and found.path(last) == "/a.service"
    assert [found.ended_ns[each] for each in (0, 1)] == [NOT_ENDED, 50]
    assert seen[0] and seen[0].parent_number == 0
    assert at(found, 9, 35) is None
    assert at(found, 8, 5) == seen[0]  # before its first state, that one


def test_a_pid_that_is_used_again_is_another_process() -> None:
    found = processes([*EXAMPLE, row(60, FORK, 8, 7), row(70, EXEC, 8, 7, command="ps")])
    first, second = at(found, 8, 45), at(found, 8, 75)
    assert first and second and first.number != second.number
    assert (first.command, second.command) == ("ls", "ps")
    assert found.ended_ns[second.number] == NOT_ENDED


def test_which_processes_began_and_still_run() -> None:
    rows = [*EXAMPLE, row(50, FORK, 9, 7), row(60, FORK, 10, 7), row(61, EXEC, 10, 7, command="ps")]
    assert processes(rows).running_since(20) == {9, 10}
    assert processes(rows).running_since(10) == {7, 9, 10}
    assert processes(rows).running_since(60) == {10}


def test_an_end_that_was_lost() -> None:
    found = processes([row(1, FORK, 8, 7), row(9, FORK, 8, 7)])
    assert found.ended_ns == [9, NOT_ENDED]


def test_a_child_is_in_the_cgroups_of_its_parent_unless_it_was_put_elsewhere() -> None:
    """As by clone3 with CLONE_INTO_CGROUP: the fork itself names the child's cgroup."""
    rows = [row(1, RUNNING, 7, cgroup=90), row(2, MOVED, 7, cgroup=5, hierarchy=4), row(3, FORK, 8, 7, 92)]
    state = at(processes(rows), 8, 4)
    assert state is not None and state.cgroups == {0: 92, 4: 5}


def test_of_several_cgroups_the_one_that_says_most() -> None:
    systemd = {"hierarchy": 9, "controllers": "name=systemd"}
    memory = {"hierarchy": 4, "controllers": "memory"}
    cgroups = [
        cgroup(1, "/"), cgroup(5, "/v2"), cgroup(6, "/u.service", **systemd), cgroup(1, "/", **systemd),
        cgroup(7, "/m", **memory), cgroup(8, "/c", hierarchy=3, controllers="cpu"),
    ]  # fmt: skip
    known = processes([], cgroups).cgroups
    assert known.chosen({0: 5, 9: 6, 4: 7}) == (0, 5)
    assert known.chosen({0: 1, 4: 7, 9: 6, 3: 8}) == (9, 6)
    assert known.chosen({0: 1, 9: 1, 4: 7, 3: 8}) == (4, 7)
    assert known.chosen({0: 1, 3: 8}) == (3, 8)
    assert known.chosen({0: 1}) == (0, 1)
    assert known.chosen({0: 77}) is None


def test_a_cgroup_that_is_gone_keeps_its_name() -> None:
    found = processes(
        [], [cgroup(5, "/a", CgroupEvent.MADE), cgroup(5, "", CgroupEvent.GONE, ts_ns=9)]
    ).cgroups
    assert (found.path, found.gone_ns) == ({(0, 5): "/a"}, {(0, 5): 9})


def test_cgroups_by_their_paths() -> None:
    known = processes(
        [], [cgroup(1, "/"), cgroup(5, "/a.slice"), cgroup(6, "/a.slice/b"), cgroup(7, "/c")]
    ).cgroups
    assert known.matching(["/a.slice"]) == {(0, 5), (0, 6)}
    assert known.matching(["*b", "/c"]) == {(0, 6), (0, 7)}
    assert known.matching(["/"]) == {(0, 1), (0, 5), (0, 6), (0, 7)}
    assert known.matching(["/b", "a.slice"]) == set()


EVENTS = st.tuples(
    st.integers(1, 30), st.sampled_from(ProcessEvent), st.integers(1, 3), st.sampled_from("abc")
)


@given(st.lists(EVENTS, max_size=25), st.integers(1, 4), st.integers(0, 31))
def test_the_state_is_that_of_the_last_row_before(events: list[Any], tgid: int, ts_ns: int) -> None:
    rows = [row(when, event, who, 1, command=name) for when, event, who, name in dict.fromkeys(events)]
    rows = sorted({each.ts_ns: each for each in rows}.values())  # at different times
    states, last, first = ProcessStates(), None, None
    for each in rows:
        state = states.take(each)
        if state is not None and state.tgid == tgid:
            first = first or state
            last = state if each.ts_ns <= ts_ns else last
    found = at(processes(rows), tgid, ts_ns)
    assert found == (last or first)


@given(st.lists(EVENTS, max_size=25))
def test_rows_of_a_state_lead_to_it(events: list[Any]) -> None:
    rows = [row(when, event, who, 1, 5, command=name) for when, event, who, name in events]
    before = ProcessStates()
    for each in sorted(rows):
        before.take(each)
    after = ProcessStates()
    for state in before.living.values():
        for each in rows_of(state):
            after.take(each)
    known = {tgid: state._replace(number=0, parent_number=-1) for tgid, state in before.living.items()}
    assert {tgid: state._replace(number=0, parent_number=-1) for tgid, state in after.living.items()} == known


def test_rows_of_an_earlier_and_a_later_state_are_of_one_process() -> None:
    states = ProcessStates()
    early, late = (states.take(each) for each in (EXAMPLE[0], row(40, EXEC, 7, 1, 90, "ls")))
    assert early and late
    found = processes([*rows_of(late), *rows_of(early)])
    assert len(found.ended_ns) == 1
    assert [at(found, 7, ts_ns).command for ts_ns in (20, 45)] == ["sh", "ls"]  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [0, 3])
def test_many_questions_at_once(number: int) -> None:
    found = processes(EXAMPLE)
    assert found.rows(np.array([8] * number), np.arange(number) + 40).tolist() == [3] * number
