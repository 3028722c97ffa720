"""What an indicator is: a question to a run whose answer a budget can be held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from analysis.estimate import Estimate, mean, quantile, ratio
from analysis.fault_story import FaultStory
from analysis.run import Run
from analysis.verdict import Evidence
from analysis.windows import Window


class Source(StrEnum):
    """Data that indicators rest on. A check that does not pass can taint a source: no budget may rest on it then."""

    SAMPLES = "samples"
    LOAD = "load"
    """That the offered load was what the plan asked for."""
    BLOCKS = "blocks"
    TRANSACTIONS = "transactions"
    PROBES = "probes"
    RESOURCES = "resources"
    FAULTS = "faults"
    """That the faults took effect, so that what was measured is what the plan is about."""


def steady(scene: Scene) -> Window:
    """Return the window without the load's warm-up: a ramp, and the wait for the first block."""
    load = scene.run.manifest.phase("load")
    if load is None:
        return scene.window
    return scene.window.without([(load.start_at_s, load.start_at_s + scene.run.manifest.warm_up_s)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Values of single events, infinite for one that never ended; `evidence` names the worst of them."""

    values: npt.NDArray[np.float64]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many events of how many had the property that the budget is about."""

    having: int
    total: int
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One figure with the interval that the instrument leaves open."""

    estimate: Estimate
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No observation, and why."""

    why: str


Observation = Distribution | Counts | Measurement | Nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an indicator looks at: the run, the window that counts, and what became of the faults."""

    run: Run
    window: Window
    faults: tuple[FaultStory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """A named question."""

    name: str
    title: str
    sources: frozenset[Source]
    observe: Callable[[Scene], Observation]


class WrongStatistic(Exception):
    """A budget asks for a statistic that the indicator does not have."""


_PROBABILITIES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def estimate(observation: Distribution | Counts | Measurement, statistic: str) -> Estimate:
    """Return the statistic of an observation. Raises WrongStatistic, and ValueError for an empty observation."""
    match observation:
        case Distribution(values=values):
            if statistic in _PROBABILITIES:
                return quantile(values, _PROBABILITIES[statistic])
            if statistic == "mean":
                return mean(values)
            if statistic == "max" and len(values):
                highest = float(np.max(values))
                return Estimate(value=highest, low=highest, high=highest, count=len(values), method="highest seen")
        case Counts(having=having, total=total):
            if statistic == "ratio":
                return ratio(having, total)
        case Measurement(estimate=found):
            if statistic == "value":
                return found
    kind = type(observation).__name__.lower()
    raise WrongStatistic(f"the statistic {statistic!r} is not one of a {kind}")
