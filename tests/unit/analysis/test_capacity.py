"""The result of a search: what gave way first, how scarce things were, how far it is from what is needed."""

from __future__ import annotations

import math

import pytest

from analysis.capacity import Capacity, conclude
from analysis.load_step import LoadStep
from analysis.rate_search import Answer, End, Outcome, RateEstimate, SearchRules
from tests.unit.analysis.capacity_steps import budget, pressure, step

HELD, GAVE_WAY = Outcome.HELD, Outcome.GAVE_WAY


def estimate(value: float | None, low: float, high: float) -> RateEstimate:
    return RateEstimate(value_per_s=value, low_per_s=low, high_per_s=high, scatter_ratio=0.03, steps=9)


FOUND = estimate(270.0, 250.0, 290.0)


def concluded(
    *steps: LoadStep, found: RateEstimate = FOUND, end: End = End.NARROW, current: float | None = None
) -> Capacity:
    return conclude(
        SearchRules(seed=1),
        Answer(end=end, estimate=found),
        steps,
        target="devnet",
        scenario="transfer",
        step_s=30.0,
        current_per_s=current,
    )


def test_what_gave_way_first_is_what_broke_at_the_lowest_rate_that_did() -> None:
    low = (
        budget("A", 12.0, 10.0, broken=True),
        budget("B", 30.0, 10.0, broken=True),
        budget("C", 1.0, 9.0, broken=False),
    )
    found = concluded(
        step(1, 100, HELD),
        step(2, 400, GAVE_WAY, budget("D", 99.0, 10.0, broken=True)),
        step(3, 280, GAVE_WAY, *low, why="A and B"),
    ).gave_way
    assert found is not None
    assert (found.rate_per_s, found.bundle, found.why) == (280, "bundle-3", "A and B")
    assert [each.id for each in found.budgets] == ["B", "A"]


def test_nothing_gave_way_where_every_step_held() -> None:
    assert concluded(step(1, 100, HELD)).gave_way is None


def test_scarcest_first() -> None:
    """CPU 1.9 of 2 cores; blocks of 2 s that took 1 s in the lowest step that held; the mempool took a quarter."""
    strained = pressure(cores=1.5, generator=0.4, memory=0.2, mempool=70.0, block=2.0, load=8.0)
    found = concluded(
        step(1, 200, HELD, found=pressure(block=1.5)),
        step(2, 50, HELD, found=pressure(block=1.0)),
        step(3, 280, GAVE_WAY, found=strained),
    ).gave_way
    assert found is not None
    assert [strain.resource for strain in found.strains] == ["CPU", "block interval", "mempool", "memory"]
    assert [strain.share for strain in found.strains] == pytest.approx([0.95, 0.5, 0.25, 0.2])
    told = {strain.resource: strain.told for strain in found.strains}
    assert "load average 8.0" in told["CPU"]
    assert "1.00 s at 50/s" in told["block interval"]


def test_a_resource_that_was_not_watched_is_no_strain() -> None:
    found = concluded(step(1, 280, GAVE_WAY)).gave_way
    assert found is not None
    assert found.strains == ()


def test_ten_times_the_current_load_is_needed() -> None:
    found = concluded(current=60.0).headroom
    assert found is not None
    assert found.needed_per_s == 600
    assert found.ratio == pytest.approx(0.45)
    assert (found.low_ratio, found.high_ratio) == pytest.approx((250 / 600, 290 / 600))


def test_a_capacity_with_an_open_end_has_no_ratio_but_a_bound() -> None:
    found = concluded(found=estimate(None, 120.0, math.inf), end=End.GENERATOR, current=6.0).headroom
    assert found is not None
    assert (found.ratio, found.low_ratio, found.high_ratio) == (None, 2.0, math.inf)


@pytest.mark.parametrize(
    ("found", "end", "is_found"),
    [
        (FOUND, End.NARROW, True),
        (FOUND, End.STEPS_USED, True),
        (FOUND, End.GENERATOR, True),
        (FOUND, End.STOPPED, False),
        (FOUND, End.NOTHING, False),
        (estimate(None, 120.0, math.inf), End.MAX_RATE, False),
    ],
)
def test_a_capacity_is_found_when_both_ends_are_known_and_nothing_cut_the_search_short(
    found: RateEstimate, end: End, is_found: bool
) -> None:
    assert concluded(found=found, end=end).is_found is is_found
