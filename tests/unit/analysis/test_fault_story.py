"""What became of each fault, and how long recovery took, by looks that are counted one by one here."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.budget import WindowName
from analysis.fault_story import FaultStory, tell_faults
from bundle import FaultEventKind
from tests.bundles import (
    KILL,
    NODES,
    PARTITION,
    PROVIDER_KILL,
    START_AT_S,
    FaultSpec,
    Row,
    SyntheticRun,
    event,
    forget_events,
    healthy,
    move_event,
)
from tests.unit.analysis.scenes import figures, is_nothing, observe

STEP = 0.25  # between two looks of the small run
VICTIM = NODES[3]
INF = math.inf


def story(run: SyntheticRun, folder: Path) -> FaultStory:
    [found] = tell_faults(run.open(folder))
    return found


def status_of(run: SyntheticRun, node: str, since: float = -INF) -> list[Row]:
    """Return the rows of a node's status looks from a moment on."""
    return [
        row
        for row in run.probes
        if row["endpoint"] == node and row["probe"] == "status" and row["at_s"] >= START_AT_S + since
    ]


def next_look(moment: float) -> float:
    """Return the first look at or after a moment: looks are at whole quarters of a second."""
    return math.ceil(moment / STEP) * STEP


def recovery(found: FaultStory) -> tuple[float, float]:
    assert found.target_recovery is not None
    return found.target_recovery.low_s, found.target_recovery.high_s


def test_a_story_has_every_step_of_the_journal(tmp_path: Path) -> None:
    found = story(healthy(), tmp_path)
    steps = (found.planned_at_s, found.applied_at_s, found.effect_at_s, found.healed_at_s, found.heal_seen_at_s)
    assert steps == tuple(
        START_AT_S + moment for moment in (KILL.at, KILL.applied, KILL.effect, KILL.healed, KILL.recovered + 0.25)
    )
    assert (found.fault, found.targets) == ("process.kill", (VICTIM,))
    assert (found.effect, found.healing, found.problems) == (f"{VICTIM}: gone", f"{VICTIM}: back", ())
    assert found.proved
    assert found.held_s == KILL.healed - KILL.applied


def test_recovery_is_from_the_undo_to_the_first_look_on_a_par(tmp_path: Path) -> None:
    back = next_look(KILL.recovered)
    assert recovery(story(healthy(), tmp_path)) == (back - STEP - KILL.healed, back - KILL.healed)


def test_a_node_that_answers_and_is_behind_has_not_recovered(tmp_path: Path) -> None:
    """From its undo to 20 it is two blocks behind the highest, says that it is not catching up, and is healthy."""
    run = healthy()
    others = {row["at_s"]: row["height"] for row in status_of(run, NODES[0])}
    for row in status_of(run, VICTIM, KILL.healed):
        row["catching_up"] = False
        if row["at_s"] < START_AT_S + 20:
            row["height"] = others[row["at_s"]] - 2
    assert recovery(story(run, tmp_path)) == (20 - STEP - KILL.healed, 20 - KILL.healed)


def test_a_node_that_is_one_block_behind_is_on_a_par(tmp_path: Path) -> None:
    """Nodes are looked at one after the other: one block may have come in between."""
    run = healthy()
    others = {row["at_s"]: row["height"] for row in status_of(run, NODES[0])}
    looks = status_of(run, VICTIM, KILL.healed)
    for row in looks:
        row["catching_up"], row["height"] = False, others[row["at_s"]] - 1
    moved = next(row["at_s"] for row in looks if row["height"] > looks[0]["height"])
    assert recovery(story(run, tmp_path))[1] == moved - START_AT_S - KILL.healed


def test_a_node_that_is_catching_up_has_not_recovered(tmp_path: Path) -> None:
    run = healthy()
    for row in status_of(run, VICTIM, KILL.healed):
        row["catching_up"] = row["at_s"] < START_AT_S + 22
    assert recovery(story(run, tmp_path)) == (22 - STEP - KILL.healed, 22 - KILL.healed)


def test_a_node_that_stands_at_the_height_of_the_others_has_not_moved(tmp_path: Path) -> None:
    """The chain stands still from 9 to 18: a height on a par may be left over from before. The next block tells."""
    run = healthy(halt=(9.0, 18.0))
    others = {row["at_s"]: row["height"] for row in status_of(run, NODES[0])}
    looks = status_of(run, VICTIM, KILL.healed)
    for row in looks:
        row["catching_up"], row["height"] = False, others[row["at_s"]]
    moved = next(row["at_s"] for row in looks if row["height"] > looks[0]["height"])
    assert moved > START_AT_S + 18
    assert recovery(story(run, tmp_path))[1] == moved - START_AT_S - KILL.healed


