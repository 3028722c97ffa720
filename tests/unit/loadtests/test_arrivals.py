"""Open arrivals: times that follow their rate, the same for the same seed, however many workers share them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import DocumentError
from loadtests.arrivals import (
    CHUNK,
    ArrivalKind,
    Constant,
    Process,
    Ramp,
    Sine,
    Spike,
    Step,
    Times,
    Trace,
    arrival_count,
    arrival_times,
    format_arrivals,
    parse_arrivals,
    peak_rate_per_s,
    schedule_seed,
)
from tests.unit.loadtests.arrival_strategies import ARRIVALS

SECONDS = st.floats(0.5, 40)


def times(arrivals: ArrivalKind, duration_s: float, seed: str = "1", share: tuple[int, int] = (0, 1)) -> Times:
    chunks = list(arrival_times(arrivals, duration_s, seed, share=share))
    return np.concatenate(chunks) if chunks else np.empty(0)


def expected_until(arrivals: ArrivalKind, at_s: Times) -> Times:
    """Return the area under the rate curve, by summing it in small steps: another way than the code's."""
    assert not isinstance(arrivals, Trace)
    knots = np.array(arrivals.knots(float(at_s.max(initial=1.0))))
    grid = np.linspace(0, max(float(at_s.max(initial=1.0)), 1e-9), 200_001)
    middles = (grid[1:] + grid[:-1]) / 2
    # At a jump the curve has two rates at one time; a middle is never exactly there.
    rates = np.interp(middles, knots[:, 0] + np.arange(len(knots)) * 1e-12, knots[:, 1])
    return np.asarray(np.interp(at_s, grid, np.concatenate(([0.0], np.cumsum(rates) * (grid[1] - grid[0])))))


@pytest.mark.slow
@given(arrivals=ARRIVALS, duration_s=SECONDS, seed=st.text(max_size=5))
def test_times_are_in_order_within_the_load_and_the_same_for_the_same_seed(
    arrivals: ArrivalKind, duration_s: float, seed: str
) -> None:
    """Law: 0 ≤ t₁ ≤ t₂ ≤ … < the end; a second look gives the same; the count is their count."""
    found = times(arrivals, duration_s, seed)
    assert (np.diff(found) >= 0).all()
    assert found.size == 0 or 0 <= found[0] <= found[-1] < duration_s
    assert (times(arrivals, duration_s, seed) == found).all()
    assert arrival_count(arrivals, duration_s, seed) == len(found)


@pytest.mark.slow
@given(arrivals=ARRIVALS, duration_s=SECONDS, workers=st.integers(1, 7))
def test_workers_together_offer_the_schedule_itself(arrivals: ArrivalKind, duration_s: float, workers: int) -> None:
    """Law: the shares of all workers are the schedule, each arrival once, and no two shares differ by more than one."""
    parts = [times(arrivals, duration_s, share=(index, workers)) for index in range(workers)]
    assert (np.sort(np.concatenate(parts)) == times(arrivals, duration_s)).all()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
@settings(max_examples=60)
@given(arrivals=ARRIVALS, duration_s=SECONDS)
def test_even_arrivals_follow_the_area_under_their_rate(arrivals: ArrivalKind, duration_s: float) -> None:
    """Law: up to the k-th arrival the curve promises k, give or take the phase and the grid of this sum."""
    assert not isinstance(arrivals, Trace)
    found = times(replace(arrivals, process=Process.EVEN), duration_s)
    if found.size:
        promised = expected_until(arrivals, found)
        assert np.abs(promised - np.arange(len(found)) - promised[0]).max() < 0.1
        assert promised[0] <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "arrivals",
    [
        Constant(rate_per_s=40.0),
        Ramp(from_per_s=0.0, to_per_s=80.0, over_s=100.0),
        Sine(mean_per_s=40.0, swing_per_s=40.0, period_s=10.0),
        Spike(rate_per_s=20.0, spike_per_s=200.0, at_s=40.0, for_s=10.0),
    ],
    ids=lambda arrivals: arrivals.kind,
)
def test_poisson_arrivals_are_a_poisson_process(arrivals: ArrivalKind) -> None:
    """Under the change of time they are a unit-rate process: gaps are exponential, their number has its variance."""
    gaps, counts = [], []
    for seed in range(60):
        found = times(arrivals, 100.0, str(seed))
        gaps.append(np.diff(expected_until(arrivals, found)))
        counts.append(len(found))
    every = np.concatenate(gaps)
    places = np.sort(1 - np.exp(-every))  # uniform when the gaps are exponential
    distance = np.abs(places - np.arange(1, len(places) + 1) / len(places)).max()
    assert distance < 1.95 / np.sqrt(len(places))  # Kolmogorov-Smirnov, 0.1 %
    mean = float(np.mean(counts))
    assert abs(mean - expected_until(arrivals, np.array([100.0]))[0]) < 4 * np.sqrt(mean / 60)
    assert 0.5 < np.var(counts) / mean < 1.7  # chi-square with 59 degrees of freedom, 0.1 % on either side


