"""Gamedays on a real chain: what passes, what fails, what is refused, and what cannot be said."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundle import FaultEventKind, read_fault_journal
from devnet.record import all_records
from target.control import DevnetControl
from tests.e2e.gameday_process import POLL_S, gameday, homes
from tests.e2e.plans import PROVIDER, QUERY, QUICK, TRANSFER, write_plan

KILL_ONE = {"experiment": "validator_kill", "targets": ["validator-3"], "at_s": 4, "hold_s": 5}
KILL_TWO = {"experiment": "validator_kill", "targets": ["validator-2", "validator-3"], "at_s": 4, "hold_s": 5}


@pytest.mark.alone
def test_the_smoke_gameday_passes(tmp_path: Path) -> None:
    """What `make demo` runs: PASS, every budget measured, nothing left behind."""
    ended = gameday("run", "smoke", "--runs", tmp_path, limit_s=500)
    assert ended.code == 0, ended.out + ended.err
    assert ended.verdict["verdict"] == "PASS"
    assert all(result["estimate"] for result in ended.verdict["budgets"])
    [fault] = ended.verdict["faults"]
    assert fault["effect"].startswith("validator-3: process gone")
    for name in ("report.html", "report.md", "junit.xml", "verdict.json"):
        assert (ended.bundle / name).stat().st_size > 500
    assert not homes("run-smoke")


def test_provider_loss_passes_without_touching_the_chain(tmp_path: Path, target: Path) -> None:
    """The provider is killed and recovers; blocks, transfers and queries do not notice."""
    fault = {"experiment": "provider_kill", "targets": ["provider-0"], "at_s": 4, "hold_s": 4}
    plan = write_plan(
        tmp_path,
        "provider",
        loads=(TRANSFER, QUERY, PROVIDER),
        faults=[fault],
        budgets=(*QUICK, "RT-PROVIDER-RECOVERY"),
    )
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 0, ended.out + ended.err


def test_quorum_loss_passes_because_it_recovers(tmp_path: Path, target: Path) -> None:
    """Two of four are killed: the chain halts, as declared, and goes on when they are back."""
    plan = write_plan(
        tmp_path,
        "quorum",
        load_s=35,
        faults=[KILL_TWO | {"expected_halt": True, "hold_s": 8}],
        budgets=("PB-L-03", "RT-NODE-RECOVERY", "RT-CHAIN-RECOVERY"),
    )
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    [fault] = ended.verdict["faults"]
    assert fault["longest_block_gap_s"] > 8, "the chain was meant to halt"


def test_quorum_loss_that_does_not_recover_fails(tmp_path: Path) -> None:
    """The same fault, and the killed validators cannot start again: no verdict but FAIL."""
    plan = write_plan(
        tmp_path,
        "norecovery",
        load_s=25,
        faults=[KILL_TWO | {"expected_halt": True, "recovery_limit_s": 6}],
        budgets=("RT-NODE-RECOVERY", "RT-CHAIN-RECOVERY"),
        changes=[
            {"id": id_, "limit": 8, "reason": "the test does not watch for a minute"}
            for id_ in ("RT-NODE-RECOVERY", "RT-CHAIN-RECOVERY")
        ],
        devnet={"accounts": 300},
    )
    with _genesis_removed_while_down("run-norecovery", tmp_path):
        ended = gameday("run", plan, "--runs", tmp_path)
    assert ended.code == 1, ended.out + ended.err
    assert ended.failed_budgets() == {"RT-NODE-RECOVERY", "RT-CHAIN-RECOVERY"}


def test_quorum_loss_without_a_declared_halt_is_refused(tmp_path: Path, target: Path, control: DevnetControl) -> None:
    """Exit 4, a sentence about voting power, no bundle, and nothing was broken."""
    before = {process.name: process.pid for process in control.processes()}
    plan = write_plan(tmp_path, "undeclared", faults=[KILL_TWO])
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path / "runs")
    assert ended.code == 4
    assert "20000 of 40000 voting power" in ended.err
    assert not (tmp_path / "runs").exists()
    assert {process.name: process.pid for process in control.processes()} == before


def test_a_fault_of_somebody_else_is_refused(tmp_path: Path, target: Path, control: DevnetControl) -> None:
    """A paused validator on the target: no further fault may be added."""
    plan = write_plan(tmp_path, "foreign", faults=[KILL_ONE])
    control.pause("validator-1")
    try:
        ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
        healed = gameday("janitor", "--target", target)
    finally:
        control.resume("validator-1")
    assert ended.code == 4
    assert "validator-1 paused" in ended.err
    assert healed.code == 0
    assert "resumed validator-1" in healed.out


def test_a_budget_that_cannot_be_met_fails_alone(tmp_path: Path, target: Path) -> None:
    """Confirmation P95 below 50 ms: exactly that budget fails, exit 1."""
    change = {"id": "PB-L-02", "limit": 50, "reason": "no chain with blocks of a second can do that"}
    plan = write_plan(tmp_path, "impossible", budgets=QUICK, changes=[change], load_s=15)
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 1, ended.out + ended.err
    assert ended.failed_budgets() == {"PB-L-02"}
    assert [r["verdict"] for r in ended.verdict["budgets"] if r["budget"]["id"] != "PB-L-02"] == ["PASS", "PASS"]


def test_a_load_that_cannot_start_is_inconclusive(tmp_path: Path, target: Path) -> None:
    """Locust refuses its options: exit 3, and the reason is told."""
    plan = write_plan(tmp_path, "noload")
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path, GAMEDAY_TX_ORDER="backwards")
    assert ended.code == 3, ended.out + ended.err
    assert {"run.aborted", "load.not_started"} <= ended.codes()


def test_a_load_without_funds_is_inconclusive(tmp_path: Path, target: Path) -> None:
    """Accounts that the chain does not know: nothing is sent, so nothing can be said."""
    text = target.read_text().replace("abandon abandon", "legal legal")
    unfunded = tmp_path / "unfunded-target.toml"
    unfunded.write_text(text)
    plan = write_plan(tmp_path, "unfunded", loads=(TRANSFER,), load_s=6, budgets=("PB-L-02",))
    ended = gameday("run", plan, "--target", unfunded, "--runs", tmp_path)
    assert ended.code == 3, ended.out + ended.err
    assert "load.nothing_offered" in ended.codes()


def test_a_target_that_is_down_is_inconclusive(tmp_path: Path) -> None:
    """Nobody answers: exit 3, and the bundle says why."""
    target = tmp_path / "dead.toml"
    target.write_text(
        'name = "dead"\nenvironment = "dev"\nchain_id = "virtengine-devnet-1"\n'
        '[[node]]\nname = "validator-0"\nhost = "127.9.9.9"\n'
    )
    ended = gameday("run", write_plan(tmp_path, "plan"), "--target", target, "--runs", tmp_path)
    assert ended.code == 3, ended.out + ended.err
    assert "the target cannot be used" in ended.out


def test_a_fault_without_effect_is_inconclusive(tmp_path: Path, target: Path, control: DevnetControl) -> None:
    """Somebody lets the paused validator go at once: the fault was applied, and nothing came of it."""
    fault = {"experiment": "validator_pause", "targets": ["validator-3"], "at_s": 3, "hold_s": 2, "effect_limit_s": 4}
    plan = write_plan(tmp_path, "noeffect", load_s=14, faults=[fault])
    with _kept_running(control, "validator-3"):
        ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 3, ended.out + ended.err
    assert "fault.no_effect" in ended.codes()


def test_judging_again_says_the_same_or_why_it_cannot(tmp_path: Path, target: Path) -> None:
    """Other processes, hash seeds and places: one verdict. With its samples gone, exit 3, and the file is named."""
    ended = gameday("run", write_plan(tmp_path, "again", load_s=12), "--target", target, "--runs", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    first = (ended.bundle / "verdict.json").read_bytes()
    moved = ended.bundle.rename(tmp_path / "elsewhere")
    for seed in ("1", "2"):
        gameday("judge", moved, PYTHONHASHSEED=seed)
        assert (moved / "verdict.json").read_bytes() == first
    (moved / "samples" / "local.parquet").unlink()
    again = gameday("judge", moved)
    assert again.code == 3
    assert "samples/local.parquet is missing" in again.out


def test_transfers_in_sequence_survive_the_loss_of_a_node(tmp_path: Path, target: Path) -> None:
    """A chain without unordered transactions: sequences recover from what died with the node."""
    plan = write_plan(tmp_path, "sequence", load_s=22, faults=[KILL_ONE], budgets=("PB-L-02", "RT-NODE-RECOVERY"))
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path, GAMEDAY_TX_ORDER="sequence")
    assert ended.code == 0, ended.out + ended.err


def test_a_fork_is_found_although_health_is_200(tmp_path: Path) -> None:
    """One validator computes another state, as VirtEngine's do at the first reward epoch: the run fails by it."""
    plan = write_plan(
        tmp_path,
        "fork",
        load_s=30,
        budgets=("PB-L-03", "PB-Q-05"),
        devnet={
            "accounts": 300,
            "build_tags": "plant_fork",
            "node_environment": {
                f"validator-{i}": {
                    "VE_PLANT_FORK_HEIGHT": "12",
                    "VE_PLANT_FORK_ORDER": "reversed" if i == 3 else "sorted",
                }
                for i in range(4)
            },
        },
    )
    ended = gameday("run", plan, "--runs", tmp_path, limit_s=400)
    assert ended.code == 1, ended.out + ended.err
    assert {"fork.own_state", "stuck.node"} <= ended.codes()
    reasons = [r for c in ended.verdict["checks"] for r in c["reasons"] if r["code"] == "fork.own_state"]
    assert all("validator-3" in reason["sentence"] for reason in reasons)
    assert "PB-Q-05" not in ended.failed_budgets(), "its health was 200 all the time: only the hashes tell"


