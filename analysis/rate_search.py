"""Which rate to try next, and how high a rate the target bears: the strategy of a capacity search.

Pure: the steps so far go in, the next rate or the answer comes out. The same seed and the same outcomes give the same
rates. What a step is and how it is judged is not known here.

A step's outcome is noisy: at a rate near the limit one run holds and the next does not. So the limit is not the highest
rate that held but the rate at which half of the steps hold, of a log-logistic curve as in dose-response work:

    P(a step at rate x holds) = λ + (1 − 2λ) / (1 + exp(−(ln c − ln x) / s))

with the capacity c, the scatter s (how far apart, as a ratio, rates are that mostly hold and mostly do not), and a
share λ of steps whose outcome has nothing to do with the rate. c and s are both unknown and both estimated, by Bayes'
rule on a grid: Kontsevich & Tyler 1999 ("Bayesian adaptive estimation of psychometric slope and threshold"), Watson &
Pelli 1983 (QUEST). Prior: ln c uniform between half the lowest and four times the highest rate, ln s uniform from 1 %
to 15 %. The interval is that of the posterior of c with s integrated out, equal tails.

First the rate doubles until a step gives way (or halves until one holds). Then each rate is drawn from the middle half
of the posterior of c (Thompson 1933): the steps close in geometrically, and spread as far as the limit is uncertain,
which is what tells how much they scatter. Steps are taken as independent: a machine that is slower for some minutes
than for the next moves the limit itself, and no single search can see that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
LAPSE = 0.02
LEAST_OF_EACH = 4
"""Steps that must have held, and that must have given way, before a narrow interval is believed."""
UNTOLD_LIMIT = 3
"""Steps in a row that told nothing of the target that end the search: one may be a hiccup of the machine."""
_TAIL = (1 - CONFIDENCE) / 2
_SCATTERS = np.geomspace(0.01, 0.15, 10)
_GRID_RATIO = 1.01


class Outcome(StrEnum):
    """What one step says about its rate."""

    HELD = "held"
    GAVE_WAY = "gave way"
    """The target did not meet the budgets."""
    GENERATOR = "generator"
    """The load was not offered as it should have been: nothing is known about the target."""
    NOTHING = "nothing"
    """The step says nothing for another reason: it did not come to its end, or was not watched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One step, as the strategy sees it."""

    rate_per_s: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRules:
    """What fixes a search: with the outcomes, all its rates follow from it. Raises ValueError."""

    seed: int
    start_rate_per_s: float = 50.0
    """About the rate of the first step: the seed moves it by up to √2, so that searches do not share their rates."""
    min_rate_per_s: float = 1.0
    max_rate_per_s: float = 2000.0
    max_steps: int = 20
    narrow_to: float = 1.2
    """The search ends when the upper end of the interval is at most so many times the lower one."""

    def __post_init__(self) -> None:
        if not 0 < self.min_rate_per_s <= self.start_rate_per_s <= self.max_rate_per_s < math.inf:
            rates = f"{self.min_rate_per_s:g}, {self.start_rate_per_s:g}, {self.max_rate_per_s:g}"
            raise ValueError(f"lowest, first and highest rate are {rates}; expected them in this order, above 0")
        if self.max_steps < 1:
            raise ValueError(f"max_steps is {self.max_steps}; expected 1 or more")
        if self.narrow_to <= 1:
            raise ValueError(f"narrow_to is {self.narrow_to:g}; expected more than 1")


class End(StrEnum):
    """Why a search ended."""

    NARROW = "narrow"
    """The interval is as narrow as asked for."""
    STEPS_USED = "steps used"
    MAX_RATE = "highest rate"
    """The highest rate that may be tried still holds."""
    MIN_RATE = "lowest rate"
    """The lowest rate that may be tried gives way."""
    GENERATOR = "generator"
    NOTHING = "nothing"
    """Steps told nothing, again and again."""
    STOPPED = "stopped"
    """From outside, by a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateEstimate:
    """The rate at which half of the steps hold, a second, with its interval of 95 %.

    An end that the steps leave open is 0 or infinite; `value` is None where an end is open.
    """

    value_per_s: float | None
    low_per_s: float
    high_per_s: float
    scatter_ratio: float
    """Posterior median of s: 0.05 says that steps scatter by about 5 % of the rate."""
    steps: int
    """Steps that it rests on: those that held or gave way."""

    @property
    def is_closed(self) -> bool:
        return self.value_per_s is not None

    @property
    def spread(self) -> float:
        """Return upper end over lower end."""
        return self.high_per_s / self.low_per_s if self.low_per_s > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Try this rate."""

    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The search is over."""

    end: End
    estimate: RateEstimate


def decide(rules: SearchRules, trials: Sequence[Trial]) -> Next | Answer:
    """Return the next rate to try, or the answer when there is no need or no leave for another step."""
    belief = _Belief(rules, trials)
    end = _end(rules, trials, belief.estimate())
    return Answer(end=end, estimate=belief.estimate()) if end else Next(rate_per_s=_next_rate(rules, trials, belief))


def answer_now(rules: SearchRules, trials: Sequence[Trial], end: End) -> Answer:
    """Return what is known after these steps, whatever ended the search."""
    return Answer(end=end, estimate=_Belief(rules, trials).estimate())


