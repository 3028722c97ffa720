"""The strategy of a capacity search: it brackets, narrows, ends, and says no more than it knows."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from analysis.rate_search import (
    LEAST_OF_EACH,
    UNTOLD_LIMIT,
    End,
    Next,
    Outcome,
    SearchRules,
    Trial,
    answer_now,
    decide,
)
from tests.unit.analysis.simulated_target import noisy, rates, search, sharp

HELD, GAVE_WAY, GENERATOR, NOTHING = Outcome.HELD, Outcome.GAVE_WAY, Outcome.GENERATOR, Outcome.NOTHING


def trials(*pairs: tuple[float, Outcome]) -> list[Trial]:
    return [Trial(rate_per_s=rate, outcome=outcome) for rate, outcome in pairs]


def next_rate(rules: SearchRules, *pairs: tuple[float, Outcome]) -> float:
    decision = decide(rules, trials(*pairs))
    assert isinstance(decision, Next), decision
    return decision.rate_per_s


def test_it_doubles_until_a_step_gives_way_and_then_stays_in_between() -> None:
    _, taken = search(SearchRules(seed=1), sharp(270.0))
    first_that_broke = next(place for place, trial in enumerate(taken) if trial.outcome is GAVE_WAY)
    climb = rates(taken[: first_that_broke + 1])
    assert all(after == pytest.approx(2 * before, rel=0.01) for before, after in pairwise(climb))
    low, high = climb[-2:]
    assert low < 270 < high
    assert all(low < rate < high for rate in rates(taken[first_that_broke + 1 :]))


def test_it_halves_where_the_first_step_gives_way() -> None:
    assert next_rate(SearchRules(seed=1), (50.0, GAVE_WAY)) == 25.0


@pytest.mark.parametrize("capacity", [3.0, 47.0, 270.0, 1500.0])
def test_a_sharp_limit_is_found(capacity: float) -> None:
    answer, taken = search(SearchRules(seed=3, max_steps=30), sharp(capacity))
    found = answer.estimate
    assert answer.end is End.NARROW
    assert found.low_per_s < capacity < found.high_per_s
    assert found.spread <= 1.2
    outcomes = [trial.outcome for trial in taken]
    assert min(outcomes.count(HELD), outcomes.count(GAVE_WAY)) >= LEAST_OF_EACH


def test_the_same_seed_takes_the_same_steps_and_another_takes_others() -> None:
    one, again, other = (search(SearchRules(seed=seed), noisy(200, 0.05, 9)) for seed in (4, 4, 5))
    assert one == again
    assert rates(one[1])[0] != rates(other[1])[0]


def test_a_search_that_is_taken_up_in_the_middle_goes_on_as_it_would_have() -> None:
    rules = SearchRules(seed=4)
    _, taken = search(rules, noisy(200, 0.05, 9))
    for place, trial in enumerate(taken):
        assert decide(rules, taken[:place]) == Next(rate_per_s=trial.rate_per_s)


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Law: over targets of any capacity and of scatters as the prior has them, about 95 of 100 intervals hold it."""
    draw = np.random.default_rng(11)
    count, holds = 120, 0
    for seed in range(count):
        capacity = float(np.exp(draw.uniform(math.log(20), math.log(1000))))
        scatter = float(np.exp(draw.uniform(math.log(0.01), math.log(0.15))))
        answer, _ = search(SearchRules(seed=seed), noisy(capacity, scatter, seed))
        holds += answer.estimate.low_per_s <= capacity <= answer.estimate.high_per_s
    # Of 120 with 95 %, fewer than 106 have a probability of one in 500; the lapses that it allows for make it wider.
    assert holds >= 106


def test_more_steps_make_it_narrower() -> None:
    few, many = (
        search(SearchRules(seed=2, max_steps=steps, narrow_to=1.001), noisy(200, 0.03, 2))[0] for steps in (12, 40)
    )
    assert many.estimate.spread < few.estimate.spread
    assert (few.end, many.end) == (End.STEPS_USED, End.STEPS_USED)


def test_one_lucky_step_far_up_does_not_carry_it_away() -> None:
    """A lapse: one step held at twice the capacity, where all others gave way."""
    told = [(100.0, HELD), (200.0, HELD), (400.0, GAVE_WAY)]
    told += [(220.0, GAVE_WAY), (150.0, GAVE_WAY), (120.0, GAVE_WAY), (110.0, HELD), (130.0, GAVE_WAY), (105.0, HELD)]
    answer = answer_now(SearchRules(seed=1), trials(*told), End.STEPS_USED)
    assert answer.estimate.value_per_s is not None
    assert 100 < answer.estimate.value_per_s < 140


def test_a_generator_that_gives_way_leaves_a_lower_bound() -> None:
    """The same rate is tried again, for it may have been a hiccup; then it is said how much is known."""
    rules = SearchRules(seed=1)
    held = [(50.0, HELD), (100.0, HELD)]
    for count in range(UNTOLD_LIMIT):
        assert next_rate(rules, *held, *[(200.0, GENERATOR)] * count) == 200.0
    answer = decide(rules, trials(*held, *[(200.0, GENERATOR)] * UNTOLD_LIMIT))
    assert not isinstance(answer, Next)
    assert answer.end is End.GENERATOR
    assert answer.estimate.value_per_s is None
    assert 50 < answer.estimate.low_per_s <= 100
    assert answer.estimate.high_per_s == math.inf


def test_a_step_that_told_nothing_changes_nothing_that_is_known() -> None:
    rules = SearchRules(seed=1)
    told = [(50.0, HELD), (100.0, GAVE_WAY)]
    without, with_ = (
        answer_now(rules, trials(*told, *more), End.STOPPED) for more in ([], [(70.0, NOTHING), (80.0, GENERATOR)])
    )
    assert without == with_


def test_steps_that_tell_nothing_again_and_again_end_it() -> None:
    answer = decide(SearchRules(seed=1), trials(*[(50.0, NOTHING)] * UNTOLD_LIMIT))
    assert not isinstance(answer, Next)
    assert answer.end is End.NOTHING
    assert (answer.estimate.low_per_s, answer.estimate.high_per_s) == (0.0, math.inf)


def test_a_target_that_bears_the_highest_rate_has_no_upper_end() -> None:
    answer, taken = search(SearchRules(seed=1, max_rate_per_s=120.0), sharp(1e9))
    assert answer.end is End.MAX_RATE
    assert answer.estimate.value_per_s is None
    assert 100 < answer.estimate.low_per_s <= 120
    assert answer.estimate.high_per_s == math.inf
    assert rates(taken)[-LEAST_OF_EACH:] == [120.0] * LEAST_OF_EACH


def test_a_target_that_bears_nothing_has_no_lower_end() -> None:
    answer, taken = search(SearchRules(seed=1, min_rate_per_s=10.0), sharp(0.1))
    assert answer.end is End.MIN_RATE
    assert answer.estimate.low_per_s == 0.0
    assert 10 <= answer.estimate.high_per_s < 15
    assert rates(taken)[-1] == 10.0


def test_steps_are_bounded() -> None:
    answer, taken = search(SearchRules(seed=1, max_steps=3), noisy(200, 0.1, 1))
    assert (answer.end, len(taken)) == (End.STEPS_USED, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_rate_per_s": 0.5},
        {"start_rate_per_s": 5000.0},
        {"min_rate_per_s": 0.0},
        {"max_rate_per_s": math.inf},
        {"max_steps": 0},
        {"narrow_to": 1.0},
    ],
)
def test_rules_that_no_search_can_follow_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SearchRules(seed=1, **wrong)
