"""Memory and CPU of the target's processes, where they run on the machine that watched them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from analysis.estimate import Estimate, growth, measured
from analysis.indicator import Distribution, Indicator, Measurement, Nothing, Observation, Scene, Source, steady

_BYTES_PER_GB = 1e9


def _rows(scene: Scene, names: tuple[str, ...]) -> pd.DataFrame:
    resources = scene.run.resources
    return resources[resources["process"].isin(names) & scene.window.contains(resources["at_s"])]


def _memory(scene: Scene, names: tuple[str, ...]) -> Observation:
    """Return the resident memory of these processes, in GB."""
    rows = _rows(scene, names)
    if rows.empty:
        return Nothing(why="no process of this kind runs on this machine")
    return Distribution(values=rows["rss_bytes"].to_numpy(float) / _BYTES_PER_GB)


def _memory_growth(scene: Scene, names: tuple[str, ...]) -> Observation:
    """Return the growth of the process whose memory grew most over the steady load. A restart is no growth: it ends
    the series, and the longest stretch between two counts."""
    rows = _rows(replace(scene, window=steady(scene)), names)
    found: list[Estimate] = []
    for _, series in rows.groupby("process", sort=True):
        longest = max((part for _, part in series.groupby("pid", sort=True)), key=len)
        try:
            found.append(growth(longest["at_s"].to_numpy(float), longest["rss_bytes"].to_numpy(float)))
        except ValueError as error:
            return Nothing(why=str(error))
    if not found:
        return Nothing(why="no process of this kind runs on this machine")
    return Measurement(estimate=max(found, key=lambda estimate: estimate.value))


def _cpu(scene: Scene, names: tuple[str, ...]) -> Observation:
    """Return the cores that the busiest of these processes used on average; a restart begins a new count."""
    used: dict[str, list[tuple[float, float]]] = {}
    for (process, _), rows in _rows(scene, names).groupby(["process", "pid"], sort=True):
        seconds = float(rows["at_s"].max() - rows["at_s"].min())
        if seconds > 0:
            cpu_s = float(rows["cpu_s"].max() - rows["cpu_s"].min())
            used.setdefault(str(process), []).append((cpu_s, seconds))
    if not used:
        return Nothing(why="no process of this kind runs on this machine")
    cores = {process: sum(c for c, _ in parts) / sum(s for _, s in parts) for process, parts in used.items()}
    busiest = max(cores.values())
    return Measurement(estimate=measured(busiest, busiest, busiest, len(cores), "CPU time over wall time"))


def _indicator(
    name: str, title: str, observe: Callable[[Scene, tuple[str, ...]], Observation], *, of_nodes: bool
) -> Indicator:
    def look(scene: Scene) -> Observation:
        target = scene.run.manifest.target
        return observe(scene, target.node_names if of_nodes else target.provider_names)

    return Indicator(name=name, title=title, sources=frozenset({Source.RESOURCES}), observe=look)


INDICATORS = (
    _indicator("node.memory", "resident memory of a node", _memory, of_nodes=True),
    _indicator("node.memory_growth", "growth of a node's memory over the load", _memory_growth, of_nodes=True),
    _indicator("node.cpu", "cores used by a node", _cpu, of_nodes=True),
    _indicator("provider.memory", "resident memory of a provider", _memory, of_nodes=False),
    _indicator("provider.cpu", "cores used by a provider", _cpu, of_nodes=False),
)
