"""Ask one indicator about a synthetic run."""

from __future__ import annotations

from pathlib import Path

from analysis.budget import WindowName
from analysis.fault_story import tell_faults
from analysis.indicator import Counts, Distribution, Measurement, Nothing, Observation, Scene
from analysis.indicators import INDICATORS
from analysis.judge import window_of
from analysis.run import Run
from tests.bundles import SyntheticRun


def scene_of(run: Run, window: WindowName = WindowName.LOAD) -> Scene:
    faults = tuple(tell_faults(run))
    return Scene(run=run, window=window_of(run.manifest, window, faults), faults=faults)


def observe(run: SyntheticRun, folder: Path, indicator: str, window: WindowName = WindowName.LOAD) -> Observation:
    return INDICATORS[indicator].observe(scene_of(run.open(folder), window))


def values(observation: Observation) -> list[float]:
    assert isinstance(observation, Distribution), observation
    return [float(value) for value in observation.values]


def counts(observation: Observation) -> tuple[int, int]:
    assert isinstance(observation, Counts), observation
    return observation.having, observation.total


def figures(observation: Observation) -> tuple[float, float, float]:
    """Return (value, low, high)."""
    assert isinstance(observation, Measurement), observation
    return observation.estimate.value, observation.estimate.low, observation.estimate.high


def evidence(observation: Observation) -> list[tuple[str, int | None]]:
    assert not isinstance(observation, Nothing), observation
    return [(item.file, item.row) for item in observation.evidence]


def is_nothing(observation: Observation) -> bool:
    return isinstance(observation, Nothing)