def _end(rules: SearchRules, trials: Sequence[Trial], estimate: RateEstimate) -> End | None:
    """Return why the search is over, None when it is not."""
    outcomes = [trial.outcome for trial in trials]
    held, gave_way = outcomes.count(Outcome.HELD), outcomes.count(Outcome.GAVE_WAY)
    untold = [outcome for outcome in outcomes[-UNTOLD_LIMIT:] if outcome in (Outcome.GENERATOR, Outcome.NOTHING)]
    if len(untold) == UNTOLD_LIMIT:
        return End.GENERATOR if Outcome.GENERATOR in untold else End.NOTHING
    if min(held, gave_way) >= LEAST_OF_EACH and estimate.is_closed and estimate.spread <= rules.narrow_to:
        return End.NARROW
    if _count(trials, Outcome.HELD, rules.max_rate_per_s) >= LEAST_OF_EACH and not gave_way:
        return End.MAX_RATE
    if _count(trials, Outcome.GAVE_WAY, rules.min_rate_per_s) >= LEAST_OF_EACH and not held:
        return End.MIN_RATE
    return End.STEPS_USED if len(trials) >= rules.max_steps else None


def _count(trials: Sequence[Trial], outcome: Outcome, rate_per_s: float) -> int:
    return sum(trial.outcome is outcome and trial.rate_per_s == rate_per_s for trial in trials)


def _next_rate(rules: SearchRules, trials: Sequence[Trial], belief: _Belief) -> float:
    draw = np.random.default_rng([rules.seed, len(trials)])
    held = [trial.rate_per_s for trial in trials if trial.outcome is Outcome.HELD]
    gave_way = [trial.rate_per_s for trial in trials if trial.outcome is Outcome.GAVE_WAY]
    first = rules.start_rate_per_s * 2 ** float(np.random.default_rng([rules.seed]).uniform(-0.5, 0.5))
    if not held and not gave_way:
        rate = first
    elif not gave_way:
        rate = 2 * max(held)
    elif not held:
        rate = min(gave_way) / 2
    else:
        rate = belief.quantile(float(draw.uniform(0.25, 0.75)))
    return max(rules.min_rate_per_s, min(_readable(rate), rules.max_rate_per_s))


def _readable(rate_per_s: float) -> float:
    """Return a rate with three significant digits: a step is a plan that people read."""
    return float(f"{rate_per_s:.3g}")


class _Belief:
    """The posterior of capacity and scatter after some steps."""

    def __init__(self, rules: SearchRules, trials: Sequence[Trial]) -> None:
        lowest, highest = rules.min_rate_per_s / 2, rules.max_rate_per_s * 4
        count = math.ceil(math.log(highest / lowest) / math.log(_GRID_RATIO)) + 1
        self._rules = rules
        self._grid = _grid(lowest, highest, count)
        self._told = [trial for trial in trials if trial.outcome in (Outcome.HELD, Outcome.GAVE_WAY)]
        logs = np.zeros((len(_SCATTERS), count))
        for trial in self._told:
            logs += _likelihoods(lowest, highest, count, trial)
        weights = np.exp(logs - logs.max())
        self._weights = weights / weights.sum()

    def quantile(self, probability: float) -> float:
        """Return the rate below which the capacity lies with this probability."""
        cumulative = np.cumsum(self._weights.sum(axis=0))
        place = int(np.searchsorted(cumulative, probability * cumulative[-1]))
        return math.exp(self._grid[min(place, len(self._grid) - 1)])

    def estimate(self) -> RateEstimate:
        """Return the capacity; an end beyond what may be tried is open."""
        low, high = self.quantile(_TAIL), self.quantile(1 - _TAIL)
        is_low_open = not self._rates(Outcome.HELD) or low < self._rules.min_rate_per_s
        is_high_open = not self._rates(Outcome.GAVE_WAY) or high > self._rules.max_rate_per_s
        scatter = np.cumsum(self._weights.sum(axis=1))
        # Where one end is open the other rests on the prior alone beyond what was tried: it is not said there.
        if is_high_open:
            low = min(low, max(self._rates(Outcome.HELD), default=low))
        if is_low_open:
            high = max(high, min(self._rates(Outcome.GAVE_WAY), default=high))
        return RateEstimate(
            value_per_s=None if is_low_open or is_high_open else self.quantile(0.5),
            low_per_s=0.0 if is_low_open else low,
            high_per_s=math.inf if is_high_open else high,
            scatter_ratio=float(_SCATTERS[int(np.searchsorted(scatter, 0.5 * scatter[-1]))]),
            steps=len(self._told),
        )

    def _rates(self, outcome: Outcome) -> list[float]:
        return [trial.rate_per_s for trial in self._told if trial.outcome is outcome]


def _grid(lowest: float, highest: float, count: int) -> npt.NDArray[np.float64]:
    """Return the logarithms of the capacities that are thought possible."""
    return np.linspace(math.log(lowest), math.log(highest), count)


@lru_cache(maxsize=256)
def _likelihoods(lowest: float, highest: float, count: int, trial: Trial) -> npt.NDArray[np.float64]:
    """Return ln P(the trial's outcome), one row a scatter and one column a capacity. Kept: every step asks again."""
    distance = (_grid(lowest, highest, count)[None, :] - math.log(trial.rate_per_s)) / _SCATTERS[:, None]
    # (1 + tanh(x/2))/2 is the logistic function without its overflow.
    holds = LAPSE + (1 - 2 * LAPSE) * (1 + np.tanh(distance / 2)) / 2
    return np.asarray(np.log(holds if trial.outcome is Outcome.HELD else 1 - holds), dtype=np.float64)