def test_a_node_that_never_comes_back_takes_for_ever(tmp_path: Path) -> None:
    """What is known is that it had not recovered by the last look."""
    run = healthy()
    looks = status_of(run, VICTIM, KILL.healed)
    for row in looks:
        row.update(ok=False, height=None, catching_up=None)
    found = story(run, tmp_path)
    assert recovery(found) == (looks[-1]["at_s"] - START_AT_S - KILL.healed, INF)
    assert found.disturbed(run.load_end_at_s) == (START_AT_S + KILL.at, run.load_end_at_s)


def test_a_node_that_nobody_looked_at_afterwards_may_have_recovered_at_once(tmp_path: Path) -> None:
    run = healthy()
    run.probes = [row for row in run.probes if row["at_s"] < START_AT_S + KILL.healed]
    assert recovery(story(run, tmp_path)) == (0.0, INF)


def test_a_provider_has_recovered_when_it_is_healthy(tmp_path: Path) -> None:
    spec = replace(PROVIDER_KILL, at=8.0, recovery=3.1)
    back = next_look(spec.recovered)
    found = story(healthy(faults=(spec,)), tmp_path)
    assert recovery(found) == (back - STEP - spec.healed, back - spec.healed)


def test_the_slowest_of_several_targets_counts(tmp_path: Path) -> None:
    spec = replace(KILL, targets=(NODES[2], NODES[3]))
    run = healthy(faults=(spec,))
    for row in status_of(run, NODES[2], spec.healed):
        row["catching_up"] = row["at_s"] < START_AT_S + 21
    assert recovery(story(run, tmp_path))[1] == 21 - spec.healed


def test_chain_recovery_is_from_the_undo_to_the_next_block(tmp_path: Path) -> None:
    run = healthy()
    observed = min(row["observed_at_s"] for row in run.blocks if row["observed_at_s"] > START_AT_S + KILL.healed)
    took = observed - START_AT_S - KILL.healed
    found = story(run, tmp_path).chain_recovery
    assert found is not None
    assert (found.low_s, found.high_s) == (took - STEP, took)


def test_old_blocks_that_are_fetched_late_are_no_recovery_of_the_chain(tmp_path: Path) -> None:
    """The chain stands still from 9 to 20; the killed node fetches what it missed at 14.19, which is nothing new."""
    run = healthy(halt=(9.0, 20.0))
    height = max(row["height"] for row in run.blocks if row["observed_at_s"] < START_AT_S + 9.5)
    [late] = [row for row in run.blocks if row["height"] == height and row["node"] == VICTIM]
    late["observed_at_s"] = START_AT_S + KILL.recovered
    found = story(run, tmp_path).chain_recovery
    assert found is not None
    assert found.high_s == 20.0625 - KILL.healed


def test_a_chain_that_never_goes_on_takes_for_ever(tmp_path: Path) -> None:
    run = healthy()
    run.blocks = [row for row in run.blocks if row["observed_at_s"] < START_AT_S + KILL.healed]
    found = story(run, tmp_path)
    assert found.chain_recovery is not None
    assert found.chain_recovery.value_s == INF
    assert found.disturbed(run.load_end_at_s) == (START_AT_S + KILL.at, run.load_end_at_s)


@pytest.mark.parametrize("halt", [None, (9.0, 11.0), (9.0, 16.0)])
def test_the_longest_gap_is_that_which_touches_the_fault(tmp_path: Path, halt: tuple[float, float] | None) -> None:
    """Commits are at whole seconds; the last before the halt is at 8."""
    found = story(healthy(halt=halt), tmp_path)
    assert found.longest_block_gap_s == (1.0 if halt is None else halt[1] - 8)


def test_disturbed_is_from_the_plan_to_the_later_of_both_recoveries(tmp_path: Path) -> None:
    target_last = story(healthy(), tmp_path / "target")
    assert target_last.disturbed(INF) == (START_AT_S + KILL.at, START_AT_S + next_look(KILL.recovered))
    chain_last = story(healthy(halt=(9.0, 20.0), faults=(replace(KILL, recovery=0.1),)), tmp_path / "chain")
    assert chain_last.target_recovery is not None
    start, end = chain_last.disturbed(INF)
    assert start == START_AT_S + KILL.at
    assert end >= START_AT_S + 20
    assert chain_last.disturbed(START_AT_S + 10)[1] == START_AT_S + 10, "no longer than the run"


