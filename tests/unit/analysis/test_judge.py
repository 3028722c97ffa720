"""From a bundle to a verdict: merging, guarding, the same bytes, other budgets."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

import analysis.judge
import analysis.validity
from analysis import invariants
from analysis.budget import Budget, Direction, Severity, WindowName, read_rulebook, write_budgets
from analysis.fault_story import tell_faults
from analysis.indicator import Observation, Scene
from analysis.indicators import INDICATORS
from analysis.judge import judge, verdict_text, window_of
from analysis.verdict import Verdict, gravest
from bundle import DocumentError, FaultEventKind, NotABundle, open_bundle, read_manifest, seal
from tests.bundles import (
    BEYOND_A_MINUTE,
    KILL,
    NODES,
    RUN_ID,
    START_AT_S,
    SyntheticRun,
    compute_otherwise,
    fail_child,
    forget_events,
    fork_block,
    healthy,
    healthy_by_the_rulebook,
    jump_clock,
    miscount,
    shift_supply,
)
from tests.unit.analysis.judgements import against, budget_verdicts, codes, sentences

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PASS, INCONCLUSIVE, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL


# --- merging ---


def test_the_gravest_verdict_wins_in_any_order() -> None:
    order = [PASS, INCONCLUSIVE, FAIL]
    for size in (1, 2, 3):
        for verdicts in product(order, repeat=size):
            assert gravest(verdicts) is max(verdicts, key=order.index)
    assert all(gravest(verdicts) is FAIL for verdicts in permutations(order))


def test_nothing_at_all_proves_nothing() -> None:
    assert gravest([]) is INCONCLUSIVE


def test_a_failed_budget_outweighs_what_cannot_be_said(tmp_path: Path) -> None:
    """Locust died, and nodes were slow by good data: the run fails, and both are told, the graver first."""
    run = healthy(budgets=("PB-R-NODE-MEM",))
    fail_child(run, "observers", 1)
    for row in run.resources:
        row["rss_bytes"] = 17_000_000_000
    found = run.judge(tmp_path)
    assert found.verdict is FAIL
    assert [verdict for _, verdict, _ in found.reasons()] == [FAIL, INCONCLUSIVE]


def test_a_failed_invariant_fails_the_run_whatever_the_budgets_say(tmp_path: Path) -> None:
    run = healthy()
    compute_otherwise(run, 20, NODES[1])
    found = run.judge(tmp_path)
    assert found.verdict is FAIL
    assert set(budget_verdicts(found).values()) == {PASS}
    assert found.headline.startswith("Failed: No two nodes disagree")
    assert "3 of 3 budgets are met" in found.headline


def test_the_headline_of_a_pass_counts_the_budgets(tmp_path: Path) -> None:
    assert healthy().judge(tmp_path).headline.startswith("All 3 budgets are met")


def test_the_headline_of_what_cannot_be_said_names_it(tmp_path: Path) -> None:
    run = healthy()
    fail_child(run, "locust", 2)
    headline = run.judge(tmp_path).headline
    assert headline.startswith("Cannot be said: ")
    assert "The run came to its end" in headline


# --- one budget, and only that one ---


def test_a_limit_of_50_ms_for_confirmation_fails_exactly_that_budget(tmp_path: Path) -> None:
    """A block takes a second: no confirmation can be that fast, and everything else stays as it is."""
    run = healthy()
    run.budgets = tuple(replace(b, limit=50.0) if b.id == "PB-L-02" else b for b in run.budgets)
    found = run.judge(tmp_path)
    assert found.verdict is FAIL
    assert budget_verdicts(found) == {"PB-L-02": FAIL, "PB-L-03": PASS, "CE-NO-BLOCK": PASS}
    assert against(found) == set()
    [(what, verdict, reason)] = found.reasons()
    assert (what, verdict, reason.code) == ("PB-L-02", FAIL, "budget.exceeded")
    assert "expected below 50 ms" in reason.sentence
    assert {item.file for item in reason.evidence} == {"samples/local.parquet"}
    rows = [run.rows[item.row] for item in reason.evidence if item.row is not None]
    worst = sorted((row["latency_ms"] for row in run.of("tx.confirm")), reverse=True)[: len(rows)]
    assert [row["latency_ms"] for row in rows] == worst, "the evidence is the slowest confirmations"


def test_a_warning_never_decides(tmp_path: Path) -> None:
    run = healthy()
    run.budgets = tuple(replace(b, limit=50.0, severity=Severity.WARN) if b.id == "PB-L-02" else b for b in run.budgets)
    found = run.judge(tmp_path)
    assert budget_verdicts(found)["PB-L-02"] is FAIL
    assert found.verdict is PASS
    assert found.reasons() == []
    assert found.headline.startswith("All 2 budgets are met")


def test_a_warning_without_data_does_not_decide_either(tmp_path: Path) -> None:
    run = healthy(faults=())
    run.budgets = (*run.budgets, replace(read_rulebook()["RT-NODE-RECOVERY"], severity=Severity.WARN))
    found = run.judge(tmp_path)
    assert (budget_verdicts(found)["RT-NODE-RECOVERY"], found.verdict) == (INCONCLUSIVE, PASS)


def test_a_gate_without_data_is_no_pass(tmp_path: Path) -> None:
    found = healthy(faults=(), budgets=("PB-L-02", "RT-NODE-RECOVERY")).judge(tmp_path)
    assert found.verdict is INCONCLUSIVE
    [sentence] = sentences(found, "budget.no_data")
    assert "no fault of this kind was applied and undone" in sentence


def test_too_few_samples_decide_nothing(tmp_path: Path) -> None:
    """71 values have no upper bound of their P95: fast as they are, that is no proof."""
    run = healthy(queries_per_s=3 * 71 / 24)
    assert len(run.of("rpc.status")) == 71
    found = run.judge(tmp_path)
    assert budget_verdicts(found)["PB-L-03"] is INCONCLUSIVE
    assert len(sentences(found, "budget.undecided")) == 1


def test_an_indicator_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path) -> None:
    run = healthy()
    run.budgets = (replace(run.budgets[0], indicator="tx.beauty"),)
    [sentence] = sentences(run.judge(tmp_path), "budget.no_indicator")
    assert "tx.beauty" in sentence
    assert all(name in sentence for name in INDICATORS)


def test_a_statistic_that_does_not_fit_decides_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.budgets = (replace(run.budgets[0], statistic="ratio"),)
    found = run.judge(tmp_path)
    assert found.verdict is INCONCLUSIVE
    [sentence] = sentences(found, "budget.no_data")
    assert "'ratio' is not one of a distribution" in sentence


# --- what breaks is told, and breaks nothing else ---


def _crash(*_: object) -> Any:
    raise KeyError("a defect of the harness")


VALIDITY = ["_bundle_whole", "_run_complete", "_clock_steady", "_watch_without_gap", "_load_offered", "_counts_equal"]


@pytest.mark.parametrize("function", [*VALIDITY, "_generator_kept_up", "_faults_proved"])
def test_a_check_of_the_run_that_crashes_is_no_pass_and_no_budget_rests_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    run = healthy()
    for row in run.of("rpc.status"):
        row["latency_ms"] = 60_000.0
    monkeypatch.setattr(analysis.validity, function, _crash)
    found = run.judge(tmp_path)
    assert codes(found) == {"check.crashed"}
    assert found.verdict is INCONCLUSIVE, "whether the slow answers were well measured is not known"
    assert set(budget_verdicts(found).values()) == {INCONCLUSIVE}
    assert len(found.checks) == 14, "the others are asked all the same"
    [sentence] = sentences(found, "check.crashed")
    assert "KeyError" in sentence


INVARIANTS = ["no_fork", "nobody_left_behind", "transfers_exactly_once", "supply_accounted_for"]


@pytest.mark.parametrize("function", INVARIANTS)
def test_an_invariant_that_crashes_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    monkeypatch.setattr(invariants, function, _crash)
    found = healthy().judge(tmp_path)
    assert (found.verdict, codes(found)) == (INCONCLUSIVE, {"check.crashed"})
    assert len(found.checks) == 14
    assert set(budget_verdicts(found).values()) == {PASS}


def test_an_invariant_that_crashes_does_not_hide_another_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "no_fork", _crash)
    run = healthy()
    shift_supply(run, by=1)
    found = run.judge(tmp_path)
    assert found.verdict is FAIL
    assert codes(found) == {"check.crashed", "supply.unaccounted"}


def test_hypotheses_that_crash_are_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis.judge, "hypotheses_held", _crash)
    found = healthy().judge(tmp_path)
    assert (found.verdict, codes(found)) == (INCONCLUSIVE, {"check.crashed"})


def test_a_story_of_faults_that_crashes_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which time was disturbed is not known then: no budget rests on that, and the checks are asked all the same."""
    monkeypatch.setattr(analysis.judge, "tell_faults", _crash)
    found = healthy().judge(tmp_path)
    assert found.verdict is INCONCLUSIVE
    assert "check.crashed" in codes(found)
    assert set(budget_verdicts(found).values()) == {INCONCLUSIVE}


