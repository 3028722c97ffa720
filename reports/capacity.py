"""What a capacity search found, as a table for a terminal and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from analysis.capacity import Capacity, GaveWay, Headroom
from analysis.rate_search import End, Outcome
from reports.wording import amount, plain, share

_ENDS = {
    End.NARROW: "the interval is as narrow as asked for",
    End.STEPS_USED: "the steps were used up",
    End.MAX_RATE: "the highest rate that may be tried still holds",
    End.MIN_RATE: "the lowest rate that may be tried gives way",
    End.GENERATOR: "the generator gave way first, not the target",
    End.NOTHING: "steps told nothing, again and again",
    End.STOPPED: "the search was stopped",
}


def capacity_text(capacity: Capacity) -> str:
    """Return the result as JSON, sorted: the same steps give the same bytes. Infinity is "unbounded"."""
    return json.dumps(_plain(asdict(capacity)), indent=1, sort_keys=True, allow_nan=False) + "\n"


def capacity_table(capacity: Capacity) -> str:
    """Return the steps, the rate, what gave way and the distance from ten times today's load, as plain text."""
    lines = [*_steps(capacity), ""]
    if capacity.gave_way is not None:
        lines += [*_gave_way(capacity.gave_way), ""]
    lines.append(f"Capacity: {_found(capacity)}; {_ENDS[capacity.end]}.")
    if capacity.headroom is not None:
        lines.append(_headroom(capacity, capacity.headroom))
    return "\n".join(lines)


def _steps(capacity: Capacity) -> Iterator[str]:
    rows: list[Sequence[str]] = [("step", "rate", "offered", "done", "P95", "outcome", "verdict", "bundle")]
    rows += [
        (
            str(step.number),
            f"{step.rate_per_s:g}/s",
            f"{_rate(step.offered_per_s)}/s",
            "–" if step.done_per_s is None else f"{_rate(step.done_per_s)}/s",
            "–" if step.p95_ms is None else amount(step.p95_ms, "ms"),
            step.outcome.value,
            step.verdict.value,
            step.bundle,
        )
        for step in capacity.steps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for step in capacity.steps:
        if step.outcome in (Outcome.GENERATOR, Outcome.NOTHING):
            yield f"step {step.number} told nothing of the target: {plain(step.why)}"


def _gave_way(found: GaveWay) -> Iterator[str]:
    yield f"What gave way first, at {found.rate_per_s:g}/s ({found.bundle}):"
    for budget in found.budgets:
        value = "not measured" if budget.value is None else amount(budget.value, budget.unit)
        limit = amount(budget.limit, budget.unit)
        yield f"  {budget.id:<12} {plain(budget.title)}: {value}, limit {limit} ({share(budget.used_ratio)} used)"
    if not found.budgets:
        yield f"  {plain(found.why)}"
    for strain in found.strains:
        yield f"  {strain.resource:<14} {share(strain.share):>6}: {plain(strain.told)}"


def _found(capacity: Capacity) -> str:
    found = capacity.estimate
    if found.value_per_s is not None:
        interval = f"{_rate(found.low_per_s)} to {_rate(found.high_per_s)}"
        return f"{_rate(found.value_per_s)}/s ({interval}, 95 %, {found.steps} steps)"
    if found.low_per_s > 0:
        return f"at least {_rate(found.low_per_s)}/s"
    if math.isfinite(found.high_per_s):
        return f"at most {_rate(found.high_per_s)}/s"
    return "cannot be said"


def _headroom(capacity: Capacity, found: Headroom) -> str:
    needs = f"10 x the current load needs {_rate(found.needed_per_s)}/s"
    if found.ratio is not None:
        interval = f"{found.low_ratio:.2f} to {found.high_ratio:.2f}"
        return f"{needs}; capacity is {_found(capacity)}: {found.ratio:.2f} of it ({interval})."
    if found.low_ratio > 0:
        return f"{needs}; capacity is {_found(capacity)}: at least {found.low_ratio:.2f} of it."
    if math.isfinite(found.high_ratio):
        return f"{needs}; capacity is {_found(capacity)}: at most {found.high_ratio:.2f} of it."
    return f"{needs}; how much of it there is cannot be said."


def _rate(per_s: float) -> str:
    """Return a rate for people: three digits, as the steps have."""
    return f"{per_s:.0f}" if per_s >= 100 else f"{per_s:.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "unbounded" if value > 0 else "-unbounded"
    return value
