"""What a capacity search found: the rate with its interval, what gave way first, how far it is from what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.load_step import LoadStep, StepBudget
from analysis.rate_search import Answer, End, Outcome, RateEstimate, SearchRules

NEEDED_TIMES_CURRENT = 10
"""VirtEngine wants to bear ten times its current load."""
CAPACITY_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Strain:
    """One resource in one step, as a share of all there is: 1 is exhausted."""

    resource: str
    share: float
    told: str
    """The figures behind it, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveWay:
    """What broke at the lowest rate that gave way, and what was scarce there, scarcest first."""

    rate_per_s: float
    bundle: str
    budgets: tuple[StepBudget, ...]
    """Broken ones, the one used up most first."""
    why: str
    strains: tuple[Strain, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """The capacity held against ten times the current load. Ratios of capacity to need; infinite where it is open."""

    current_per_s: float
    needed_per_s: float
    ratio: float | None
    low_ratio: float
    high_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The result of a search."""

    target: str
    scenario: str
    step_s: float
    rules: SearchRules
    end: End
    estimate: RateEstimate
    gave_way: GaveWay | None
    headroom: Headroom | None
    steps: tuple[LoadStep, ...]
    capacity_version: int = CAPACITY_VERSION

    @property
    def is_found(self) -> bool:
        """Whether there is a rate with both ends of its interval, of a search that was not cut short."""
        return self.estimate.is_closed and self.end not in (End.STOPPED, End.NOTHING)


def conclude(
    rules: SearchRules,
    answer: Answer,
    steps: Iterable[LoadStep],
    *,
    target: str,
    scenario: str,
    step_s: float,
    current_per_s: float | None,
) -> Capacity:
    """Return what the steps and the strategy's answer say together. `current_per_s` is the load of today."""
    taken = tuple(steps)
    return Capacity(
        target=target,
        scenario=scenario,
        step_s=step_s,
        rules=rules,
        end=answer.end,
        estimate=answer.estimate,
        gave_way=_gave_way(taken),
        headroom=None if current_per_s is None else _headroom(answer.estimate, current_per_s),
        steps=taken,
    )


def _headroom(estimate: RateEstimate, current_per_s: float) -> Headroom:
    needed = NEEDED_TIMES_CURRENT * current_per_s
    return Headroom(
        current_per_s=current_per_s,
        needed_per_s=needed,
        ratio=None if estimate.value_per_s is None else estimate.value_per_s / needed,
        low_ratio=estimate.low_per_s / needed,
        high_ratio=estimate.high_per_s / needed,
    )


def _gave_way(steps: Sequence[LoadStep]) -> GaveWay | None:
    broken = [step for step in steps if step.outcome is Outcome.GAVE_WAY]
    if not broken:
        return None
    first = min(broken, key=lambda step: (step.rate_per_s, step.number))
    held = [step for step in steps if step.outcome is Outcome.HELD]
    quiet = min(held, key=lambda step: (step.rate_per_s, step.number), default=None)
    budgets = sorted((b for b in first.budgets if b.is_broken), key=lambda b: (-(b.used_ratio or 0.0), b.id))
    return GaveWay(
        rate_per_s=first.rate_per_s,
        bundle=first.bundle,
        budgets=tuple(budgets),
        why=first.why,
        strains=tuple(sorted(_strains(first, quiet), key=lambda strain: (-strain.share, strain.resource))),
    )


def _strains(step: LoadStep, quiet: LoadStep | None) -> Iterable[Strain]:
    """Yield how scarce each resource was that was watched. The block interval is held against that of a quiet step."""
    found = step.pressure
    if found.target_cores is not None and found.machine_cores:
        generator = found.generator_cores or 0.0
        told = f"{found.target_cores:.2f} cores for the target and {generator:.2f} for the generator"
        if found.busiest_process is not None:
            told += f", {found.busiest_cores:.2f} for {found.busiest_process} alone"
        queued = "" if found.machine_load is None else f"; load average {found.machine_load:.1f} when it began"
        share = (found.target_cores + generator) / found.machine_cores
        yield Strain(resource="CPU", share=share, told=f"{told}, of {found.machine_cores}{queued}")
    if found.memory_ratio is not None:
        yield Strain(resource="memory", share=found.memory_ratio, told=f"{found.memory_ratio:.0%} of the machine's")
    if found.mempool_growth_per_s is not None and step.offered_per_s > 0:
        told = f"grew by {found.mempool_growth_per_s:.1f} transactions a second"
        share = min(1.0, found.mempool_growth_per_s / step.offered_per_s)
        yield Strain(resource="mempool", share=share, told=told)
    before = quiet.pressure.block_interval_s if quiet is not None else None
    if found.block_interval_s is not None and before:
        told = f"{found.block_interval_s:.2f} s, {before:.2f} s at {quiet.rate_per_s:g}/s" if quiet is not None else ""
        yield Strain(resource="block interval", share=max(0.0, 1 - before / found.block_interval_s), told=told)
