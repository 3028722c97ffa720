"""Plans: the two models of a load, and scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle import DocumentError
from gamedays.plan import load_plan, shipped_levels
from loadtests.arrivals import Constant, Process, Ramp, Trace, arrival_count, schedule_seed
from loadtests.load_text import ClosedLoad, OpenLoad

TOP = """
name = "p"
title = "P"
hypothesis = "H"
load_s = 60
budgets = ["PB-L-02", "PB-T-01"]
"""
CLOSED = """
[[load]]
scenario = "query"
users = 20
rate_per_user_per_s = 3
"""
OPEN = """
[[load]]
scenario = "transfer"
arrivals = { kind = "constant", rate_per_s = 40 }
"""


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def problems(path: Path, **scales: float) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_plan(path, **scales)
    return [str(problem) for problem in caught.value.problems]


def test_each_model_resolves_to_what_locust_gets(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, TOP + CLOSED + OPEN))
    assert plan.loads == (
        ClosedLoad(users=20, rate_per_user_per_s=3.0),
        OpenLoad(users=80, arrivals=Constant(rate_per_s=40.0)),  # what two seconds bring
    )


def test_a_run_is_held_to_the_arrivals_of_its_own_seed(tmp_path: Path) -> None:
    """Poisson arrivals are not exactly rate times time; the manifest says how many there will be."""
    plan = load_plan(plan_file(tmp_path, "seed = 7" + TOP + CLOSED + OPEN))
    query, transfer = plan.expected_loads()
    assert (query.rate_per_s, query.is_open, query.users) == (60.0, False, 20)
    count = arrival_count(Constant(rate_per_s=40.0), 60.0, schedule_seed(7, "transfer"))
    assert (round(transfer.rate_per_s * 60), transfer.is_open) == (count, True)
    assert count != 2400
    [submit, confirm] = transfer.operations
    assert submit.rate_per_s == confirm.rate_per_s == transfer.rate_per_s


def test_a_trace_lies_beside_its_plan(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("at_s\n0\n1\n1.5\n")
    load = """
[[load]]
scenario = "query"
arrivals = { kind = "trace", file = "day.csv" }
"""
    plan = load_plan(plan_file(tmp_path, TOP + load))
    assert plan.loads == (OpenLoad(users=10, arrivals=Trace(file=str(tmp_path / "day.csv"))),)
    assert round(plan.expected_loads()[0].rate_per_s * 60) == 3


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ("", "has neither users nor arrivals"),
        ("users = 1\narrivals = { kind = 'constant', rate_per_s = 1 }", "has both users and arrivals"),
        ("users = 1\nin_flight = 2", "has in_flight without arrivals"),
        (
            "rate_per_user_per_s = 2\narrivals = { kind = 'constant', rate_per_s = 1 }",
            "which have their own rate; expected in_flight",
        ),
        ("arrivals = { kind = 'steady', rate_per_s = 1 }", "arrivals.kind is 'steady'; expected one of 'constant', "),
        ("arrivals = { rate_per_s = 1 }", "arrivals.kind is missing"),
        ("arrivals = 60", "arrivals is 60; expected a table"),
        ("arrivals = { kind = 'constant', rate_per_s = 0 }", "rate_per_s is 0"),
        ("arrivals = { kind = 'trace', file = 'nowhere.csv' }", "nowhere.csv cannot be read"),
        (
            "arrivals = { kind = 'spike', rate_per_s = 1e-9, spike_per_s = 1.0, at_s = 70.0, for_s = 1.0 }",
            "have no arrival in the load's time",
        ),
    ],
)
def test_what_is_no_load_is_told_with_its_place(load: str, words: str, tmp_path: Path) -> None:
    found = problems(plan_file(tmp_path, f'{TOP}[[load]]\nscenario = "query"\n{load}\n'))
    assert len(found) == 1
    assert found[0].startswith("load[0]")
    assert words in found[0]


def test_subscribers_do_not_arrive(tmp_path: Path) -> None:
    load = '[[load]]\nscenario = "websocket"\narrivals = { kind = "constant", rate_per_s = 1 }\n'
    assert "whose users only listen" in problems(plan_file(tmp_path, TOP + load))[0]


def test_scales_multiply_rates_users_times_and_rate_budgets(tmp_path: Path) -> None:
    ramp = """
[[load]]
scenario = "transfer"
in_flight = 100
arrivals = { kind = "ramp", from_per_s = 10, to_per_s = 50, over_s = 20, process = "even" }
"""
    path = plan_file(tmp_path, f"warm_up_s = 20{TOP}{CLOSED}{ramp}")
    plan = load_plan(path, rate_scale=0.1, time_scale=0.5)
    assert (plan.file.load_s, plan.file.warm_up_s) == (30, 10)
    assert plan.loads == (
        ClosedLoad(users=2, rate_per_user_per_s=3.0),
        OpenLoad(users=10, arrivals=Ramp(from_per_s=1.0, to_per_s=5.0, over_s=10.0, process=Process.EVEN)),
    )
    latency, throughput = plan.budgets
    assert (latency.limit, throughput.limit) == (10_000, 5)
    assert "scaled by 0.1" in throughput.note
    assert "scaled" not in latency.note


def test_a_plan_as_run_says_its_scales_and_gives_the_same_again(tmp_path: Path) -> None:
    scaled = load_plan(plan_file(tmp_path, TOP + CLOSED + OPEN), rate_scale=0.25, time_scale=2.0)
    again = load_plan(plan_file(tmp_path, scaled.text))
    assert (again.file, again.loads, again.budgets, again.text) == (
        scaled.file,
        scaled.loads,
        scaled.budgets,
        scaled.text,
    )
    assert "has rate_scale = 0.25 already" in problems(tmp_path / "plan.toml", rate_scale=0.5)[0]


def test_scales_that_lead_out_of_bounds_are_refused(tmp_path: Path) -> None:
    path = plan_file(tmp_path, TOP + OPEN.replace("40", "90000"))
    assert "expected at most 100000" in problems(path, rate_scale=2.0)[0]
    fault = '[[fault]]\nexperiment = "validator_kill"\ntargets = ["v"]\nat_s = 1\nhold_s = 1\n'
    path = plan_file(tmp_path, TOP + CLOSED + fault)
    assert "time_scale and faults" in problems(path, time_scale=2.0)[0]


@pytest.mark.parametrize("path", shipped_levels(), ids=lambda path: path.stem)
def test_a_level_offers_what_it_must_show(path: Path) -> None:
    """After its warm-up a level's rate is above every throughput that it is judged by, and it has no fault."""
    plan = load_plan(path)
    assert plan.file.name == path.stem
    assert plan.file.fault == ()
    load = plan.loads[0]  # the one that a throughput budget is about
    assert isinstance(load, OpenLoad)
    rates = [rate for at_s, rate in load.arrivals.knots(plan.file.load_s) if at_s >= plan.file.warm_up_s]  # type: ignore[union-attr]
    limits = [budget.limit for budget in plan.budgets if budget.unit.endswith("/s")]
    assert all(rate > limit for rate in rates for limit in limits)
