"""Laws of the capacity search that hold whatever the target does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.rate_search import Answer, End, Next, Outcome, SearchRules, Trial, answer_now, decide

_OUTCOMES = st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=10)
_RULES = st.builds(
    SearchRules,
    seed=st.integers(0, 2**31),
    min_rate_per_s=st.floats(0.5, 2.0),
    start_rate_per_s=st.floats(2.0, 100.0),
    max_rate_per_s=st.floats(100.0, 1000.0),
    max_steps=st.integers(1, 12),
    narrow_to=st.floats(1.01, 3.0),
)


@settings(max_examples=60, deadline=None)
@given(rules=_RULES, outcomes=_OUTCOMES)
def test_rates_stay_in_bounds_and_the_search_ends(rules: SearchRules, outcomes: list[Outcome]) -> None:
    """Law: every rate may be tried, no more steps are taken than allowed, and the same steps lead to the same."""
    trials: list[Trial] = []
    while isinstance(decision := decide(rules, trials), Next):
        assert rules.min_rate_per_s <= decision.rate_per_s <= rules.max_rate_per_s
        assert decision == decide(rules, trials)
        trials.append(Trial(rate_per_s=decision.rate_per_s, outcome=outcomes[len(trials) % len(outcomes)]))
        assert len(trials) <= rules.max_steps
    _check(decision, trials)


@settings(max_examples=60, deadline=None)
@given(rules=_RULES, told=st.lists(st.tuples(st.floats(1.0, 900.0), st.sampled_from(list(Outcome))), max_size=10))
def test_an_answer_can_be_given_at_any_time(rules: SearchRules, told: list[tuple[float, Outcome]]) -> None:
    """Law: an interval is in order, its ends are open where nothing says otherwise, and the value lies in it."""
    trials = [Trial(rate_per_s=rate, outcome=outcome) for rate, outcome in told]
    _check(answer_now(rules, trials, End.STOPPED), trials)


def _check(answer: Answer, trials: list[Trial]) -> None:
    found = answer.estimate
    outcomes = {trial.outcome for trial in trials}
    assert 0 <= found.low_per_s <= found.high_per_s
    assert found.low_per_s == 0 or Outcome.HELD in outcomes
    assert found.high_per_s == float("inf") or Outcome.GAVE_WAY in outcomes
    if found.value_per_s is not None:
        assert 0 < found.low_per_s <= found.value_per_s <= found.high_per_s < float("inf")
