"""How long recovery took, from the undo of a fault to the target working again: the slowest fault of a kind counts."""

from __future__ import annotations

from collections.abc import Callable

from analysis.estimate import measured
from analysis.fault_story import FaultStory, Measured
from analysis.indicator import Indicator, Measurement, Nothing, Observation, Scene, Source
from analysis.verdict import Evidence

_PROCESS = ("process.kill", "process.pause")


def _is_on_provider(scene: Scene, fault: FaultStory) -> bool:
    return any(target in scene.run.manifest.target.provider_names for target in fault.targets)


def _slowest(scene: Scene, chosen: list[FaultStory], duration: Callable[[FaultStory], Measured | None]) -> Observation:
    found = [measured_time for fault in chosen if (measured_time := duration(fault)) is not None]
    if not found:
        return Nothing(why="no fault of this kind was applied and undone")
    worst = max(found, key=lambda each: (each.high_s, each.low_s))
    estimate = measured(worst.value_s, worst.low_s, worst.high_s, len(found), "between two looks")
    return Measurement(estimate=estimate, evidence=(Evidence(file=scene.run.layout.fault_journal.name),))


def _nodes(scene: Scene) -> Observation:
    chosen = [fault for fault in scene.faults if fault.fault in _PROCESS and not _is_on_provider(scene, fault)]
    return _slowest(scene, chosen, lambda fault: fault.target_recovery)


def _providers(scene: Scene) -> Observation:
    chosen = [fault for fault in scene.faults if fault.fault in _PROCESS and _is_on_provider(scene, fault)]
    return _slowest(scene, chosen, lambda fault: fault.target_recovery)


def _partitions(scene: Scene) -> Observation:
    chosen = [fault for fault in scene.faults if fault.fault == "network.partition"]
    return _slowest(scene, chosen, lambda fault: fault.target_recovery)


def _chain(scene: Scene) -> Observation:
    return _slowest(scene, list(scene.faults), lambda fault: fault.chain_recovery)


_SOURCES = frozenset({Source.PROBES, Source.BLOCKS, Source.FAULTS})
INDICATORS = (
    Indicator(name="recovery.node", title="undo to node on a par again", sources=_SOURCES, observe=_nodes),
    Indicator(name="recovery.provider", title="undo to provider healthy", sources=_SOURCES, observe=_providers),
    Indicator(name="recovery.partition", title="undo to node on a par again", sources=_SOURCES, observe=_partitions),
    Indicator(name="recovery.chain", title="undo to the next block", sources=_SOURCES, observe=_chain),
)
