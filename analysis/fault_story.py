"""What became of each fault, told from two sides: the journal says what was done, the observers what happened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from analysis.run import Run
from analysis.windows import Window
from bundle import FaultEvent, FaultEventKind

_ON_A_PAR = 1
"""Blocks that a recovered node may be behind the highest: nodes are looked at one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A duration in seconds between two looks: the truth is in [low_s, high_s]; infinite when it never ended."""

    low_s: float
    high_s: float

    @property
    def value_s(self) -> float:
        """The later end: what is proved."""
        return self.high_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStory:
    """One lease. Times are Unix seconds; None for a step that never came."""

    lease: str
    fault: str
    targets: tuple[str, ...]
    planned_at_s: float | None
    applied_at_s: float | None
    effect_at_s: float | None
    effect: str
    healed_at_s: float | None
    heal_seen_at_s: float | None
    healing: str
    problems: tuple[str, ...]
    target_recovery: Measured | None
    """From the undo to the target answering and on a par again; None when there was no undo."""
    chain_recovery: Measured | None
    """From the undo to the next block; None when there was no undo."""
    longest_block_gap_s: float | None
    """Longest time without a new block that touches the fault; None without blocks."""

    @property
    def proved(self) -> bool:
        """Applied, its effect seen, undone, and its healing seen."""
        return None not in (self.applied_at_s, self.effect_at_s, self.healed_at_s, self.heal_seen_at_s)

    @property
    def held_s(self) -> float | None:
        """Time from applied to undone; infinite when it was never undone."""
        if self.applied_at_s is None:
            return None
        return math.inf if self.healed_at_s is None else self.healed_at_s - self.applied_at_s

    def disturbed(self, run_end_s: float) -> tuple[float, float]:
        """Return [planned, recovered): when the target was not in its normal state because of this fault.

        From the last moment at which it was surely not applied yet, to the end of the run where recovery was never
        seen; empty where nothing was applied.
        """
        if self.applied_at_s is None or self.planned_at_s is None:
            return (run_end_s, run_end_s)
        if self.healed_at_s is None or self.target_recovery is None or self.chain_recovery is None:
            return (self.planned_at_s, run_end_s)
        took_s = max(self.target_recovery.high_s, self.chain_recovery.high_s)
        return (self.planned_at_s, min(self.healed_at_s + took_s, run_end_s))


def tell_faults(run: Run) -> list[FaultStory]:
    """Return the story of each lease in the fault journal, in the order in which they were planned."""
    leases: dict[str, list[FaultEvent]] = {}
    for event in run.fault_events:
        leases.setdefault(event.lease, []).append(event)
    return [_tell(run, lease, events) for lease, events in leases.items()]


def _tell(run: Run, lease: str, events: list[FaultEvent]) -> FaultStory:
    first: dict[FaultEventKind, FaultEvent] = {}
    for event in events:
        first.setdefault(event.event, event)

    def at(kind: FaultEventKind) -> float | None:
        return first[kind].at_s if kind in first else None

    def words(kind: FaultEventKind) -> str:
        return first[kind].evidence if kind in first else ""

    applied, healed = at(FaultEventKind.APPLIED), at(FaultEventKind.HEALED)
    known = events[0]
    until = at(FaultEventKind.HEAL_SEEN) or math.inf
    return FaultStory(
        lease=lease,
        fault=known.fault,
        targets=known.targets,
        planned_at_s=at(FaultEventKind.PLANNED),
        applied_at_s=applied,
        effect_at_s=at(FaultEventKind.EFFECT_SEEN),
        effect=words(FaultEventKind.EFFECT_SEEN),
        healed_at_s=healed,
        heal_seen_at_s=at(FaultEventKind.HEAL_SEEN),
        healing=words(FaultEventKind.HEAL_SEEN),
        problems=tuple(event.evidence for event in events if event.event is FaultEventKind.FAILED),
        target_recovery=None if healed is None else _targets_recovery(run, known.targets, healed),
        chain_recovery=None if healed is None else _chain_recovery(run, healed),
        longest_block_gap_s=None if applied is None else longest_block_gap(run, Window.of((applied, until))),
    )


def _targets_recovery(run: Run, targets: tuple[str, ...], healed_at_s: float) -> Measured | None:
    """Return the recovery of the slowest target; None for a lease that names none."""
    each = [_target_recovery(run.probes, target, healed_at_s) for target in targets]
    return max(each, key=lambda measured: (measured.high_s, measured.low_s), default=None)


def _target_recovery(probes: pd.DataFrame, target: str, healed_at_s: float) -> Measured:
    """Return from when on a target is well: a node answers on a par with the highest, a provider is healthy.

    A node has to have moved since the undo: a height near the others' may be left over from before.
    """
    status = probes[probes["probe"] == "status"]
    own = probes[(probes["endpoint"] == target) & (probes["at_s"] >= healed_at_s)]
    own_status = own[own["probe"] == "status"]
    if own_status.empty:
        own = own[own["probe"] == "health"].sort_values("at_s")
        return _first_good(own["at_s"], own["ok"], healed_at_s)
    own_status = own_status.sort_values("at_s")
    highest = _highest_so_far(status)
    best = pd.merge_asof(own_status[["at_s", "ok", "height", "catching_up"]], highest, on="at_s")
    first_height = best.loc[best["ok"], "height"].min()
    good = (
        best["ok"]
        & ~best["catching_up"].fillna(True).astype(bool)
        & (best["height"] >= best["highest"] - _ON_A_PAR)
        & (best["height"] > first_height)
    )
    return _first_good(best["at_s"], good, healed_at_s)


def _highest_so_far(status: pd.DataFrame) -> pd.DataFrame:
    """Return (at_s, highest): the highest height that any node has told up to each moment."""
    told = status.loc[status["height"].notna(), ["at_s", "height"]].sort_values("at_s")
    return pd.DataFrame({"at_s": told["at_s"], "highest": told["height"].cummax()}).reset_index(drop=True)


def _first_good(moments: pd.Series[float], good: pd.Series[bool], since_s: float) -> Measured:
    """Return the time from `since_s` to the first good look; the truth lies after the look before it."""
    times, flags = moments.to_list(), good.to_list()
    for place, is_good in enumerate(flags):
        if is_good:
            before = times[place - 1] if place else since_s
            return Measured(low_s=max(0.0, before - since_s), high_s=times[place] - since_s)
    return Measured(low_s=(times[-1] - since_s) if times else 0.0, high_s=math.inf)


def _chain_recovery(run: Run, healed_at_s: float) -> Measured:
    """Return the time from the undo to the next block that any node had."""
    blocks = run.blocks
    before = blocks.loc[blocks["observed_at_s"] <= healed_at_s, "height"].max()
    known = 0 if pd.isna(before) else int(before)
    later = blocks.loc[(blocks["observed_at_s"] > healed_at_s) & (blocks["height"] > known), "observed_at_s"]
    if later.empty:
        watched_until = run.probes["at_s"].max()
        return Measured(
            low_s=0.0 if pd.isna(watched_until) else max(0.0, float(watched_until) - healed_at_s), high_s=math.inf
        )
    took_s = float(later.min()) - healed_at_s
    return Measured(low_s=max(0.0, took_s - run.manifest.probe_period_s), high_s=took_s)


def block_times(run: Run) -> pd.DataFrame:
    """Return (height, at_s, row) of every height, at its header time, ascending; one row a height."""
    blocks = run.blocks[run.blocks["header_time_at_s"].notna()].sort_values(["height", "observed_at_s"])
    first = blocks.drop_duplicates("height")
    return first[["height", "header_time_at_s", "row"]].rename(columns={"header_time_at_s": "at_s"})


def longest_block_gap(run: Run, window: Window) -> float | None:
    """Return the longest time without a new block that touches the window, seconds; None without blocks.

    By the observers' clock, not by header times: a header carries the time of the block before it. A gap that was
    open when the watch began counts from there, one that is still open when it ends counts up to there.
    """
    seen = run.blocks.groupby("height")["observed_at_s"].min().sort_index()
    if seen.empty or run.probes.empty:
        return None
    # A height that was fetched late had been reached when a higher one was seen.
    reached = seen[::-1].cummin()[::-1].to_list()
    watched = run.probes["at_s"]
    moments = [min(reached[0], float(watched.min())), *reached, max(reached[-1], float(watched.max()))]
    touching = [pair for pair in pairwise(moments) if not window.within(*pair).is_empty]
    return max((end - start for start, end in touching), default=0.0)
