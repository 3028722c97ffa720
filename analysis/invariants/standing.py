"""No node is silently stuck: while others make blocks, each one that is not under a fault makes them too.

And nobody is left behind when the run ends. A node that says 200 on `/health` and stands still is the case
that a health check never finds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.fault_story import FaultStory
from analysis.run import Run
from analysis.verdict import Check, Evidence, Reason, Verdict
from analysis.windows import Window
from bundle import PROBES

STUCK_BLOCKS, STUCK_S = 5, 10.0
"""Stuck: five blocks or more behind the highest node, for ten seconds without a break."""
_NAME, _TITLE = "invariant.nobody_left_behind", "No node is stuck behind its peers"


def nobody_left_behind(run: Run, faults: tuple[FaultStory, ...] | None) -> Check:
    """Return the check; INCONCLUSIVE when some node never told its height, or the faults are not known (None)."""
    names = run.manifest.target.node_names
    status = run.probes[(run.probes["probe"] == "status") & run.probes["ok"].astype(bool)]
    seen = set(status["endpoint"])
    if len(names) < 2:
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary="the target has one node", applies=False)
    highest = _highest(status)
    reasons = []
    for name in names:
        reasons += _stuck(run, name, status[status["endpoint"] == name], highest, faults or ())
    damage = "the probes are damaged" if run.is_damaged(PROBES) else ""
    if faults is None or run.is_fault_journal_damaged:
        damage = "which node was meant to stand still is not known"
    if reasons and not damage:
        summary = reasons[0].sentence
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.FAIL, summary=summary, reasons=tuple(reasons))
    unseen = [name for name in names if name not in seen]
    if unseen or damage:
        sentence = damage or f"{', '.join(unseen)} never told a height"
        reason = Reason(code="stuck.not_compared", sentence=sentence, evidence=(Evidence(file=run.file_of(PROBES)),))
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.INCONCLUSIVE, summary=sentence, reasons=(reason,))
    return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary=f"{len(seen)} nodes kept up with the highest")


def _highest(status: pd.DataFrame) -> pd.DataFrame:
    told = status.sort_values("at_s")
    return pd.DataFrame({"at_s": told["at_s"], "highest": told["height"].cummax()})


def _stuck(
    run: Run, name: str, rows: pd.DataFrame, highest: pd.DataFrame, faults: tuple[FaultStory, ...]
) -> list[Reason]:
    """Return a reason when this node was stuck for long enough, outside its own faults."""
    if rows.empty:
        return []  # told by the check as not compared
    end = float(highest["at_s"].max())
    mine = Window.of((float(rows["at_s"].min()), end + 1)).without(
        fault.disturbed(end) for fault in faults if name in fault.targets
    )
    joined = pd.merge_asof(rows.sort_values("at_s"), highest, on="at_s")
    joined = joined[mine.contains(joined["at_s"])]
    behind = (joined["highest"] - joined["height"] >= STUCK_BLOCKS).to_numpy(bool)
    times = joined["at_s"].to_numpy(float)
    for first, last in _stretches(behind):
        if times[last] - times[first] >= STUCK_S:
            row = joined.iloc[last]
            sentence = (
                f"{name} answered and stood at height {int(row['height'])} for {times[last] - times[first]:.0f} s"
                f" while the highest node reached {int(row['highest'])}"
            )
            evidence = (Evidence(file=run.file_of(PROBES), row=int(row["row"])),)
            return [Reason(code="stuck.node", sentence=sentence, evidence=evidence)]
    return []


def _stretches(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Return (first, last) of every unbroken stretch of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(int)))
    return [(int(start), int(end) - 1) for start, end in zip(edges[::2], edges[1::2], strict=True)]
