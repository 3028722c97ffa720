"""Did the load generator keep up with its own schedule? If not, what looks like the target's latency is ours.

Rests on the generator's own watch (table `generator`, a row a second and worker). Only the load's time counts: before
it keys are derived and users made, which keeps a core busy and delays nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.run import Run
from analysis.verdict import Evidence, Reason
from bundle import GENERATOR, PhaseRecord

LATE_SHARE = 0.01
"""Share of the arrivals that may be noticed more than 100 ms late: their P99 is then below it."""
BUSY_RATIO = 0.95
"""Share of a core; beyond it, in most seconds of the load, what waits in the process is part of every latency."""
STALLED_MS = 1000.0
"""A second in which nothing could be sent or received is no more the target's doing than a pause of the machine's."""
COLLECTED_RATIO = 0.05
"""Garbage collection's share of the load's time: nothing moves meanwhile. A single long one is a stall."""


def generator_reasons(run: Run) -> list[Reason]:
    """Return why latencies may be the generator's and not the target's; empty when it kept up."""
    rows = _rows_of_load(run)
    if rows.empty:
        sentence = "the generator was not watched: whether it kept up is not known"
        return [Reason(code="generator.unwatched", sentence=sentence, evidence=(Evidence(file=GENERATOR.path),))]
    return [reason for _, worker in rows.groupby("part", sort=True) for reason in _reasons(run, worker)]


def generator_summary(run: Run) -> str:
    """Return what the generator did, for people."""
    rows = _rows_of_load(run)
    due = int(rows["due"].sum())
    parts = [f"{_median(rows):.0%} of a core", f"heartbeat at most {rows['stalled_max_ms'].max():.0f} ms late"]
    if due:
        late = int(rows["late_by_20_ms"].sum())
        parts.insert(0, f"{due} arrivals, {late / due:.2%} of them noticed more than 20 ms late")
    return "; ".join(parts)


def _reasons(run: Run, rows: pd.DataFrame) -> Iterator[Reason]:
    """Yield the reasons against one worker."""
    due, late = int(rows["due"].sum()), int(rows["late_by_100_ms"].sum())
    if late > LATE_SHARE * due:
        found = f"{late} of {due} arrivals were noticed more than 100 ms late"
        text = f"{found}, one of them {rows['late_max_ms'].max():.0f} ms; expected at most {LATE_SHARE:.0%}"
        yield _reason(run, rows, "late_max_ms", text, code="generator.late")
    if (busy := _median(rows)) > BUSY_RATIO:
        text = f"it used {busy:.0%} of a core; expected at most {BUSY_RATIO:.0%}"
        yield _reason(run, rows, "cpu_ratio", text, code="generator.busy")
    if (stalled_ms := rows["stalled_max_ms"].max()) > STALLED_MS:
        text = f"it stood still for {stalled_ms:.0f} ms; expected at most {STALLED_MS:.0f} ms"
        yield _reason(run, rows, "stalled_max_ms", text, code="generator.stalled")
    if (collected := rows["collected_ms"].sum() / 1000 / rows["period_s"].sum()) > COLLECTED_RATIO:
        text = f"it collected garbage for {collected:.1%} of its time; expected at most {COLLECTED_RATIO:.0%}"
        yield _reason(run, rows, "collected_ms", text, code="generator.collecting")


def _reason(run: Run, rows: pd.DataFrame, column: str, found: str, *, code: str) -> Reason:
    """Return a reason whose evidence is the row with the column's highest value."""
    worst = rows.sort_values(column, kind="stable").iloc[-1]
    part = str(worst["part"])
    evidence = Evidence(file=run.file_of(GENERATOR, part), row=int(worst["row"]))
    return Reason(code=code, sentence=f"the generator, not the target ({part}): {found}", evidence=(evidence,))


def _rows_of_load(run: Run) -> pd.DataFrame:
    """Return the rows whose whole second lies in the load's time."""
    load: PhaseRecord | None = run.manifest.phase("load")
    rows = run.generator
    if load is None:
        return rows.iloc[:0]
    end_at_s = load.end_at_s if load.end_at_s is not None else float("inf")
    return rows[(rows["at_s"] - rows["period_s"] >= load.start_at_s) & (rows["at_s"] <= end_at_s)]


def _median(rows: pd.DataFrame) -> float:
    return float(rows["cpu_ratio"].median())