@pytest.mark.parametrize("error", [KeyError("defect"), ValueError("defect"), ZeroDivisionError("defect")])
def test_an_indicator_that_crashes_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def observe(scene: Scene) -> Observation:
        raise error

    broken = replace(INDICATORS["node.query_latency"], observe=observe)
    monkeypatch.setitem(INDICATORS, "node.query_latency", broken)
    found = healthy().judge(tmp_path)
    assert budget_verdicts(found) == {"PB-L-02": PASS, "PB-L-03": INCONCLUSIVE, "CE-NO-BLOCK": PASS}
    [sentence] = sentences(found, "check.crashed")
    assert sentence == f"node.query_latency crashed: {type(error).__name__}: {error}"


# --- windows ---


def test_windows_of_a_whole_run() -> None:
    run = healthy()
    load = (run.load_start_at_s, run.load_end_at_s)
    assert window_of(run.manifest, WindowName.LOAD, ()).intervals == (load,)
    assert window_of(run.manifest, WindowName.RUN, ()).intervals == ((START_AT_S, START_AT_S + 30),)


def test_the_window_outside_faults_leaves_out_the_disturbed_time(tmp_path: Path) -> None:
    run = healthy().open(tmp_path)
    faults = tuple(tell_faults(run))
    disturbed = faults[0].disturbed(math.inf)
    found = window_of(run.manifest, WindowName.OUTSIDE_FAULTS, faults).intervals
    assert found == ((START_AT_S + 4, disturbed[0]), (disturbed[1], START_AT_S + 28))


