"""Availability of time and of requests, from planted looks and planted answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.budget import WindowName
from bundle import ErrorKind, FaultEventKind
from tests.bundles import (
    KILL,
    NODES,
    PART,
    PROVIDER,
    PROVIDER_KILL,
    Row,
    SyntheticRun,
    failed,
    forget_events,
    healthy,
    probe,
    sample,
)
from tests.unit.analysis.scenes import counts, evidence, figures, is_nothing, observe

RUN = WindowName.RUN
REFUSED_S = 0.0005  # how long a refused look of the synthetic run takes


def watched(looks: list[tuple[float, bool, float]], *, kind: str = "node", endpoint: str = NODES[0]) -> SyntheticRun:
    """Return a run with one endpoint and these looks: (seconds after the start, healthy, seconds that it took)."""
    run = healthy(faults=())
    run.probes = [probe(at, endpoint, kind, "health", ok=ok, latency_ms=took * 1000) for at, ok, took in looks]
    return run


def steadily(start: float, end: float, step: float, down: set[float], took: float) -> list[tuple[float, bool, float]]:
    moments = [start + number * step for number in range(round((end - start) / step))]
    return [(moment, moment not in down, took if moment in down else 0.001) for moment in moments]


def test_always_healthy_leaves_one_step_in_doubt(tmp_path: Path) -> None:
    """[0, 30) at quarters of a second, four nodes: one outage that is shorter than a step may be unseen."""
    value, low, high = figures(observe(healthy(faults=()), tmp_path, "node.availability", RUN))
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(1 - 0.25 / (4 * 30))


def test_a_probe_that_takes_a_second_counts_for_its_second(tmp_path: Path) -> None:
    """Half a second apart; the look at 10 hangs until 11. Down for 1 s of 30, whatever share of the looks that is."""
    looks = [*steadily(0, 10, 0.5, set(), 0), (10.0, False, 1.0), *steadily(11, 30, 0.5, set(), 0)]
    observation = observe(watched(looks), tmp_path, "node.availability", RUN)
    value, low, high = figures(observation)
    assert value == pytest.approx(29 / 30)
    assert high == pytest.approx(29 / 30), "it was down for the whole look"
    # It may have gone down right after the look before (0.5 s), and an outage of a step may be unseen (0.5 s).
    assert low == pytest.approx(1 - (1.0 + 0.5 + 0.5) / 30)
    assert evidence(observation) == [("probes.parquet", 20)]


def test_an_outage_is_down_from_its_first_failed_look_to_its_last(tmp_path: Path) -> None:
    """Refused at 10.0, 10.5, …, 14.5, each in half a millisecond, and up again at 15: down for 4.5 to 5.5 s.

    That it was up between two refusals is no more likely than that it was down between two answers.
    """
    down = {10 + number / 2 for number in range(10)}
    looks = steadily(0, 30, 0.5, down, REFUSED_S)
    value, low, high = figures(observe(watched(looks), tmp_path, "node.availability", RUN))
    assert value == pytest.approx(1 - 5 / 30)
    assert high == pytest.approx(1 - (4.5 + REFUSED_S) / 30)
    assert low == pytest.approx(1 - (5.5 + 0.5) / 30)


def test_two_outages_are_two(tmp_path: Path) -> None:
    looks = steadily(0, 30, 0.5, {5.0, 20.0, 20.5}, REFUSED_S)
    value, low, high = figures(observe(watched(looks), tmp_path, "node.availability", RUN))
    assert value == pytest.approx(1 - 1.5 / 30)
    assert high == pytest.approx(1 - (REFUSED_S + 0.5 + REFUSED_S) / 30)
    assert low == pytest.approx(1 - (1.0 + 1.5 + 0.5) / 30)


def test_endpoints_count_together_each_by_its_own_looks(tmp_path: Path) -> None:
    """One node is down for 2 s of 30, the other for none: 2 of 60."""
    run = watched(steadily(0, 30, 0.5, {10.0, 10.5, 11.0, 11.5}, REFUSED_S))
    run.probes += watched(steadily(0, 30, 0.25, set(), 0), endpoint=NODES[1]).probes
    assert figures(observe(run, tmp_path, "node.availability", RUN))[0] == pytest.approx(1 - 2 / 60)


def test_looks_outside_the_window_do_not_count(tmp_path: Path) -> None:
    """The load is [4, 28); the outages at 2 and at 28.5 are outside."""
    looks = steadily(0, 30, 0.5, {2.0, 28.5}, REFUSED_S)
    assert figures(observe(watched(looks), tmp_path, "node.availability"))[0] == 1.0


def test_a_node_under_its_own_fault_does_not_count(tmp_path: Path) -> None:
    run = healthy()
    refusals = [row for row in run.probes if row["probe"] == "health" and row["kind"] == "node" and not row["ok"]]
    assert refusals, "the killed node did refuse"
    assert figures(observe(run, tmp_path, "node.availability", RUN))[0] == 1.0


def test_a_node_is_not_excused_by_the_fault_of_another(tmp_path: Path) -> None:
    """validator-0 is down for 2 s while validator-3 is under its fault."""
    run = healthy()
    down = {KILL.at + number / 4 for number in range(8)}
    for row in run.probes:
        if row["endpoint"] == NODES[0] and row["kind"] == "node" and row["probe"] == "health":
            row["ok"] = row["at_s"] - (run.load_start_at_s - run.shape.baseline) not in down
    value = figures(observe(run, tmp_path, "node.availability", RUN))[0]
    # Three nodes for 30 s each, and the fourth without [8, its first look on a par again).
    fourth = 30 - (14.25 - KILL.at)
    assert value == pytest.approx(1 - 2 / (90 + fourth))


def test_a_node_that_never_recovers_is_excused_to_the_end(tmp_path: Path) -> None:
    """Its recovery budget fails; the same time is not held against availability as well."""
    run = healthy()
    forget_events(run, FaultEventKind.HEALED, FaultEventKind.HEAL_SEEN)
    for row in run.probes:
        if row["endpoint"] == NODES[3] and row["at_s"] > run.load_start_at_s + KILL.at:
            row["ok"] = False
    assert figures(observe(run, tmp_path, "node.availability", RUN))[0] == 1.0


def test_a_fault_that_was_never_applied_excuses_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.faults = [event for event in run.faults if event.event is FaultEventKind.PLANNED]
    refused = sum(
        not row["ok"]
        for row in run.probes
        if row["endpoint"] == NODES[3] and row["kind"] == "node" and row["probe"] == "health"
    )
    value = figures(observe(run, tmp_path, "node.availability", RUN))[0]
    assert value == pytest.approx(1 - refused * 0.25 / 120)


@pytest.mark.parametrize(
    ("indicator", "kind"),
    [("node.availability", "node"), ("provider.availability", "provider"), ("api.uptime", "api")],
)
def test_each_kind_is_counted_apart(tmp_path: Path, indicator: str, kind: str) -> None:
    run = watched(steadily(0, 30, 0.5, {10.0, 10.5, 11.0}, REFUSED_S), kind=kind)
    others = {"node", "provider", "api"} - {kind}
    for other in sorted(others):
        run.probes += watched(steadily(0, 30, 0.5, {5.0}, REFUSED_S), kind=other).probes
    assert figures(observe(run, tmp_path, indicator, RUN))[0] == pytest.approx(1 - 1.5 / 30)


@pytest.mark.parametrize("indicator", ["node.availability", "provider.availability", "api.uptime"])
def test_what_nobody_looked_at_is_nothing(tmp_path: Path, indicator: str) -> None:
    run = healthy()
    run.probes = [row for row in run.probes if row["probe"] != "health"]
    assert is_nothing(observe(run, tmp_path / "a", indicator, RUN))
    only_before = healthy()
    only_before.probes = [row for row in only_before.probes if row["at_s"] < only_before.load_start_at_s]
    assert is_nothing(observe(only_before, tmp_path / "b", indicator, WindowName.LOAD))


def asked(*hows: Row) -> SyntheticRun:
    """Return a run with three answered queries and one of each of these."""
    run = healthy()
    at_s = run.load_start_at_s
    rows = [sample(at_s, name, kind, 2.0) for name, kind in (("rpc.x", "RPC"), ("rest.x", "REST"), ("grpc.x", "GRPC"))]
    rows += [sample(at_s + 1, "rest.x", "REST", 2.0) | how for how in hows]
    # Neither transactions nor messages nor the provider's portal are API requests.
    rows += [sample(at_s, name, name, 2.0) | failed("fail", ErrorKind.SERVER_ERROR) for name in ("TX", "WS", "HTTP")]
    run.samples[PART] = rows
    return run


@pytest.mark.parametrize(
    "kind",
    [ErrorKind.SERVER_ERROR, ErrorKind.BAD_ANSWER, ErrorKind.REFUSED, ErrorKind.BROKEN, ErrorKind.TIMEOUT],
)
def test_what_the_service_did_not_answer_counts_against_it(tmp_path: Path, kind: ErrorKind) -> None:
    outcome = "unknown" if kind in (ErrorKind.TIMEOUT, ErrorKind.BROKEN) else "fail"
    run = asked(failed(outcome, kind))
    available, broken = (
        observe(run, tmp_path / "a", "api.availability"),
        observe(run, tmp_path / "b", "api.error_ratio"),
    )
    assert counts(available) == (3, 4)
    assert counts(broken) == (1, 4)
    assert evidence(available) == evidence(broken) == [(f"samples/{PART}.parquet", 3)]


@pytest.mark.parametrize("kind", [ErrorKind.CLIENT_ERROR, ErrorKind.BACK_PRESSURE, ErrorKind.NOT_SENT])
def test_4xx_and_back_pressure_are_out_of_both_sides(tmp_path: Path, kind: ErrorKind) -> None:
    run = asked(failed("fail", kind), failed("fail", kind))
    assert counts(observe(run, tmp_path / "a", "api.availability")) == (3, 3)
    assert counts(observe(run, tmp_path / "b", "api.error_ratio")) == (0, 3)


@pytest.mark.parametrize("indicator", ["api.availability", "api.error_ratio"])
def test_no_query_is_nothing(tmp_path: Path, indicator: str) -> None:
    run = asked(failed("fail", ErrorKind.CLIENT_ERROR))
    run.samples[PART] = run.rows[3:]
    assert is_nothing(observe(run, tmp_path, indicator))


def test_provider_excused_during_its_kill(tmp_path: Path) -> None:
    run = healthy(faults=(replace(PROVIDER_KILL, at=8.0),))
    assert any(not row["ok"] for row in run.probes if row["endpoint"] == PROVIDER)
    assert figures(observe(run, tmp_path, "provider.availability", RUN))[0] == 1.0
