# SPDX-License-Identifier: Apache-2.0
"""When a run of the proving ground passes, and when it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.verdict.judging import Outcome, judge, off
from tests.verdict.loads.messages import Messages, Ring
from tests.verdict.scenario import Scenario
from tests.verdict.truth import Truth

LOAD, STRANGER = 4321, 99
LEAK = Scenario("leak", Messages, "leak", "msg_msg-128", {"msg_msg-128": 1})
FLAT = Scenario("flat", Ring, "flat")
TRUTH = Truth(100, 101, 50.0, ((128.0, 128.0),), "msg_msg-128", frozenset({LOAD}))


def finding(**changed: Any) -> dict[str, Any]:
    """What a right verdict on LEAK says."""
    right = {
        "class": "suspect", "caches": ["msg_msg-128"], "outstanding": 100, "bytes_alloc": 12_800,
        "pids": [LOAD], "comms": ["python3"], "rate_low": 1.6, "rate_high": 2.4,
        "held": "process",
    }  # fmt: skip
    return {**right, **changed}


def leak(*findings: dict[str, Any], scenario: Scenario = LEAK, truth: Truth = TRUTH) -> Outcome:
    return judge(scenario, truth, findings)


def test_a_leak_that_is_the_first_finding_and_whole_passes() -> None:
    outcome = leak(finding(), finding(**{"class": "retained", "pids": [STRANGER]}))
    assert outcome.passed and outcome.off == 0 and outcome.others == []


def test_nothing_is_lost() -> None:
    outcome = leak(finding(), finding(**{"class": "retained", "pids": [STRANGER], "held": "lost"}))
    assert outcome.wrong == ["lost: retained msg_msg-128 100 owners 12800 B 1.60..2.40/s by python3"]


@pytest.mark.parametrize(
    ("bytes_alloc", "passes"),
    [(100 * 128, True), (101 * 128, True), (12_672, True), (12_400, False), (13_100, True), (13_400, False)],
)
def test_two_per_cent_beyond_what_may_have_come_are_allowed(bytes_alloc: int, passes: bool) -> None:
    """100 or 101 owners of 128 bytes: 12,800 to 12,928 are right; 2 % of their middle are 257."""
    assert leak(finding(bytes_alloc=bytes_alloc)).passed == passes


def test_how_far_off_is_a_share_of_the_truth() -> None:
    exact = TRUTH._replace(most=100)
    assert off(14_080, exact, (128.0, 128.0)) == pytest.approx(0.10)
    assert off(6_400, exact, (128.0, 128.0)) == pytest.approx(-0.5)
    assert off(13_000, exact, (128.0, 140.0)) == 0
    assert off(1, exact._replace(least=0, most=0), (128.0, 128.0)) == float("inf")


@pytest.mark.parametrize("found", ["growing", "retained", "reclaimable", "replacing", "young"])
def test_a_leak_of_another_class_fails(found: str) -> None:
    assert leak(finding(**{"class": found})).wrong == [f"first is {found}"]


def test_a_leak_that_is_not_found_fails() -> None:
    assert leak().wrong == ["no finding"]


def test_a_leak_that_is_not_the_first_fails_and_is_named_as_another_suspect() -> None:
    outcome = leak(finding(caches=["filp"], pids=[STRANGER], comms=["sh"]), finding())
    assert outcome.wrong[0] == "first has no msg_msg-128"
    assert len(outcome.others) == 1 and outcome.others[0].startswith("suspect msg_msg-128")


def test_the_owner_may_be_any_member_of_the_first_finding() -> None:
    assert leak(finding(caches=["kmalloc-64", "msg_msg-128"])).passed


def test_another_suspect_fails_whoever_it_belongs_to() -> None:
    outcome = leak(finding(), finding(caches=["dentry"], pids=[STRANGER], comms=["cron"]))
    assert outcome.wrong == ["suspect: suspect dentry 100 owners 12800 B 1.60..2.40/s by cron"]


def test_the_second_owner_of_a_load_is_no_false_suspect_but_a_third_is() -> None:
    two = Scenario("two", Messages, "leak", "msg_msg-128", {"msg_msg-128": 1}, beside={"filp": 1})
    whole = ((128.0, 128.0), (192.0, 192.0), (320.0, 320.0))
    truth = TRUTH._replace(bytes_each=whole, beside=frozenset({"filp"}))
    second = finding(caches=["filp"], bytes_alloc=19_200)
    assert leak(finding(), second, scenario=two, truth=truth).passed
    assert leak(finding(bytes_alloc=32_000), scenario=two, truth=truth).passed  # both as one
    assert not leak(finding(), second, second, scenario=two, truth=truth).passed
    assert not leak(finding(), {**second, "pids": [STRANGER]}, scenario=two, truth=truth).passed


def test_of_a_sample_the_interval_of_the_rate_holds_the_truth() -> None:
    sampled = Scenario("sampled", Messages, "leak", "msg_msg-128", {"msg_msg-128": 1}, by_rate=True)
    few = finding(outstanding=6, bytes_alloc=768)
    assert leak(few, scenario=sampled).passed and leak(few, scenario=sampled).off is None
    for low, high in ((0.1, 1.9), (2.1, 3.0)):  # the truth: 2.00 to 2.02 a second
        assert not leak({**few, "rate_low": low, "rate_high": high}, scenario=sampled).passed


def test_a_flat_load_without_a_suspect_passes() -> None:
    classes = ("replacing", "retained", "reclaimable", "young")
    assert judge(FLAT, TRUTH, [finding(**{"class": each}) for each in classes]).passed
    assert judge(FLAT, TRUTH, []).passed


@pytest.mark.parametrize("pid", [LOAD, STRANGER])
def test_any_suspect_fails_a_flat_load(pid: int) -> None:
    outcome = judge(FLAT, TRUTH, [finding(**{"class": "retained"}), finding(pids=[pid])])
    assert len(outcome.wrong) == len(outcome.others) == 1


def test_only_the_loads_own_findings_must_not_be_growing() -> None:
    growing = finding(**{"class": "growing"})
    assert judge(FLAT, TRUTH, [{**growing, "pids": [STRANGER]}]).passed
    assert not judge(FLAT, TRUTH, [growing]).passed
    assert judge(Scenario("ramp", Ring, "flat", may=("growing",)), TRUTH, [growing]).passed
