"""A capacity search on a real chain: what it leaves, and that it ends with what it knows."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from bundle import find_damage, open_bundle, read_manifest
from target.control import DevnetControl, ProcessState
from tests.e2e.gameday_process import gameday, started, wait_until

SMALL = ("--step-s", "6", "--start-rate", "12", "--max-rate", "40", "--seed", "3")
IMPOSSIBLE = ("--budget", "PB-L-02=50")
"""No chain with blocks of a second confirms within 50 ms, at whatever rate."""


def result(runs: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the only search, and what it found."""
    [folder] = runs.glob("*-capacity-transfer-*")
    return folder, json.loads((folder / "capacity.json").read_text())


def test_a_search_leaves_a_sealed_bundle_a_step_and_says_what_gave_way(tmp_path: Path, target: Path) -> None:
    """Two steps that cannot be met: the second at half the rate, an upper bound, exit 3."""
    ended = gameday(
        *("capacity", *SMALL, *IMPOSSIBLE, "--max-steps", "2", "--current-load", "2"),
        *("--target", target, "--runs", tmp_path),
    )
    assert ended.code == 3, ended.out + ended.err
    folder, found = result(tmp_path)
    first, second = found["steps"]
    assert [step["outcome"] for step in (first, second)] == ["gave way", "gave way"]
    assert second["rate_per_s"] == float(f"{first['rate_per_s'] / 2:.3g}")
    for step in (first, second):
        layout = open_bundle(folder / step["bundle"])
        assert not find_damage(layout, read_manifest(layout.manifest))
        assert json.loads(layout.verdict.read_text())["verdict"] == "FAIL"
        assert step["pressure"]["target_cores"] > 0
    assert found["end"] == "steps used"
    assert found["gave_way"]["rate_per_s"] == second["rate_per_s"]
    assert [budget["id"] for budget in found["gave_way"]["budgets"]] == ["PB-L-02"]
    assert "Capacity: at most" in ended.out
    assert "10 x the current load needs 20/s" in ended.out


def test_a_search_that_is_interrupted_says_what_it_knows(tmp_path: Path, target: Path, control: DevnetControl) -> None:
    """Ctrl-C in the second step: exit 3, the first step is in the result, and the target goes on as it was."""
    log, runs = tmp_path / "log", tmp_path / "runs"
    with started("capacity", *SMALL, *IMPOSSIBLE, "--target", target, "--runs", runs, log=log) as process:
        wait_until(lambda: log.read_text().count(" s  baseline") > 1, "the second step", 240)
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert process.returncode == 3, log.read_text()
    assert "Traceback" not in log.read_text()
    _, found = result(runs)
    assert [step["number"] for step in found["steps"]] == [1]
    assert found["end"] == "stopped"
    assert all(process.state is ProcessState.RUNNING for process in control.processes())
