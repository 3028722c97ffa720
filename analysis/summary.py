"""Figures beside the verdict: each operation in a row, what went wrong, how the generator did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.estimate import quantile
from analysis.run import Run
from bundle import ErrorKind, Outcome

_OWN_LIMIT = (ErrorKind.BACK_PRESSURE.value, ErrorKind.NOT_SENT.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationSummary:
    """One operation over the whole run. Quantiles are exact, of what ended well; None where nothing did."""

    operation: str
    protocol: str
    count: int
    ok: int
    failed: int
    unknown: int
    back_pressure: int
    not_sent: int
    failed_over: int
    """Requests that more than one endpoint was tried for."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """One kind of trouble with one operation, with an example of the target's words."""

    operation: str
    kind: str
    count: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All figures of a run that are no budget."""

    operations: tuple[OperationSummary, ...]
    errors: tuple[ErrorSummary, ...]
    lateness_p99_ms: float | None
    """99 % of all requests went out at most this much after they were meant to."""
    heights: tuple[int, int] | None
    """First and last height seen."""
    overhead_s: float | None
    """Time from the start of the run to its end beyond what the plan asked for and the drain took."""


def summarise(run: Run) -> Summary:
    """Return the figures of a run; tables that are missing give empty or None."""
    samples = run.samples
    scheduled = samples[~samples["operation"].str.startswith("ws.")] if not samples.empty else samples
    lateness = ((scheduled["sent_at_s"] - scheduled["intended_at_s"]) * 1000).to_numpy(float)
    heights = run.blocks["height"]
    return Summary(
        operations=tuple(
            _operation(str(name), rows)
            for name, rows in samples.groupby("operation", sort=True, observed=True)
            if len(rows)
        ),
        errors=_errors(samples),
        lateness_p99_ms=quantile(lateness, 0.99).value if len(lateness) else None,
        heights=(int(heights.min()), int(heights.max())) if len(heights) else None,
        overhead_s=_overhead(run),
    )


def _operation(name: str, rows: pd.DataFrame) -> OperationSummary:
    outcome, kind = rows["outcome"], rows["error_kind"]
    excused = kind.isin(_OWN_LIMIT)
    values = rows.loc[outcome == Outcome.OK.value, "latency_ms"].dropna().to_numpy(float)

    def at(probability: float) -> float | None:
        return quantile(values, probability).value if len(values) else None

    return OperationSummary(
        operation=name,
        protocol=str(rows["protocol"].iloc[0]),
        count=len(rows),
        ok=int((outcome == Outcome.OK.value).sum()),
        failed=int(((outcome == Outcome.FAIL.value) & ~excused).sum()),
        unknown=int((outcome == Outcome.UNKNOWN.value).sum()),
        back_pressure=int((kind == ErrorKind.BACK_PRESSURE.value).sum()),
        not_sent=int((kind == ErrorKind.NOT_SENT.value).sum()),
        failed_over=int((rows["attempts"] > 1).sum()),
        p50_ms=at(0.5),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        max_ms=float(np.max(values)) if len(values) else None,
    )


def _errors(samples: pd.DataFrame) -> tuple[ErrorSummary, ...]:
    bad = samples[samples["error_kind"].notna()]
    return tuple(
        ErrorSummary(operation=str(key[0]), kind=str(key[1]), count=len(rows), example=_first_words(rows["detail"]))
        for key, rows in bad.groupby(["operation", "error_kind"], sort=True, observed=True)
        if isinstance(key, tuple)
    )


def _first_words(details: pd.Series[str]) -> str:
    """Return the first that says anything; empty where none does."""
    told = details.dropna()
    return "" if told.empty else str(told.iloc[0])


def _overhead(run: Run) -> float | None:
    manifest = run.manifest
    drain = manifest.phase("drain")
    if manifest.seal is None or drain is None or drain.end_at_s is None:
        return None
    planned = manifest.planned_s + (drain.end_at_s - drain.start_at_s)
    return manifest.seal.sealed_at_s - manifest.started_at_s - planned