def test_seeds_and_scenarios_have_schedules_of_their_own() -> None:
    arrivals = Constant(rate_per_s=100.0)
    seeds = [schedule_seed(1, "query"), schedule_seed(2, "query"), schedule_seed(1, "transfer")]
    found = [times(arrivals, 10.0, seed) for seed in seeds]
    assert len({float(part[0]) for part in found}) == 3


def test_chunks_are_bounded_however_long_the_schedule_is() -> None:
    """A year of arrivals is made as it goes on."""
    stream = arrival_times(Constant(rate_per_s=1000.0), 31_622_400.0, "1")
    assert [len(next(stream)) <= CHUNK for _ in range(3)] == [True] * 3


@given(arrivals=ARRIVALS)
def test_round_trip(arrivals: ArrivalKind) -> None:
    """Law: reading what was written gives the same arrivals, bit by bit."""
    assert parse_arrivals(format_arrivals(arrivals)) == arrivals


@pytest.mark.parametrize(
    ("text", "arrivals"),
    [
        ("60", Constant(rate_per_s=60.0)),
        ("60;process=even", Constant(rate_per_s=60.0, process=Process.EVEN)),
        ("ramp;from_per_s=0;to_per_s=9;over_s=60", Ramp(from_per_s=0.0, to_per_s=9.0, over_s=60.0)),
        (
            "step;from_per_s=1;to_per_s=9;steps=4;every_s=60",
            Step(from_per_s=1.0, to_per_s=9.0, steps=4, every_s=60.0),
        ),
        ("trace;file=day.csv;speed=24", Trace(file="day.csv", speed=24.0)),
    ],
)
def test_the_written_form(text: str, arrivals: ArrivalKind) -> None:
    assert parse_arrivals(text) == arrivals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no kind of arrivals"),
        ("steady", "no kind of arrivals"),
        ("0", "expected more than 0"),
        ("nan", "rate_per_s"),
        ("60;fast", "expected name=value"),
        ("60;rate=5", "rate is not a known field"),
        ("60;process=odd", "expected 'even' or 'poisson'"),
        ("ramp;from_per_s=1", "over_s is missing"),
        ("sine;mean_per_s=5;swing_per_s=6", "expected at most the mean"),
    ],
)
def test_what_are_no_arrivals_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_arrivals(text)


@pytest.mark.parametrize(
    "content", ["0\n0.5\n2\n", "at_s\n0\n0.5\n2\n", "user,at_s\na,0\nb,0.5\nc,2\n", "0.0,a\n0.5,b\n2.0,c\n"]
)
def test_a_trace_is_replayed_at_its_speed(content: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content)
    assert times(Trace(file=str(path)), 10.0).tolist() == [0.0, 0.5, 2.0]
    assert times(Trace(file=str(path), speed=2.0), 0.9).tolist() == [0.0, 0.25]
    assert peak_rate_per_s(Trace(file=str(path)), 10.0) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no arrival"),
        ("at_s\n", "has no arrival"),
        ("0\nx\n", "line 2 is 'x'; expected seconds, 0 or more"),
        ("0\n-1\n", "line 2 is '-1'"),
        ("5\n4\n", "line 2 is '4'; expected seconds, 5 or more"),
        ("0\nnan\n", "line 2 is 'nan'"),
        ("user,at_s\na\n", "line 2 is ''"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(content)
    with pytest.raises(DocumentError, match=words):
        times(Trace(file=str(path)), 10.0)


def test_a_trace_that_is_not_there_is_told() -> None:
    with pytest.raises(DocumentError, match=r"nowhere\.csv: cannot be read"):
        times(Trace(file="nowhere.csv"), 10.0)


def test_peaks() -> None:
    assert peak_rate_per_s(Constant(rate_per_s=7.0), 60) == 7
    assert peak_rate_per_s(Spike(rate_per_s=7.0, spike_per_s=70.0, at_s=30.0, for_s=1.0), 60) == 70
    assert peak_rate_per_s(Spike(rate_per_s=7.0, spike_per_s=70.0, at_s=90.0, for_s=1.0), 60) == 7