def test_a_run_without_baseline_or_drain_is_its_load() -> None:
    run = healthy()
    manifest = replace(run.manifest, phases=run.manifest.phases[1:2])
    assert window_of(manifest, WindowName.RUN, ()).intervals == ((run.load_start_at_s, run.load_end_at_s),)


@pytest.mark.parametrize("name", list(WindowName))
def test_a_run_that_did_not_come_to_the_end_of_its_load_has_no_window(name: WindowName) -> None:
    run = healthy()
    baseline, load, _ = run.manifest.phases
    for phases in ((), (baseline,), (baseline, replace(load, end_at_s=None))):
        assert window_of(replace(run.manifest, phases=phases), name, ()).is_empty


def test_a_declared_halt_is_left_out_by_the_window_that_says_so(tmp_path: Path) -> None:
    """The chain stands still under the fault for 12 s: confirmations in it take more than 10 s, by a declared halt."""
    spec = replace(KILL, hold=12.0, recovery=0.5)
    for window, verdict in ((WindowName.LOAD, FAIL), (WindowName.OUTSIDE_FAULTS, PASS)):
        run = healthy(load=40.0, faults=(spec,), halt=(8.5, 21.0), budgets=("PB-L-02",))
        limit = replace(run.budgets[0], window=window, limit=6000.0)
        run.budgets = (limit,)
        assert budget_verdicts(run.judge(tmp_path / window))["PB-L-02"] is verdict


# --- the same bytes ---


def spoilt() -> SyntheticRun:
    """A run that has something of everything: failures, taints, crashes of nothing, infinities, several reasons."""
    run = healthy_by_the_rulebook()
    fork_block(run, 30, NODES[1])
    fork_block(run, 31, NODES[2])
    jump_clock(run, 3)
    miscount(run, "tx.submit", requests=1)
    miscount(run, "rpc.status", failures=1)
    forget_events(run, FaultEventKind.EFFECT_SEEN)
    for row in run.probes:
        if row["endpoint"] == NODES[3] and row["at_s"] > START_AT_S + KILL.at + 6:
            row.update(ok=False, height=None)
    return run


PRINT_VERDICT = """
import sys
from pathlib import Path
from analysis.judge import judge, verdict_text
sys.stdout.write(verdict_text(judge(Path(sys.argv[1]))[1]))
"""


