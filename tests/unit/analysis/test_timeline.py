"""The run in bins: each value is counted here once more by hand, and where nothing was measured there is nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from analysis.fault_story import tell_faults
from analysis.timeline import Panel, Series, Timeline, draw_timeline
from bundle import ErrorKind, FaultEventKind
from tests.bundles import (
    KILL,
    NODES,
    PART,
    PROVIDER,
    START_AT_S,
    SyntheticRun,
    event,
    failed,
    forget_events,
    healthy,
    healthy_by_the_rulebook,
    move_event,
    sample,
)


def draw(run: SyntheticRun, folder: Path) -> Timeline:
    opened = run.open(folder)
    timeline = draw_timeline(opened, tuple(tell_faults(opened)))
    assert timeline is not None
    return timeline


def series(timeline: Timeline, name: str) -> Series:
    [found] = [line for panel in timeline.panels for line in panel.series if line.name == name]
    return found


def by_bin(timeline: Timeline, name: str) -> dict[int, float]:
    """Return the values of a line by bin, without those that are missing."""
    points = series(timeline, name).points
    assert [x for x, _ in points] == [(number + 0.5) * timeline.bin_s for number in range(len(points))]
    return {number: y for number, (_, y) in enumerate(points) if not math.isnan(y)}


def only(*rows: dict[str, object]) -> SyntheticRun:
    run = healthy()
    run.samples[PART] = list(rows)
    return run


@pytest.mark.parametrize(
    ("load", "bin_s", "count"), [(24.0, 1.0, 30), (144.0, 1.0, 150), (146.0, 2.0, 76), (600.0, 5.0, 122)]
)
def test_bins_are_as_wide_as_it_takes_to_be_at_most_150(tmp_path: Path, load: float, bin_s: float, count: int) -> None:
    """The baseline takes 4 s, the drain 2 s: 30, 150, 152 and 606 s in all."""
    run = healthy()
    baseline, phase, drain = run.manifest.phases
    end = phase.start_at_s + load
    phases = (baseline, replace(phase, end_at_s=end), replace(drain, start_at_s=end, end_at_s=end + 2))
    run.manifest = replace(run.manifest, phases=phases)
    timeline = draw(run, tmp_path)
    assert timeline.bin_s == bin_s
    assert timeline.length_s == load + 6
    assert len(series(timeline, "offered").points) == count


def test_latency_is_the_quantile_of_each_bin_and_missing_where_nothing_ended(tmp_path: Path) -> None:
    """Of [1 … 4] s the P50 by "higher" is 3 s (place 1.5 of 0 to 3 goes up), the P95 4 s."""
    at_s = START_AT_S + 10
    rows = [sample(at_s + n / 10, "tx.confirm", "TX", 1000.0 * (n + 1)) for n in range(4)]
    rows.append(sample(at_s + 0.5, "tx.confirm", "TX", 60_000.0) | failed("unknown", ErrorKind.NOT_INCLUDED))
    rows.append(sample(at_s + 2.999, "tx.confirm", "TX", 250.0))
    timeline = draw(only(*rows), tmp_path)
    assert by_bin(timeline, "confirmation P50") == {10: 3.0, 12: 0.25}
    assert by_bin(timeline, "confirmation P95") == {10: 4.0, 12: 0.25}
    assert by_bin(timeline, "query P95") == {}


def test_queries_are_of_three_protocols(tmp_path: Path) -> None:
    at_s = START_AT_S + 10
    kinds = ("RPC", "REST", "GRPC", "HTTP", "TX", "WS")
    timeline = draw(only(*(sample(at_s + n, "x", kind, 500.0) for n, kind in enumerate(kinds))), tmp_path)
    assert by_bin(timeline, "query P95") == {10: 0.5, 11: 0.5, 12: 0.5}


def test_offered_is_counted_in_every_bin_and_zero_where_nothing_was(tmp_path: Path) -> None:
    timeline = draw(healthy(), tmp_path)
    assert by_bin(timeline, "offered") == {n: 8.0 if 4 <= n < 28 else 0.0 for n in range(30)}


def test_committed_is_counted_around_each_bin(tmp_path: Path) -> None:
    """By the header times of blocks, in five seconds around the middle of each bin."""
    run = healthy()
    times = {row["height"]: row["header_time_at_s"] - START_AT_S for row in run.blocks}
    moments = [times[row["height"]] for row in run.transactions]
    expected = {n: sum(n + 0.5 - 2.5 <= moment < n + 0.5 + 2.5 for moment in moments) / 5 for n in range(30)}
    assert by_bin(draw(run, tmp_path), "committed, mean of 5 s") == expected


def test_others_and_failed_transfers_are_not_committed(tmp_path: Path) -> None:
    run = healthy()
    for row in run.transactions:
        row["code"] = 5
    run.transactions += [row | {"code": 0, "tx_hash": f"other {n}"} for n, row in enumerate(run.transactions)]
    assert set(by_bin(draw(run, tmp_path), "committed, mean of 5 s").values()) == {0.0}


def test_block_intervals_are_dots_at_the_later_block(tmp_path: Path) -> None:
    run = healthy(halt=(12.0, 15.0))
    headers = sorted({(row["height"], row["header_time_at_s"] - START_AT_S) for row in run.blocks})
    expected = [(at, at - before) for (_, before), (_, at) in pairwise(headers) if 0 <= at <= 30]
    dots = series(draw(run, tmp_path), "time from block to block")
    assert dots.is_dots
    assert list(dots.points) == expected, "times are whole quarters: nothing is rounded"
    assert max(gap for _, gap in dots.points) == 4.0


def test_availability_is_the_share_of_looks_in_each_bin(tmp_path: Path) -> None:
    """The killed node refuses from 8.0625 to 12.1875: at 8.25, 8.5, 8.75, …, 12.0. One of four nodes is a quarter."""
    timeline = draw(healthy(), tmp_path)
    nodes = by_bin(timeline, "nodes up")
    assert nodes[7] == 100.0
    assert nodes[8] == pytest.approx(100 * 13 / 16), "3 of 16 looks"
    assert nodes[9] == nodes[10] == nodes[11] == 75.0
    assert nodes[12] == pytest.approx(100 * 15 / 16)
    assert nodes[13] == 100.0
    assert set(by_bin(timeline, "providers up").values()) == {100.0}


def test_queries_answered_leave_out_what_is_no_fault_of_the_service(tmp_path: Path) -> None:
    at_s = START_AT_S + 10
    kinds = [ErrorKind.SERVER_ERROR, ErrorKind.CLIENT_ERROR, ErrorKind.BACK_PRESSURE, ErrorKind.NOT_SENT]
    rows = [sample(at_s, "rpc.x", "RPC", 5.0)]
    rows += [sample(at_s, "rpc.x", "RPC", 5.0) | failed("fail", kind) for kind in kinds]
    rows.append(sample(at_s + 1, "rpc.x", "RPC", 5.0) | failed("fail", ErrorKind.CLIENT_ERROR))
    assert by_bin(draw(only(*rows), tmp_path), "queries answered") == {10: 50.0}


def test_nobody_looked_and_nothing_is_drawn(tmp_path: Path) -> None:
    run = healthy()
    run.probes = [row for row in run.probes if row["endpoint"] != PROVIDER]
    timeline = draw(run, tmp_path)
    assert by_bin(timeline, "providers up") == {}
    assert len(series(timeline, "providers up").points) == 30


# --- spans ---


def assert_within(timeline: Timeline) -> None:
    for span in (*timeline.phases, *timeline.faults, *timeline.recoveries):
        assert 0 <= span.start_s <= span.end_s <= timeline.length_s, span


def test_spans_of_a_healthy_run(tmp_path: Path) -> None:
    timeline = draw(healthy(), tmp_path)
    assert [(span.name, span.start_s, span.end_s) for span in timeline.phases] == [
        ("baseline", 0.0, 4.0),
        ("load", 4.0, 28.0),
        ("drain", 28.0, 30.0),
    ]
    [fault] = timeline.faults
    assert (fault.name, fault.start_s, fault.end_s) == (f"process.kill {NODES[3]}", KILL.applied, KILL.healed)
    [recovery] = timeline.recoveries
    assert (recovery.start_s, recovery.end_s) == (KILL.healed, 14.25)
    assert_within(timeline)


def test_spans_of_several_faults(tmp_path: Path) -> None:
    timeline = draw(healthy_by_the_rulebook(), tmp_path)
    assert len(timeline.faults) == len(timeline.recoveries) == 3
    assert_within(timeline)


def test_a_fault_that_was_never_undone_lasts_to_the_end(tmp_path: Path) -> None:
    run = healthy()
    forget_events(run, FaultEventKind.HEALED, FaultEventKind.HEAL_SEEN)
    timeline = draw(run, tmp_path)
    assert [(span.start_s, span.end_s) for span in timeline.faults] == [(KILL.applied, 30.0)]
    assert timeline.recoveries == ()


def test_a_recovery_that_never_came_lasts_to_the_end(tmp_path: Path) -> None:
    run = healthy()
    for row in run.probes:
        if row["endpoint"] == NODES[3] and row["at_s"] >= START_AT_S + KILL.healed:
            row["ok"] = False
    timeline = draw(run, tmp_path)
    assert [(span.start_s, span.end_s) for span in timeline.recoveries] == [(KILL.healed, 30.0)]


def test_a_fault_that_was_not_applied_is_not_drawn(tmp_path: Path) -> None:
    run = healthy()
    run.faults = [event(KILL, FaultEventKind.PLANNED, 8.0, lease="a")]
    assert draw(run, tmp_path).faults == ()


def test_an_undo_after_the_end_stays_within(tmp_path: Path) -> None:
    """The conductor heals what is open when the run is over."""
    run = healthy()
    move_event(run, FaultEventKind.HEALED, 33.0)
    timeline = draw(run, tmp_path)
    assert [(span.start_s, span.end_s) for span in timeline.faults] == [(KILL.applied, 30.0)]
    assert_within(timeline)


def test_a_fault_from_before_the_baseline_stays_within(tmp_path: Path) -> None:
    run = healthy()
    move_event(run, FaultEventKind.PLANNED, -3.0)
    move_event(run, FaultEventKind.APPLIED, -2.0)
    assert_within(draw(run, tmp_path))


def test_a_phase_that_has_not_ended_lasts_as_long_as_anybody_watched(tmp_path: Path) -> None:
    """The conductor died in the load: what the observers and the load wrote until then is drawn, and the fault too."""
    run = healthy()
    baseline, load, _ = run.manifest.phases
    run.manifest = replace(run.manifest, phases=(baseline, replace(load, end_at_s=None)))
    run.probes = [row for row in run.probes if row["at_s"] <= START_AT_S + 11]
    run.blocks = [row for row in run.blocks if row["observed_at_s"] <= START_AT_S + 10.5]
    run.samples[PART] = [row for row in run.rows if row["intended_at_s"] <= START_AT_S + 10]
    timeline = draw(run, tmp_path)
    assert timeline.length_s == 11.0
    assert [(span.start_s, span.end_s) for span in timeline.faults] == [(KILL.applied, 11.0)]
    assert by_bin(timeline, "offered")[9] == 8.0
    assert_within(timeline)


def test_a_run_without_a_phase_has_no_timeline(tmp_path: Path) -> None:
    run = healthy()
    run.manifest = replace(run.manifest, phases=())
    opened = run.open(tmp_path)
    assert draw_timeline(opened, tuple(tell_faults(opened))) is None


@pytest.mark.parametrize("left", ["nothing", "blocks", "probes", "samples"])
def test_a_run_without_tables_has_an_empty_timeline(tmp_path: Path, left: str) -> None:
    run = healthy(faults=())
    tables = {"samples", "blocks", "transactions", "supply", "balances", "probes", "resources"}
    run.left_out |= tables - {left}
    timeline = draw(run, tmp_path)
    assert len(timeline.panels) == 4
    assert all(isinstance(panel, Panel) for panel in timeline.panels)
    if left == "nothing":
        drawn = [y for panel in timeline.panels for line in panel.series for _, y in line.points if not math.isnan(y)]
        assert set(drawn) <= {0.0}
