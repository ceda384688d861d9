# SPDX-License-Identifier: Apache-2.0
"""Flat loads and leaks, each a function of a random generator.

Parameters are drawn anew for each group, over wide ranges: LOW to HIGH objects, lifetimes from a 64th of the
recording to four times its length.  A recording lasts 64 s, so a rate of one a second is 64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.verdict.simulated.population import Population, Times, kept, of, stationary

Random = np.random.Generator
Scenario = Callable[[Random], Population]
SECONDS = 64
LOW, HIGH = 5, 300


def between(rng: Random, low: float, high: float) -> float:
    """A number between the two, evenly by its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def exponential(rng: Random, live: float | None = None, mean: float | None = None) -> Population:
    """Lifetimes without memory."""
    live, mean = live or between(rng, LOW, HIGH), mean or between(rng, 1 / 64, 4)
    gone = rng.exponential(mean, rng.poisson(live))
    came = rng.random(rng.poisson(live / mean))
    return of(came, rng.exponential(mean, len(came)), gone)


def fixed(rng: Random) -> Population:
    """All live equally long, as TIME_WAIT sockets do."""
    live, mean = between(rng, LOW, HIGH), between(rng, 1 / 64, 4)
    came = rng.random(rng.poisson(live / mean))
    return of(came, np.full(len(came), mean), rng.random(rng.poisson(live)) * mean)


def lognormal(
    rng: Random, rate: float | None = None, median: float | None = None, sigma: float | None = None
) -> Population:
    """Most are short, some are very long."""
    sigma, median = sigma or rng.uniform(0.5, 3.0), median or between(rng, 1e-4, 0.5)
    rate = rate or min(between(rng, LOW, HIGH) / (median * np.exp(sigma**2 / 2)), 5000.0)
    return stationary(rng, rate, lambda n: np.exp(np.log(median) + sigma * rng.standard_normal(n)))


def ring(rng: Random) -> Population:
    """The oldest is replaced at even intervals, more or less."""
    live, mean, jitter = int(between(rng, 10, 400)), between(rng, 0.05, 4), rng.uniform(0, 0.3)
    every = mean / live
    came = np.arange(rng.random() * every, 1, every)
    gone = np.arange(rng.random() * every, min(mean, 1.0), every)

    def moved(times: Times) -> Times:
        return np.clip(times + rng.normal(0, jitter * every, len(times)), 0, 1 - 1e-9)

    return of(moved(came), np.full(len(came), mean), moved(gone))


def pool(rng: Random) -> Population:
    """Taken and given back in lots of equal size."""
    lot, live, mean = int(rng.integers(4, 40)), int(rng.integers(5, 200)), between(rng, 1 / 32, 2)
    lots = max(live / lot, 1.0)
    when = rng.random(rng.poisson(lots / mean))
    lives = np.repeat(rng.exponential(mean, len(when)), lot)
    gone = np.repeat(rng.exponential(mean, rng.poisson(lots)), lot)
    return of(np.repeat(when, lot) + rng.uniform(0, 1e-4, lot * len(when)), lives, gone)


def processes(rng: Random) -> Population:
    """Each start leaves some objects, over some time, until the process ends."""
    mean, live, size = between(rng, 1 / 16, 4), between(rng, 3, 60), rng.uniform(1.2, 15)
    when = rng.random(rng.poisson(live / mean))
    sizes, older = rng.geometric(1 / size, len(when)), rng.geometric(1 / size, rng.poisson(live))
    came = np.repeat(when, sizes) + rng.uniform(0, 3e-3, int(sizes.sum())) * rng.random()
    lives = np.repeat(rng.exponential(mean, len(when)), sizes)
    return of(came, lives, np.repeat(rng.exponential(mean, len(older)), older))


def bursts(rng: Random) -> Population:
    """Up to five bursts, kept."""
    widths = [rng.choice([1e-4, 1e-2]) for _ in range(rng.integers(1, 6))]
    came = np.concatenate([rng.random() + rng.uniform(0, w, rng.integers(10, 500)) for w in widths])
    return kept(came, once=lambda begin, end: float(((came >= begin) & (came < end)).sum()))


