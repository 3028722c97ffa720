"""Ended by a signal at any moment: no process, no fault, no port is left, and the bundle so far can be read."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.gameday_process import await_nothing_left, block_of, gameday, homes, started, wait_until
from tests.e2e.plans import write_plan

FAULT = {"experiment": "validator_kill", "targets": ["validator-3"], "at_s": 1, "hold_s": 4}

# Each moment is known by a line that the run has told when it comes. One signal at each, both where something is
# broken: they are handled alike.
MOMENTS = {
    "start": ": waiting for validator",
    "preflight": " s  preflight",
    "baseline": " s  baseline",
    "load": " s  load",
    "fault": " s  fault:",
    "recovery": " s  recovery:",
    "drain": " s  drain:",
    "sealing": " s  sealing",
    "report": " s  report",
}
CASES = [(moment, (signal.SIGINT, signal.SIGTERM)[place % 2]) for place, moment in enumerate(MOMENTS)]
CASES.append(("fault", signal.SIGTERM))


@pytest.mark.parametrize(("moment", "number"), CASES, ids=lambda value: getattr(value, "name", value))
def test_nothing_is_left(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    """The signal comes at the moment; afterwards it is as if the run had never been, but for its bundle."""
    name = f"sig-{moment}-{number.name.lower()}"
    plan = write_plan(tmp_path, name, load_s=8, faults=[FAULT], baseline_s=2, devnet={"accounts": 100})
    runs, log = tmp_path / "runs", tmp_path / "log"
    with started("run", plan, "--runs", runs, log=log) as process:
        wait_until(
            lambda: MOMENTS[moment] in log.read_text() or process.poll() is not None, f"the moment {moment!r}", 90
        )
        block = block_of(f"run-{name}")
        process.send_signal(number)
        process.wait(60)
    text = log.read_text()
    assert "Traceback" not in text
    _assert_nothing_left(name, block, runs)
    if runs.exists():
        _assert_readable(runs / "latest", process.returncode, text)
    else:
        assert process.returncode == 3, text


def test_a_second_signal_does_not_stop_the_healing(tmp_path: Path) -> None:
    """An impatient user presses Ctrl-C again and again: the fault is undone all the same."""
    plan = write_plan(tmp_path, "impatient", load_s=12, faults=[FAULT], baseline_s=2, devnet={"accounts": 100})
    log = tmp_path / "log"
    with started("run", plan, "--runs", tmp_path / "runs", log=log) as process:
        wait_until(lambda: "fault:" in log.read_text(), "the fault", 90)
        block = block_of("run-impatient")

        def ended() -> bool:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            return process.poll() is not None

        wait_until(ended, "the end of the run", 60)
    assert process.returncode == 3, log.read_text()
    assert "nothing is left behind" in log.read_text()
    _assert_nothing_left("impatient", block, tmp_path / "runs")


def _assert_nothing_left(name: str, block: int | None, runs: Path) -> None:
    assert not homes(f"run-{name}")
    await_nothing_left((f"run-{name}", str(runs)), block)


def _assert_readable(bundle: Path, code: int, text: str) -> None:
    """A run that was stopped is INCONCLUSIVE; one whose measuring was over already has its verdict."""
    again = gameday("judge", bundle)
    assert again.code == code, text + again.out
    assert code == 3 or "drain" in text
    assert (bundle / "report.html").exists()
