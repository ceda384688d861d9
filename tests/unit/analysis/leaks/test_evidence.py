# SPDX-License-Identifier: Apache-2.0
"""The tests of one group: worked examples, steady populations, leaks of known rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import horizons
from slabtrace.analysis.leaks import evidence as judged
from slabtrace.analysis.leaks.evidence import Evidence
from slabtrace.analysis.leaks.evidence import Tested as Results
from slabtrace.analysis.statistics.binomial import at_least, at_most
from slabtrace.analysis.statistics.discovery import LEVEL

SECONDS = 64
S = 1_000_000_000
HORIZONS = horizons(SECONDS * S) / (SECONDS * S)
Times = NDArray[np.float64]
NONE: Times = np.empty(0)
SURE = 1e-4  # a case less likely than this is a fault


def group(born: Times, lives: Times | None = None, older: Times = NONE) -> Evidence:
    """A group of objects that come at `born`; those that live shorter than until the end are freed."""
    order = np.argsort(born)
    born = born[order]
    lives = np.full(len(born), np.inf) if lives is None else lives[order]
    lived = lives[born + lives < 1]
    older = np.sort(older[(older >= 0) & (older < 1)])
    return Evidence(
        horizons=HORIZONS,
        born=born[born + lives >= 1],
        died=np.array([(lived >= h).sum() for h in HORIZONS]),
        beyond=np.array([(lived[lived >= h] - h).sum() for h in HORIZONS]),
        older=older,
        weight=np.ones(len(older)),
    )


def steady(rng: np.random.Generator, live: float, mean: float, kind: str) -> Evidence:
    """A population that neither grows nor shrinks: `live` objects on average, that live `mean` on average."""
    came = rng.random(rng.poisson(live / mean))
    if kind == "without memory":
        return group(came, rng.exponential(mean, len(came)), rng.exponential(mean, rng.poisson(live)))
    return group(came, np.full(len(came), mean), rng.random(rng.poisson(live)) * mean)


def results(kind: str, live: float, mean: float, cases: int = 400) -> list[Results]:
    rng = np.random.default_rng(5)
    return [judged.tested(steady(rng, live, mean, kind)) for _ in range(cases)]


def test_the_example() -> None:
    """A ring of 200 messages beside a leak of one a second; 64 s, h = 4.3 s."""
    seconds = np.arange(0.5, SECONDS, 0.5)
    ring = group(seconds / SECONDS, older=seconds / SECONDS)
    first = float(HORIZONS[0])
    assert (len(ring.kept(first)), ring.gone(first)[1]) == (119, 119)
    result = judged.tested(ring)
    assert result.p == 1.0 and result.p_growth > 0.5
    assert result.rate.low < 0 < result.rate.high
    leak = group((np.arange(SECONDS) + 0.5) / SECONDS)
    assert (len(leak.kept(first)), leak.gone(first)[1]) == (60, 0)
    assert judged.tested(leak).p == pytest.approx(2.0**-60)


@pytest.mark.parametrize("kind", ["without memory", "equally long"])
@pytest.mark.parametrize(("live", "mean"), [(20, 0.05), (100, 0.3), (300, 1.0), (300, 3.0)])
def test_a_steady_population_rarely_grows_by_chance(kind: str, live: float, mean: float) -> None:
    found = results(kind, live, mean)
    for level in (0.01, 0.05):
        wrong = sum(each.p_growth <= level for each in found)
        assert at_least(wrong, len(found), level) > SURE
    assert all(each.p >= each.p_growth or each.p == 1 for each in found)


def test_without_frees_of_older_objects_long_lives_are_no_plateau() -> None:
    """Objects that live a quarter of the recording, none from before: they die, so this is no leak."""
    rng = np.random.default_rng(6)
    groups = [group(rng.random(800), rng.exponential(0.25, 800)) for _ in range(200)]
    found = [judged.tested(each) for each in groups]
    assert np.mean([each.p_growth < LEVEL for each in found]) > 0.9  # it does grow
    for level in (0.01, 1e-4):  # at each horizon, of which the surest counts
        wrong = sum(each.p <= level for each in found)
        assert at_least(wrong, len(found), level * len(HORIZONS)) > SURE


@pytest.mark.parametrize("churn", [0, 300])
@pytest.mark.parametrize("leak", [40, 200])
def test_the_rate_of_a_leak_is_within_its_interval(leak: int, churn: int) -> None:
    rng, held, found, cases = np.random.default_rng(8), 0, 0, 200
    for _ in range(cases):
        came, leaked = rng.random(rng.poisson(20 * churn)), rng.random(rng.poisson(leak))
        lives = np.concatenate([rng.exponential(0.05, len(came)), np.full(len(leaked), np.inf)])
        older = rng.exponential(0.05, rng.poisson(churn))
        result = judged.tested(group(np.concatenate([came, leaked]), lives, older))
        held += result.rate.low <= leak <= result.rate.high
        found += result.p < 1e-4
    assert at_most(held, cases, 0.94) > SURE
    assert found >= 0.94 * cases


def leak(number: int = 120) -> Evidence:
    return group((np.arange(number) + 0.5) / number)


def test_objects_that_may_have_been_freed_unseen_do_not_count() -> None:
    assert judged.tested(leak()).p < 1e-20
    some = judged.tested(replace(leak(), doubtful=90)).p
    assert some == pytest.approx(2.0 ** -(112 - 90))
    assert judged.tested(replace(leak(), doubtful=110)).p == 1.0


def test_frees_of_older_objects_count_by_their_weight() -> None:
    whole = replace(leak(), older=leak().born, weight=np.ones(120))
    half = replace(leak(), older=leak().born, weight=np.full(120, 0.5))
    assert judged.tested(whole).p_growth > 0.1
    assert judged.tested(half).older == pytest.approx(judged.tested(whole).older / 2)
    assert judged.tested(half).p_growth < 1e-3


def test_what_ended_is_no_leak() -> None:
    result = judged.tested(group(np.linspace(0, 0.6, 200)))
    assert result.ended and result.p == 1.0 and not result.bursts


@pytest.mark.parametrize("at_first", [60, 400])
def test_the_rate_after_a_start_is_that_of_the_later_part(at_first: int) -> None:
    """A service starts and allocates what it needs; besides, one object a second leaks all the time."""
    rng, held, grows, cases = np.random.default_rng(3), 0, 0, 300
    for _ in range(cases):
        leak = rng.random(rng.poisson(SECONDS))
        result = judged.tested(group(np.concatenate([leak, 0.3 * rng.random(at_first)])))
        held += result.rate.low <= SECONDS <= result.rate.high
        grows += not result.ended and result.steady and min(result.p, result.p_growth) < 1e-3
    assert at_most(held, cases, 0.93) > SURE and grows > 0.9 * cases


def test_a_start_alone_ends() -> None:
    result = judged.tested(group(np.linspace(0, 0.3, 400)))
    assert result.ended and result.since == 0.0


def test_a_rate_is_of_the_whole_time_where_objects_come_evenly() -> None:
    assert judged.tested(leak()).since == 0.0


def test_where_recorded_objects_died_old_the_rate_is_of_the_whole_time() -> None:
    """A later part cannot tell which of the frees are of objects that came before it."""
    came = np.concatenate([np.linspace(0, 0.3, 400), np.linspace(0, 1, 64)])
    lives = np.where(np.arange(len(came)) % 4 == 0, 0.5, np.inf)
    assert judged.tested(group(came, lives)).since == 0.0


def test_objects_asked_for_until_a_time_have_not_ended_there() -> None:
    early = group(np.linspace(0, 0.5, 200))
    assert judged.tested(early).ended
    asked = replace(early, horizons=np.array([0.5, 0.6]), died=early.died[:2], beyond=early.beyond[:2])
    assert not judged.tested(replace(asked, until=0.5)).ended


def test_bursts_are_no_leak() -> None:
    """Three bursts of 100, at a sixth, a half and five sixths of the time."""
    result = judged.tested(group(np.repeat([1 / 6, 1 / 2, 5 / 6], 100) + np.tile(np.arange(100) * 1e-6, 3)))
    assert result.p == 1.0 and not result.steady and result.bursts
    assert result.dispersion == pytest.approx(100)


def test_a_burst_that_ended_is_called_a_burst() -> None:
    assert judged.tested(group(0.1 + np.arange(200) * 1e-6)).bursts


def test_few_objects_are_not_tested() -> None:
    assert judged.tested(leak(8)).p == 1.0  # 7 are old
    assert judged.tested(leak(11)).p == pytest.approx(2.0**-10)


@pytest.mark.parametrize("born", [NONE, np.array([0.99])])
def test_nothing_is_old(born: Times) -> None:
    assert judged.tested(group(born)) == Results()


def test_a_recording_too_short_for_a_horizon() -> None:
    none = np.empty(0)
    assert (
        judged.tested(Evidence(none, np.linspace(0, 1, 99), none.astype(int), none, none, none)) == Results()
    )