def warm_up(rng: Random) -> Population:
    """Objects come evenly, and are kept, until 30 to 90 % of the recording are over."""
    number, end = int(between(rng, 60, 800)), rng.uniform(0.3, 0.9)
    came = rng.random(number) * end if rng.random() < 0.7 else np.linspace(0, end, number)
    return kept(came, once=lambda begin, until: number * max(min(until, end) - begin, 0.0) / end)


def settling(rng: Random) -> Population:
    """Fewer and fewer come, and are kept."""
    mean, number = rng.uniform(0.05, 0.25), int(between(rng, 60, 800))
    return kept(
        rng.exponential(mean, number),
        once=lambda begin, end: float(number * (np.exp(-begin / mean) - np.exp(-end / mean))),
    )


def _at_rate(
    rng: Random, rate: Callable[[Times], Times], most: float, live: float, mean: float
) -> Population:
    """Exponential lifetimes; objects come at `rate` (by the mean, at most `most`) of the time."""
    before = 8 * mean
    when = rng.uniform(-before, 1, rng.poisson(live / mean * most * (1 + before)))
    when = when[rng.random(len(when)) * most < rate(when)]
    lives = rng.exponential(mean, len(when))
    gone = (when + lives)[when < 0]
    return of(when, lives, gone[gone > 0])


def periodic(rng: Random) -> Population:
    """The load rises and falls."""
    period, swing, phase = between(rng, 1 / 8, 2), rng.uniform(0.2, 0.9), rng.random() * 2 * np.pi
    live, mean = between(rng, LOW, HIGH), between(rng, 1 / 64, 1 / 4)
    return _at_rate(rng, lambda t: 1 + swing * np.sin(2 * np.pi * t / period + phase), 1 + swing, live, mean)


def ramp(rng: Random) -> Population:
    """The load rises all along, by a fifth up to twice what it was."""
    rise, live, mean = rng.uniform(0.2, 1.0), between(rng, LOW, HIGH), between(rng, 1 / 64, 1 / 2)
    return _at_rate(rng, lambda t: np.maximum(1 + rise * t, 0.05), 1 + rise, live, mean)


def collected(rng: Random) -> Population:
    """Freed all at once, now and then, as by a garbage collector."""
    period, rate = rng.uniform(1 / 8, 1 / 2), between(rng, 20, 500)
    first = rng.random() * period
    came = rng.random(rng.poisson(rate))
    end = np.ceil((came - first) / period) * period + first
    return of(came, end - came + 1e-6, np.full(rng.poisson(rate * (period - first)), first))


FLAT: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        exponential, fixed, lognormal, ring, pool, processes, bursts, warm_up, settling, periodic, ramp,
        collected,
    )
}  # fmt: skip


def leak(rng: Random, number: float, exactly: bool = False, lot: int = 1) -> Population:
    """`number` objects on average leak at random times, in lots."""
    lots = round(number / lot) if exactly else rng.poisson(number / lot)
    return kept(np.repeat(rng.random(lots), lot), leaks=number)


def _beside(flat: Scenario, number: float = SECONDS) -> Scenario:
    return lambda rng: leak(rng, number).beside(flat(rng))


def _siblings(share: float) -> Scenario:
    return _beside(lambda rng: exponential(rng, 100, 1 / share))


def _rare(rate: float) -> Scenario:
    """One in a hundred of a lognormal population leaks (median 10 ms of 64 s, sigma 3)."""
    return lambda rng: leak(rng, rate / 100).beside(lognormal(rng, rate, 1 / (100 * SECONDS), 3.0))


LEAKS: dict[str, Scenario] = {
    "24 objects, nothing else": lambda rng: leak(rng, 24, exactly=True),
    "0.5 a second, nothing else": lambda rng: leak(rng, 32),
    "10 a second, nothing else": lambda rng: leak(rng, 640),
    "30 lots of 5": lambda rng: leak(rng, 150, lot=5),
    "1/s, 100 siblings live T/32": _siblings(32),
    "1/s, 100 siblings live T/16": _siblings(16),
    "1/s, 100 siblings live T/8": _siblings(8),
    "1/s, 100 siblings live T/4": _siblings(4),
    "1 % of lognormal, 100/s": _rare(100 * SECONDS),
    "1 % of lognormal, 300/s": _rare(300 * SECONDS),
    **{f"1/s beside {name}": _beside(flat) for name, flat in FLAT.items()},
}
