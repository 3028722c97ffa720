"""A capacity for a terminal and as JSON."""

from __future__ import annotations

import json
import math

import pytest

from analysis.capacity import Capacity
from analysis.rate_search import End, Outcome
from reports.capacity import capacity_table, capacity_text
from tests.unit.analysis.capacity_steps import budget, pressure, step
from tests.unit.analysis.test_capacity import concluded, estimate


def found(current: float | None = 60.0) -> Capacity:
    broken = budget("PB-L-02", 12_000.0, 10_000.0, broken=True)
    return concluded(
        step(1, 50.4, Outcome.HELD, found=pressure(block=1.0)),
        step(2, 400, Outcome.GAVE_WAY, broken, found=pressure(cores=1.8, block=2.0)),
        step(3, 300, Outcome.GENERATOR, why="the generator, not the target: it used 99 % of a core"),
        current=current,
    )


def test_the_table_tells_steps_what_gave_way_and_the_headroom() -> None:
    lines = capacity_table(found()).splitlines()
    assert lines[0].split() == ["step", "rate", "offered", "done", "P95", "outcome", "verdict", "bundle"]
    assert lines[1].split()[:4] == ["1", "50.4/s", "50.4/s", "45.4/s"]
    assert "1.234 s" in lines[1]
    assert "step 3 told nothing of the target: the generator, not the target: it used 99 % of a core" in lines
    text = "\n".join(lines)
    assert "What gave way first, at 400/s (bundle-2):" in text
    assert "Budget PB-L-02: 12 s, limit 10 s (120 % used)" in text
    assert "Capacity: 270/s (250 to 290, 95 %, 9 steps); the interval is as narrow as asked for." in text
    assert lines[-1] == (
        "10 x the current load needs 600/s; capacity is 270/s (250 to 290, 95 %, 9 steps): 0.45 of it (0.42 to 0.48)."
    )


def test_without_a_current_load_there_is_no_headroom() -> None:
    assert "current load" not in capacity_table(found(current=None))


@pytest.mark.parametrize(
    ("low", "high", "end", "told"),
    [
        (120.0, math.inf, End.GENERATOR, "at least 120/s; the generator gave way first, not the target."),
        (0.0, 12.0, End.MIN_RATE, "at most 12/s; the lowest rate that may be tried gives way."),
        (0.0, math.inf, End.NOTHING, "cannot be said; steps told nothing, again and again."),
    ],
)
def test_an_open_end_is_told(low: float, high: float, end: End, told: str) -> None:
    text = capacity_table(concluded(found=estimate(None, low, high), end=end, current=1.0))
    assert f"Capacity: {told}" in text


def test_the_json_has_the_same_bytes_and_no_infinity() -> None:
    text = capacity_text(concluded(found=estimate(None, 120.0, math.inf), end=End.GENERATOR))
    assert text == capacity_text(concluded(found=estimate(None, 120.0, math.inf), end=End.GENERATOR))
    raw = json.loads(text)
    assert raw["estimate"]["high_per_s"] == "unbounded"
    assert raw["rules"]["seed"] == 1