def test_a_fault_that_was_not_applied_disturbs_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.faults = [
        event(KILL, FaultEventKind.PLANNED, 8.0, lease="a"),
        event(KILL, FaultEventKind.FAILED, 8.1, lease="a", evidence="not applied: no such process"),
    ]
    found = story(run, tmp_path)
    assert found.problems == ("not applied: no such process",)
    assert found.held_s is None
    assert not found.proved
    start, end = found.disturbed(run.load_end_at_s)
    assert start == end


def test_a_fault_that_was_never_undone_is_held_for_ever(tmp_path: Path) -> None:
    run = healthy()
    forget_events(run, FaultEventKind.HEALED, FaultEventKind.HEAL_SEEN)
    found = story(run, tmp_path)
    assert found.held_s == INF
    assert (found.target_recovery, found.chain_recovery) == (None, None)
    assert found.disturbed(run.load_end_at_s) == (START_AT_S + KILL.at, run.load_end_at_s)


def test_an_undo_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    run = healthy()
    [healed] = [item for item in run.faults if item.event is FaultEventKind.HEALED]
    run.faults.append(replace(healed, at_s=healed.at_s + 9))
    assert story(run, tmp_path).healed_at_s == healed.at_s


def test_leases_are_told_apart_in_the_order_of_their_plans(tmp_path: Path) -> None:
    later = replace(KILL, at=16.0, targets=(NODES[1],))
    found = tell_faults(healthy(faults=(KILL, later)).open(tmp_path))
    assert [item.targets for item in found] == [(NODES[3],), (NODES[1],)]


def test_a_run_without_a_journal_has_no_story(tmp_path: Path) -> None:
    assert tell_faults(healthy(faults=()).open(tmp_path)) == []


def test_a_lease_without_targets_breaks_nothing(tmp_path: Path) -> None:
    """A journal that somebody else wrote may hold one; it has nothing to recover."""
    found = story(healthy(faults=(replace(KILL, targets=()),)), tmp_path)
    assert found.targets == ()
    assert found.target_recovery is None


# --- the recovery indicators ---

KINDS = [
    ("recovery.node", KILL),
    ("recovery.node", replace(KILL, fault="process.pause", experiment="validator_pause")),
    ("recovery.partition", replace(PARTITION, at=8.0, hold=4.0)),
    ("recovery.provider", replace(PROVIDER_KILL, at=8.0)),
]


@pytest.mark.parametrize(("indicator", "spec"), KINDS)
def test_each_kind_of_recovery_is_of_its_own_faults(tmp_path: Path, indicator: str, spec: FaultSpec) -> None:
    run = healthy(faults=(spec,))
    back = next_look(spec.recovered)
    value, low, high = figures(observe(run, tmp_path / "own", indicator, WindowName.RUN))
    assert (value, low, high) == (back - spec.healed, back - STEP - spec.healed, back - spec.healed)
    others = {"recovery.node", "recovery.partition", "recovery.provider"} - {indicator}
    for other in sorted(others):
        assert is_nothing(observe(run, tmp_path / other, other, WindowName.RUN))


def test_the_slowest_fault_of_a_kind_counts(tmp_path: Path) -> None:
    slow = replace(KILL, at=18.0, targets=(NODES[1],), recovery=4.0)
    run = healthy(faults=(KILL, slow))
    assert figures(observe(run, tmp_path, "recovery.node"))[0] == next_look(slow.recovered) - slow.healed


def test_chain_recovery_is_of_every_fault(tmp_path: Path) -> None:
    spec = replace(PROVIDER_KILL, at=8.0)
    observed = 13.0625  # the commits are at whole seconds; the undo is at 12.1875
    assert figures(observe(healthy(faults=(spec,)), tmp_path, "recovery.chain"))[0] == observed - spec.healed


@pytest.mark.parametrize("indicator", ["recovery.node", "recovery.partition", "recovery.provider", "recovery.chain"])
def test_no_recovery_where_nothing_was_undone(tmp_path: Path, indicator: str) -> None:
    assert is_nothing(observe(healthy(faults=()), tmp_path / "none", indicator))
    never_undone = healthy(faults=tuple(spec for name, spec in KINDS if name == indicator) or (KILL,))
    forget_events(never_undone, FaultEventKind.HEALED, FaultEventKind.HEAL_SEEN)
    assert is_nothing(observe(never_undone, tmp_path / "held", indicator))


def test_an_undo_that_came_later_is_measured_from_there(tmp_path: Path) -> None:
    run = healthy()
    move_event(run, FaultEventKind.HEALED, 13.0)
    assert figures(observe(run, tmp_path, "recovery.node"))[0] == next_look(KILL.recovered) - 13.0