def verdict_of(root: Path, hash_seed: str) -> bytes:
    """Return the verdict's text as another process gives it."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PRINT_VERDICT, str(root)]
    answer = subprocess.run(command, env=environment, cwd=root.parent, capture_output=True, check=True, timeout=120)
    return answer.stdout


def test_the_same_bundle_gives_the_same_bytes_in_any_process_and_place(tmp_path: Path) -> None:
    root = spoilt().write(tmp_path)
    moved = shutil.copytree(root, tmp_path / "somewhere" / "else entirely")
    first, second = verdict_of(root, "1"), verdict_of(moved, "4242")
    assert first == second
    assert first == verdict_text(judge(root)[1]).encode()


@pytest.mark.parametrize("content", [b"", b"PAR1 is how it begins and it ends otherwise"])
def test_a_table_that_was_sealed_broken_is_told_in_the_same_words_anywhere(tmp_path: Path, content: bytes) -> None:
    """The library that reads tables says in which path it failed; that is not a fact about the run."""
    run = healthy()
    root = run.write(tmp_path / "one", sealed=False)
    (root / "blocks.arrows").unlink()
    (root / "blocks.parquet").write_bytes(content)
    seal(open_bundle(root), read_manifest(root / "manifest.json"))
    moved = shutil.copytree(root, tmp_path / "two" / "other")
    texts = [verdict_text(judge(path)[1]) for path in (root, moved)]
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]


def test_the_verdict_is_plain_json_with_sorted_keys_and_no_infinity(tmp_path: Path) -> None:
    _, found = judge(spoilt().write(tmp_path))
    text = verdict_text(found)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    raw = json.loads(text, parse_constant=refuse)
    assert text == json.dumps(raw, indent=1, sort_keys=True) + "\n"
    assert raw["verdict"] == found.verdict.value
    assert raw["run_id"] == RUN_ID
    assert raw["faults"][0]["target_recovery"]["high_s"] == "unbounded"
    assert len(raw["budgets"]) == len(read_rulebook()) - len(BEYOND_A_MINUTE)
    assert {reason["code"] for check in raw["checks"] for reason in check["reasons"]} == codes(found)


# --- other budgets ---


def _strict(path: Path, suffix: str) -> Path:
    """Write a file with one budget that no run meets."""
    budget = Budget(
        id="MINE",
        title="My own",
        indicator="node.query_latency",
        statistic="p50",
        unit="ms",
        limit=0.001,
        direction=Direction.BELOW,
        source="a test",
    )
    file = path / f"mine{suffix}"
    if suffix == ".json":
        write_budgets(file, [budget])
    else:
        lines = [f"{key} = {json.dumps(getattr(budget, key))}" for key in ("id", "title", "indicator", "statistic")]
        lines += ['unit = "ms"', "limit = 0.001", 'direction = "below"', 'source = "a test"']
        file.write_text("[[budget]]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_an_old_bundle_can_be_judged_by_new_budgets(tmp_path: Path, suffix: str) -> None:
    root = healthy().write(tmp_path)
    before = (root / "budgets.json").read_bytes()
    _, found = judge(root, budgets=_strict(tmp_path, suffix))
    assert budget_verdicts(found) == {"MINE": FAIL}
    assert found.verdict is FAIL
    assert (root / "budgets.json").read_bytes() == before
    assert judge(root)[1].verdict is PASS, "by its own budgets it is what it was"


def test_an_old_bundle_can_be_judged_by_the_whole_rulebook(tmp_path: Path) -> None:
    _, found = judge(healthy().write(tmp_path), budgets=analysis.budget.RULEBOOK)
    assert list(budget_verdicts(found)) == list(read_rulebook())


def test_budgets_that_are_no_budgets_are_an_error(tmp_path: Path) -> None:
    root = healthy().write(tmp_path)
    for text in ("", "[[budget]]\nid = 3\n", "nonsense"):
        file = tmp_path / "bad.toml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DocumentError):
            judge(root, budgets=file)
    with pytest.raises(DocumentError):
        judge(root, budgets=tmp_path / "absent.toml")


def test_a_folder_that_is_no_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotABundle):
        judge(tmp_path)
    with pytest.raises(NotABundle):
        judge(tmp_path / "absent")