@pytest.mark.parametrize(
    ("experiment", "recovery"),
    [("validator_pause", "RT-NODE-RECOVERY"), ("validator_partition", "RT-PARTITION-RECOVERY")],
)
def test_other_faults_are_proved_and_healed(tmp_path: Path, target: Path, experiment: str, recovery: str) -> None:
    """A grey failure and a partition of one validator: effect and healing are seen, the chain goes on."""
    fault = KILL_ONE | {"experiment": experiment}
    plan = write_plan(tmp_path, experiment, load_s=22, faults=[fault], budgets=(recovery, "CE-NO-BLOCK"))
    ended = gameday("run", plan, "--target", target, "--runs", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    kinds = [event.event for event in read_fault_journal(ended.bundle / "faults.jsonl")]
    assert kinds == [
        FaultEventKind.PLANNED,
        FaultEventKind.APPLIED,
        FaultEventKind.EFFECT_SEEN,
        FaultEventKind.HEALED,
        FaultEventKind.HEAL_SEEN,
    ]


@contextmanager
def _kept_running(control: DevnetControl, name: str) -> Iterator[None]:
    """Let a process go on whenever it is paused, for as long as the block lasts."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(POLL_S):
            control.resume(name)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _genesis_removed_while_down(prefix: str, runs: Path) -> Iterator[None]:
    """When the killed validators of a run's devnet are seen to be gone, take away what they would start from."""
    done = threading.Event()

    def sabotage() -> None:
        while not done.wait(POLL_S):
            journal = runs / "latest" / "faults.jsonl"
            if not any(event.event is FaultEventKind.EFFECT_SEEN for event in read_fault_journal(journal)):
                continue
            for record in all_records():
                if record.network.name.startswith(prefix):
                    for index in (2, 3):
                        (record.network.validator_home(index) / "config" / "genesis.json").unlink()
            return

    thread = threading.Thread(target=sabotage)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
