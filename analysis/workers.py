"""The load's processes: was each of them there from the beginning to the end, and whose clock was off?

A run goes on without a worker that dies. What it did not offer nobody else does, so what is missing can be said: its
samples after its last one. Rests on the manifest's `workers` and `clocks`, which the conductor takes from their notes.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.run import Run
from analysis.verdict import Evidence, Reason
from bundle import SAMPLES, PhaseRecord, WorkerRecord

LATE_S = 0.1
"""A worker that learns so late that it should have begun is behind from its first request on."""
EARLY_S = 0.5
"""A worker writes its last sample after the load's end; by rounding and clocks it may seem a little before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostWorker:
    """A worker that was not there to the end of the load."""

    part: str
    last_at_s: float
    """When its last sample ended; the load's start when it has none."""
    row: int | None
    """That sample's row."""


def lost_workers(run: Run) -> list[LostWorker]:
    """Return the workers that did not come to their end, or came to it before the load did, in order."""
    load = run.manifest.phase("load")
    if load is None or load.end_at_s is None or len(run.manifest.workers) < 2:
        return []
    return [_lost(run, worker.part, load) for worker in run.manifest.workers if not _stayed(run, worker, load.end_at_s)]


def worker_reasons(run: Run) -> list[Reason]:
    """Return what is wrong with the load's processes; empty when each was there all the time."""
    load = run.manifest.phase("load")
    if load is None or load.end_at_s is None or len(run.manifest.workers) < 2:
        return []
    reasons = [_lost_reason(run, lost, load) for lost in lost_workers(run)]
    for worker in run.manifest.workers:
        if worker.late_s > LATE_S:
            sentence = f"{worker.part} learnt {worker.late_s:.2f} s too late that the load had begun"
            evidence = (Evidence(file=run.layout.manifest.name),)
            reasons.append(Reason(code="load.worker_late", sentence=sentence, evidence=evidence))
    return reasons


def worker_summary(run: Run) -> str:
    """Return what the load's processes did, for people."""
    workers = run.manifest.workers
    cores = [f"{worker.part} on core {worker.core}" for worker in workers if worker.core is not None]
    return "; ".join([f"{len(workers)} processes from the beginning to the end", *cores])


def _stayed(run: Run, worker: WorkerRecord, load_end_at_s: float) -> bool:
    if worker.begins_at_s is None or worker.ended_at_s is None:
        return False
    ended_at_s = worker.ended_at_s + run.clock_shifts_s.get(worker.part, 0.0)
    return ended_at_s >= load_end_at_s - EARLY_S


def _lost(run: Run, part: str, load: PhaseRecord) -> LostWorker:
    rows = run.samples[run.samples["part"] == part]
    if rows.empty:
        return LostWorker(part=part, last_at_s=load.start_at_s, row=None)
    ends = rows["intended_at_s"] + rows["latency_ms"].fillna(0.0) / 1000
    last = int(ends.argmax())
    return LostWorker(part=part, last_at_s=float(ends.iloc[last]), row=int(rows["row"].iloc[last]))


def _lost_reason(run: Run, lost: LostWorker, load: PhaseRecord) -> Reason:
    assert load.end_at_s is not None
    count, length_s = len(run.manifest.workers), load.end_at_s - load.start_at_s
    missing_s = max(0.0, load.end_at_s - lost.last_at_s)
    share = missing_s / length_s / count if length_s > 0 else 0.0
    since = f"its samples are missing from {lost.last_at_s - load.start_at_s:.1f} s of the load on"
    sentence = f"{lost.part}, one of {count} load processes, was lost: {since}, which is {share:.0%} of the load"
    evidence = (Evidence(file=run.file_of(SAMPLES, lost.part), row=lost.row),)
    return Reason(code="load.worker_lost", sentence=sentence, evidence=evidence)
