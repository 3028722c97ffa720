"""`gameday devnet`, `doctor` and `janitor`, plain `chaos run`: the target without a run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bundle import FaultEventKind, read_fault_journal
from devnet.record import find_record
from target.control import DevnetControl, ProcessState
from tests.e2e.gameday_process import await_nothing_left, gameday, homes, processes_of, started, wait_until

ROOT = Path(__file__).parent.parent.parent
SMALL = ("--validators", "1", "--accounts", "5", "--providers", "1")


def test_a_network_goes_up_is_found_and_goes_down() -> None:
    """Two networks side by side; status tells both; down leaves nothing."""
    names = [f"life-{os.getpid()}-{letter}" for letter in "ab"]
    blocks = []
    try:
        for name in names:
            up = gameday("devnet", "up", name, *SMALL)
            assert up.code == 0, up.err
            assert "export GAMEDAY_TARGET=" in up.out
            blocks.append(find_record(name).file.block)
        assert blocks[0] != blocks[1]
        status = gameday("devnet", "status")
        assert all(name in status.out for name in names)
        assert status.out.count("validator-0") >= 2
    finally:
        for name in names:
            gameday("devnet", "down", name)
    for name, block in zip(names, blocks, strict=True):
        assert not homes(name)
        await_nothing_left((name,), block)


def test_a_network_is_found_after_its_starter_crashed(tmp_path: Path) -> None:
    """SIGKILL for `gameday devnet up` once its supervisor runs: status finds the network, down ends it."""
    name = f"crash-{os.getpid()}"
    log = tmp_path / "log"
    with started("devnet", "up", name, *SMALL, log=log) as process:
        wait_until(lambda: bool(processes_of(f"devnet.supervisor {homes(name)[0]}" if homes(name) else "\0")), "it")
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: "validator-0" in gameday("devnet", "status", name).out, "the network in the status")
    assert gameday("devnet", "down", name).code == 0
    assert not homes(name)
    assert not processes_of(name)


def test_a_taken_port_is_named() -> None:
    """Somebody listens where the network would: one sentence with address, port and holder; nothing started."""
    name = f"taken-{os.getpid()}"
    with socket.socket() as holder:
        holder.bind(("127.249.1.1", 26657))
        holder.listen()
        up = gameday("devnet", "up", name, *SMALL, "--block", "249")
    assert up.code == 5
    assert "127.249.1.1:26657 (RPC of validator-0) is taken by" in up.err
    assert f"pid {os.getpid()}" in up.err
    assert not homes(name)


def test_unknown_networks_are_an_error() -> None:
    """Status and down of a network that there is not."""
    for verb in ("status", "down"):
        answer = gameday("devnet", verb, "nowhere")
        assert answer.code == 2
        assert "no devnet is called 'nowhere'" in answer.err


def test_doctor_says_what_works(target: Path) -> None:
    """Everything that a healthy devnet offers is found by asking; what VirtEngine has besides is absent."""
    answer = gameday("doctor", "--target", target)
    assert answer.code == 0, answer.out
    for line in (
        "yes     validator-3    grpc",
        "yes     chain          makes blocks",
        "absent  chain          market module",
    ):
        assert line in answer.out


def test_doctor_says_what_does_not_work(target: Path, control: DevnetControl) -> None:
    """A validator is gone: its capabilities are told to be missing, and the exit code says so."""
    control.kill("validator-2")
    try:
        answer = gameday("doctor", "--target", target)
    finally:
        control.start("validator-2")
    assert answer.code == 3
    assert "no      validator-2    rpc" in answer.out


@pytest.mark.parametrize("experiment", ["validator_kill", "validator_pause", "validator_partition", "provider_kill"])
def test_plain_chaos_run_works(tmp_path: Path, target: Path, control: DevnetControl, experiment: str) -> None:
    """`chaos run experiments/X.yaml`, with nothing of ours around it: applied, proved, healed, proved."""
    journal = tmp_path / "faults.jsonl"
    environment = {
        "GAMEDAY_TARGET": str(target),
        "GAMEDAY_FAULT_JOURNAL": str(journal),
        "GAMEDAY_FAULT_HOLD_S": "2",
    }
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", os.devnull, "run"]
    answer = subprocess.run(
        [*command, "--journal-path", str(tmp_path / "journal.json"), f"experiments/{experiment}.yaml"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert [event.event for event in read_fault_journal(journal)][-1] is FaultEventKind.HEAL_SEEN
    assert all(process.state is ProcessState.RUNNING for process in control.processes())


def test_chaos_run_that_is_interrupted_heals(tmp_path: Path, target: Path, control: DevnetControl) -> None:
    """Ctrl-C while the validator is down: the rollback starts it again."""
    journal = tmp_path / "faults.jsonl"
    environment = os.environ | {
        "GAMEDAY_TARGET": str(target),
        "GAMEDAY_FAULT_JOURNAL": str(journal),
        "GAMEDAY_FAULT_HOLD_S": "60",
    }
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", os.devnull, "run"]
    argv = [*command, "--journal-path", str(tmp_path / "journal.json"), "experiments/validator_kill.yaml"]
    with subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(
            lambda: any(e.event is FaultEventKind.EFFECT_SEEN for e in read_fault_journal(journal)), "the effect", 90
        )
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert all(found.state is ProcessState.RUNNING for found in control.processes())
