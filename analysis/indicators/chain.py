"""How the chain goes: time from block to block, and the longest time without one."""

from __future__ import annotations

import numpy as np

from analysis.estimate import measured
from analysis.fault_story import block_times, longest_block_gap
from analysis.indicator import Distribution, Indicator, Measurement, Nothing, Observation, Scene, Source
from analysis.verdict import Evidence
from bundle import BLOCKS

_WORST_SHOWN = 3


def intervals(scene: Scene) -> Observation:
    """Return the milliseconds between the header times of consecutive heights, both in the window."""
    times = block_times(scene.run)
    times = times[scene.window.contains(times["at_s"])]
    following = times["height"].diff() == 1
    values = (times["at_s"].diff()[following] * 1000).to_numpy(float)
    if len(values) == 0:
        return Nothing(why="no two consecutive blocks lie in the window")
    rows = times.loc[following, "row"].to_numpy()
    worst = np.argsort(-values, kind="stable")[:_WORST_SHOWN]
    evidence = tuple(Evidence(file=scene.run.file_of(BLOCKS), row=int(rows[place])) for place in worst)
    return Distribution(values=values, evidence=evidence)


def longest_gap(scene: Scene) -> Observation:
    """Return the longest time without a new block, in seconds; the observers look every probe period."""
    if scene.window.is_empty:
        return Nothing(why="the run did not come so far")
    gap = longest_block_gap(scene.run, scene.window)
    if gap is None:
        return Nothing(why="no block was observed")
    period = scene.run.manifest.probe_period_s
    count = int(scene.run.blocks["height"].nunique())
    return Measurement(estimate=measured(gap, max(0.0, gap - period), gap + period, count, "one look before and after"))


_SOURCES = frozenset({Source.BLOCKS})
INDICATORS = (
    Indicator(name="block.interval", title="time from block to block", sources=_SOURCES, observe=intervals),
    Indicator(name="chain.longest_gap", title="longest time without a block", sources=_SOURCES, observe=longest_gap),
)
