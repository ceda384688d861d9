# SPDX-License-Identifier: Apache-2.0
"""One group of objects: when they come, how long they live, and when older ones go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.float64]
Stretch: TypeAlias = Callable[[float, float], float]
FOREVER = 99.0  # a lifetime: longer than any recording


def nothing(begin: float, end: float) -> float:
    """No object came once."""
    return 0.0


@dataclass
class Population:
    """`came`, `lives`: of the objects allocated in [0, 1), shape (n,), ascending; `older`: when objects from
    before 0 are freed, shape (m,).  `leaks`: how many of the objects a recording really leak, on average.
    `once(begin, end)`: how many others came then, on average, and stay.
    """

    came: Times
    lives: Times
    older: Times
    leaks: float = 0.0
    once: Stretch = nothing

    def stay(self, begin: float, end: float) -> float:
        """How many objects a recording stay, on average, of those that came in [begin, end]."""
        return self.leaks + self.once(begin, end) / (end - begin)

    def beside(self, other: Population) -> Population:
        """Both in one group."""
        came = np.concatenate([self.came, other.came])
        order = np.argsort(came)
        lives = np.concatenate([self.lives, other.lives])[order]
        older = np.concatenate([self.older, other.older])
        return Population(
            came[order],
            lives,
            older,
            self.leaks + other.leaks,
            lambda begin, end: self.once(begin, end) + other.once(begin, end),
        )


def of(came: Times, lives: Times, older: Times | None = None, leaks: float = 0.0) -> Population:
    """A population of objects in any order; what comes outside of the recording is left out."""
    inside = (came >= 0) & (came < 1)
    order = np.argsort(came[inside])
    return Population(
        came[inside][order], lives[inside][order], np.empty(0) if older is None else older, leaks
    )


def kept(came: Times, leaks: float = 0.0, once: Stretch | None = None) -> Population:
    """Objects that are never freed; `once`: see Population."""
    population = of(came, np.full(len(came), FOREVER), None, leaks)
    return population if once is None else replace(population, once=once)


def stationary(rng: np.random.Generator, rate: float, lives: object, history: float = 64.0) -> Population:
    """Objects that have come at random times, at this rate, for so long before the recording.

    `lives(n)`: n lifetimes.  Older ones are sampled by age, finer for young ones, so that short lives cost
    nothing.
    """
    draw = lives if callable(lives) else (lambda n: np.full(n, lives))
    came = rng.random(rng.poisson(rate))
    gone = []
    ages = np.concatenate([[0.0], np.geomspace(1e-3, history, 40)])
    for young, old in pairwise(ages):
        number = int(rng.poisson(rate * (old - young)))
        age = rng.uniform(young, old, number)
        left = draw(number) - age
        gone.append(left[left > 0])
    return of(came, draw(len(came)), np.concatenate(gone))
