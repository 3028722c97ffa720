"""A target with a known capacity, whose steps hold or give way by chance as real ones do."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from analysis.rate_search import Answer, Next, Outcome, SearchRules, Trial, decide

Step = Callable[[float], Outcome]


def noisy(capacity_per_s: float, scatter: float, seed: int, *, lapse: float = 0.0) -> Step:
    """Return a target of which half of the steps hold at its capacity, by the logistic curve of `scatter`."""
    draw = np.random.default_rng([17, seed])

    def step(rate_per_s: float) -> Outcome:
        holds = 1 / (1 + math.exp(-math.log(capacity_per_s / rate_per_s) / scatter))
        holds = lapse + (1 - 2 * lapse) * holds
        return Outcome.HELD if draw.random() < holds else Outcome.GAVE_WAY

    return step


def sharp(capacity_per_s: float) -> Step:
    """Return a target that holds up to its capacity, and never beyond."""
    return lambda rate_per_s: Outcome.HELD if rate_per_s <= capacity_per_s else Outcome.GAVE_WAY


def search(rules: SearchRules, step: Step) -> tuple[Answer, list[Trial]]:
    """Return the answer of a whole search, and its steps."""
    trials: list[Trial] = []
    while isinstance(decision := decide(rules, trials), Next):
        trials.append(Trial(rate_per_s=decision.rate_per_s, outcome=step(decision.rate_per_s)))
    return decision, trials


def rates(trials: list[Trial]) -> list[float]:
    return [trial.rate_per_s for trial in trials]
