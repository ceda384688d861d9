# SPDX-License-Identifier: Apache-2.0
"""What is known of one group of objects, and what the tests say of it.

In a population that neither grows nor shrinks, as many objects become old as old ones go.  With h an age,
the horizon: `kept` were allocated since the begin, are alive at the end, and older than h; `older` are
frees, later than h after the begin, of objects from before it.  If objects come at random times, both are
Poisson counts with one mean, whatever the lifetimes are: the rate times the integral of the survival curve
from h to the length of the recording.  So an excess of `kept` is growth: it is weighed by age in
statistics/balance.py.  It is a leak if, besides, old objects are not freed any more (statistics/plateau.py).

Example: a ring of 200 messages, every half second the oldest goes and a new one comes; 64 s, h = 4.3 s.
119 are kept, and 119 older ones went: balanced.  A leak of one a second: 60 are kept, none went.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.statistics.balance import Lots, least_p, p_balanced
from slabtrace.analysis.statistics.binomial import at_least
from slabtrace.analysis.statistics.discovery import LEVEL
from slabtrace.analysis.statistics.dispersion import dispersion, lots, parts_filled
from slabtrace.analysis.statistics.ending import ended
from slabtrace.analysis.statistics.plateau import Beyond
from slabtrace.analysis.statistics.rates import Rate, of_difference

Times = NDArray[np.float64]

LEAST_KEPT = 8  # with fewer objects nothing is tested
LEAST_DEATH_RATE = 2.0  # a suspect's old objects do not die within half a recording on average, nearly surely
LEAST_FILLED = 6.0  # of 16 parts of the time in which objects came: with fewer they did not come all along
FEW_FILLED = 2.0  # nor in a time that ended, but in a burst or two
SLOW_DEATH_RATE, SLOW_LEVEL = 0.5, 0.05  # nor within two recordings, rather surely
FASTER_LEVEL = 1e-3  # how well chance may explain that more came in the first half than in the second
HALVINGS = 2  # of the time, to find the stretch for the rate
FINER = 2.0  # so many times as old is another age, where kept and older are compared


@dataclass
class Evidence:
    """Of one group; times in units of the recording since its begin.

    `horizons`, shape (j,), ascending.  `born`: when the live objects were allocated, shape (n,),
    ascending. `died`, `beyond`: of objects that were seen freed older than each horizon, the number and
    the sum of the times beyond it, shape (j,).  `older`, `weight`: frees of older objects that may be of
    this group, ascending, and how much each counts, shape (m,).  `doubtful`: live objects that may have
    been freed unseen. `until`: no object was asked for that was allocated later.
    """

    horizons: Times
    born: Times
    died: Counts
    beyond: Times
    older: Times
    weight: Times
    doubtful: int = 0
    until: float = 1.0

    def kept(self, horizon: float) -> Times:
        """When the objects were allocated that are older than the horizon."""
        return self.born[: np.searchsorted(self.born, 1.0 - horizon, side="right")]

    def gone(self, horizon: float) -> tuple[Times, float]:
        """(when, how many) older objects of the group were freed that count at this horizon."""
        begin = int(np.searchsorted(self.older, horizon))
        return self.older[begin:] - horizon, float(self.weight[begin:].sum())


class Tested(NamedTuple):
    """What the tests say; times in units of the recording.

    `p`: how well no leak explains the data; `p_growth`: how well a steady population does; `least_p`: the
    least that as many objects could have given.  `horizon`: where p is least, 0 without any; `kept` (of
    these `sure` cannot have been freed unseen),
    `older`, `died`: the numbers there.  `dispersion`: how many objects count as one.  `filled`: in how many
    of 16 parts of the time objects came.  `ended`: no more come.  `rate`: objects a recording, and `counted`:
    those that came or went that it rests on; `since`, `until`: the rate is that of what came meanwhile;
    before `since`, more came.
    """

    p: float = 1.0
    p_growth: float = 1.0
    least_p: float = 1.0
    horizon: float = 0.0
    kept: int = 0
    sure: int = 0
    older: float = 0.0
    died: int = 0
    dispersion: float = 1.0
    filled: float = 0.0
    ended: bool = False
    rate: Rate = Rate(0.0, 0.0, 0.0)
    counted: float = 0.0
    since: float = 0.0
    until: float = 1.0

    @property
    def steady(self) -> bool:
        """Whether objects came in most parts of the time."""
        return self.filled >= LEAST_FILLED

    @property
    def bursts(self) -> bool:
        """Whether objects came in a few bursts: those that live, not all along until an end, and few died."""
        ended = self.ended and self.filled >= FEW_FILLED
        return not self.steady and not ended and self.died < self.kept


def tested(evidence: Evidence) -> Tested:
    """The tests: the balance over all ages, and at each horizon whether old objects die.

    Of these the horizon with the least p counts; without any, the one with the clearest growth.  The horizon
    for the rate is chosen by the deaths alone.  They are independent of the two counts, so the choice does
    not bend the interval.
    """
    if not len(evidence.horizons) or not len(evidence.kept(float(evidence.horizons[0]))):
        return Tested()
    balance = _balance(evidence)
    born, until = evidence.born, evidence.until
    over = ended(born, until, dispersion(born, until) if len(born) >= LEAST_KEPT else 1.0)
    found: list[Tested] = []
    for at in range(len(evidence.horizons)):
        result, still = _at(evidence, at, balance)
        over = over or not still
        found.append(result._replace(p=1.0, ended=True) if over else result)
    best = min(found, key=lambda each: (each.p, _clear(each)))
    quiet = min(found, key=lambda each: (each.died + LEAST_KEPT) / (1.0 - each.horizon) ** 2)
    rate = {name: getattr(quiet, name) for name in ("rate", "counted", "since", "until")}
    result = best._replace(**rate, ended=found[0].ended)
    goes_on = quiet.since > 0 and result.p > LEVEL
    return _of_later_part(result, evidence, quiet.horizon) if goes_on else result


def _of_later_part(result: Tested, evidence: Evidence, horizon: float) -> Tested:
    """What grows on more slowly than at first, as a service that starts and then leaks: growth, no leak.

    A cache that fills looks the same, and comes to an end later.
    """
    kept = evidence.kept(horizon)
    length = _coming(evidence, kept, 1.0 - horizon) - result.since
    later = kept[int(np.searchsorted(kept, result.since)) :] - result.since
    spread = dispersion(later, length)
    filled = parts_filled(later, length)
    if ended(later, length, spread) or filled < LEAST_FILLED:
        return result
    went = (result.counted - len(later)) / spread
    came = int(len(later) / spread)
    p_growth = min(HALVINGS * at_least(came, came + ceil(went)), 1.0)
    return result._replace(p_growth=p_growth, filled=filled, ended=False)


class Balance(NamedTuple):
    """How well a steady population explains the numbers: `p`, `sure` without those that may have been freed
    unseen, and `least`: the least p that as many objects could have given.
    """

    p: float
    sure: float
    least: float


def _balance(evidence: Evidence) -> Balance:
    """The balance of kept and older frees by age, from the least horizon on."""
    first, ages = float(evidence.horizons[0]), _ages(evidence.horizons)
    kept, (since, _) = evidence.kept(first), evidence.gone(first)
    went = _in_lots(since, evidence.weight[len(evidence.weight) - len(since) :], 1.0 - first)
    went = went._replace(age=first + went.age)
    came = _kept_in_lots(kept, 1.0 - first)
    p = p_balanced(came, went, ages)
    if not evidence.doubtful:
        return Balance(p, p, least_p(came, went))
    sure = _kept_in_lots(kept[evidence.doubtful :], 1.0 - first)  # without the oldest, which count most
    return Balance(p, p_balanced(sure, went, ages), least_p(came, went))


def _kept_in_lots(kept: Times, length: float) -> Lots:
    """Kept objects by their age."""
    found = _in_lots(kept, np.ones(len(kept)), length)
    return found._replace(age=1.0 - found.age)


def _in_lots(times: Times, weight: Times, length: float) -> Lots:
    """Events at `times`, in the lots that count as one: when each begins, and its weight."""
    begin = lots(times, length)
    return Lots(times[begin], np.add.reduceat(weight, begin) if len(begin) else weight)


def _ages(horizons: Times) -> Times:
    """The ages that part the classes of the balance: the horizons and what follows, up to the whole time."""
    edges = horizons.tolist()
    while edges[-1] * FINER < 1.0:
        edges.append(edges[-1] * FINER)
    return np.array([*edges, 1.0])


def _at(evidence: Evidence, at: int, balance: Balance) -> tuple[Tested, bool]:
    """The tests at one horizon, and whether objects still come."""
    horizon = float(evidence.horizons[at])
    length, kept = 1.0 - horizon, evidence.kept(horizon)
    _, gone = evidence.gone(horizon)
    spread = _spread(evidence, horizon)
    sure = max(len(kept) - evidence.doubtful, 0)
    result = Tested(
        p=1.0,
        p_growth=balance.p,
        least_p=balance.least,
        horizon=horizon,
        kept=len(kept),
        sure=sure,
        older=gone,
        died=int(evidence.died[at]),
        dispersion=spread,
        filled=parts_filled(kept, _coming(evidence, kept, length)),
    )
    result = _with_rate(result, evidence)
    still = not ended(kept, _coming(evidence, kept, length), spread)
    if sure < LEAST_KEPT or balance.p > LEVEL or not result.steady:
        return result, still
    beyond = Beyond(result.died, float(evidence.beyond[at]), length - kept)
    slow = beyond.p_all_die(SLOW_DEATH_RATE) <= SLOW_LEVEL
    p_die = min(len(evidence.horizons) * beyond.p_all_die(LEAST_DEATH_RATE), 1.0)
    return result._replace(p=max(balance.sure, p_die) if slow else 1.0), still


def _with_rate(result: Tested, evidence: Evidence) -> Tested:
    """The rate of the whole time, or where more came at first, as when a service starts, of the later part.

    For that no object of the recording may have been freed as an old one: it is not known when that one came.
    """
    horizon = result.horizon
    kept, length, spread = evidence.kept(horizon), 1.0 - horizon, result.dispersion
    since = _faster_until(kept, _coming(evidence, kept, length), spread) if not result.died else 0.0
    later = kept[int(np.searchsorted(kept, since)) :]
    if since and len(later) >= LEAST_KEPT:
        _, gone = evidence.gone(since + horizon)
        spread = dispersion(later - since, length - since)
        coming = _coming(evidence, later, length) - since
        rate = of_difference(len(later), gone, spread, coming)
        return result._replace(rate=rate, counted=len(later) + gone, since=since, until=since + coming)
    coming = _coming(evidence, kept, length)
    rate = of_difference(len(kept), result.older, spread, coming)
    return result._replace(rate=rate, counted=len(kept) + result.older, until=coming)


def _faster_until(kept: Times, length: float, spread: float) -> float:
    """Until when certainly more objects came than later: 0, or a half or three quarters of the time."""
    until = 0.0
    for _ in range(HALVINGS):
        begin, middle = np.searchsorted(kept, [until, (until + length) / 2]).tolist()
        early, both = int((middle - begin) / spread), int((len(kept) - begin) / spread)
        if at_least(early, both) > FASTER_LEVEL:
            break
        until = (until + length) / 2
    return until


def _clear(result: Tested) -> float:
    """How well as many kept as older objects explain the numbers at the result's horizon alone."""
    came, went = int(result.kept / result.dispersion), ceil(result.older / result.dispersion)
    return at_least(came, came + went)


def _coming(evidence: Evidence, kept: Times, length: float) -> float:
    """How long objects can have come: until the end that is known of them, if none came later."""
    until = evidence.until
    return until if len(kept) and float(kept[-1]) <= until < length else length


def _spread(evidence: Evidence, horizon: float) -> float:
    """The dispersion of kept and older frees: the larger one.

    Of frees that may be of several groups only a share counts, of their clumps as well.
    """
    kept, (when_gone, gone), length = evidence.kept(horizon), evidence.gone(horizon), 1.0 - horizon
    if len(kept) + len(when_gone) < LEAST_KEPT:
        return 1.0
    share = gone / max(len(when_gone), 1)
    return max(dispersion(kept, length), 1.0 + (dispersion(when_gone, length) - 1.0) * share)
