"""Several load processes: they begin together, each offers its share, and the death of one takes a second of samples.

`WORKER_KILLS` says how many workers are killed in all (default 3); `WORKER_KILLS=20` is worth a run by hand.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle import GENERATOR, SAMPLES, LoadStep, read_table
from loadtests.arrivals import Constant, arrival_times, schedule_seed
from tests.unit.loadtests import fleet as fleets
from tests.unit.loadtests.fleet import Fleet
from tests.unit.loadtests.locust_process import (
    LIMIT_S,
    ROOT,
    environment,
    locust_counts,
    sample_counts,
    samples_of,
)

pytestmark = pytest.mark.slow

RATE_PER_S = 200.0
LOAD_S = 6.0
KILLED_AT_ONCE = 3
KILLS = int(os.environ.get("WORKER_KILLS", KILLED_AT_ONCE))
LOST_AT_MOST_S = 1.0
CLOSE_S = 1e-6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def a_fleet(folder: Path, loads: str, users: int, **more: Any) -> Iterator[Fleet]:
    fleet = fleets.start(folder, loads, users, port=free_port(), **more)
    try:
        yield fleet
    finally:
        fleet.close()


def by_worker(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the samples by worker, in the order in which they were written."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in samples_of(folder):
        found.setdefault(row["part"], []).append(row)
    return found


def share(seed: int, index: int, count: int) -> list[float]:
    """Return when the arrivals of a worker are meant to begin, in seconds after the beginning."""
    arrivals, name = Constant(rate_per_s=RATE_PER_S), schedule_seed(seed, "work")
    return [float(at) for chunk in arrival_times(arrivals, LOAD_S, name, share=(index, count)) for at in chunk]


def test_two_workers_offer_one_load(tmp_path: Path) -> None:
    """Closed users and arrivals in one test of three workers: one beginning, and Locust's counts to the unit."""
    with a_fleet(tmp_path, "work:9@20", 9, load_s=2.0, count=3) as fleet:
        begins_at_s = fleet.begins_at_s()
        assert fleet.finish() == [0, 0, 0, 0], fleet.log()
    rows = by_worker(tmp_path)
    assert sorted(rows) == ["worker-0", "worker-1", "worker-2"]
    assert sample_counts(samples_of(tmp_path)) == locust_counts(tmp_path / "logs" / "locust.json")
    told = json.loads(fleet.layout.worker_counts.read_text())
    for part, mine in rows.items():
        # Three users, twenty a second each for two seconds, the first of each within its first period.
        assert len(mine) == 120
        assert min(row["intended_at_s"] for row in mine) >= begins_at_s - CLOSE_S
        assert max(row["intended_at_s"] for row in mine) < begins_at_s + 2.0 + CLOSE_S
        assert told[part] == {"work": [120, 0]}
    first = [sorted(row["intended_at_s"] for row in mine)[:3] for mine in rows.values()]
    assert len({at for each in first for at in each}) == 9  # no two users have the same random numbers
    assert set(read_table(fleet.layout, GENERATOR)["part"].to_pylist()) == set(rows)
    for notes in (fleet.notes(LoadStep.READY), fleet.notes(LoadStep.ENDED)):
        assert sorted(notes) == sorted(rows)
        for note in notes.values():
            assert note.master_minus_own_s is not None
            assert note.clock_error_s is not None
            assert abs(note.master_minus_own_s) <= note.clock_error_s  # the same clock


@pytest.mark.parametrize("seed", range(1, 1 + -(-KILLS // KILLED_AT_ONCE)))
def test_a_killed_worker_loses_a_second_and_the_rest_goes_on(seed: int, tmp_path: Path) -> None:
    """SIGKILL at random points: every arrival up to a second before is there, whole and in time; others miss none."""
    count = KILLED_AT_ONCE + 1
    draw = random.Random(seed)
    moments = sorted((draw.uniform(0.2, LOAD_S - 0.2), index) for index in range(1, count))
    with a_fleet(tmp_path, f"work:80~{RATE_PER_S}", 80, load_s=LOAD_S, count=count, seed=seed) as fleet:
        begins_at_s, killed_at_s = fleet.begins_at_s(), {}
        for moment_s, index in moments:
            fleets.wait_until(lambda moment_s=moment_s: time.time() >= begins_at_s + moment_s, "the moment")  # type: ignore[misc]
            killed_at_s[index] = fleet.kill(index)
        codes = fleet.finish()
    assert codes == [0, 0, -9, -9, -9], fleet.log()
    assert sorted(fleet.notes(LoadStep.ENDED)) == ["worker-0"]
    rows = by_worker(tmp_path)
    assert [row["outcome"] for mine in rows.values() for row in mine if row["outcome"] != "ok"] == []
    told = json.loads(fleet.layout.worker_counts.read_text())
    assert told["worker-0"]["work"][0] == len(rows["worker-0"])
    for index in range(count):
        mine = sorted(row["intended_at_s"] - begins_at_s for row in rows.get(f"worker-{index}", []))
        due = share(seed, index, count)
        safe_s = killed_at_s[index] - begins_at_s - LOST_AT_MOST_S if index in killed_at_s else LOAD_S
        assert len(mine) >= sum(at < safe_s for at in due), f"worker-{index} lost more than {LOST_AT_MOST_S:g} s"
        assert mine == pytest.approx(due[: len(mine)], abs=CLOSE_S), f"worker-{index} has other samples than it should"
        if index in killed_at_s:
            lost_s = killed_at_s[index] - begins_at_s - (mine[-1] if mine else 0.0)
            print(f"seed {seed} worker-{index}: killed at {safe_s + 1:.2f} s, last sample {lost_s:.2f} s before")


def test_locusts_own_processes(tmp_path: Path) -> None:
    """`locust --processes 2`: forked workers, which Locust's master counts, record their own parts."""
    arguments = [*fleets.write_locustfile(tmp_path), "--bundle", str(tmp_path), "--processes", "2", "--headless"]
    arguments += ["--master-bind-port", (port := str(free_port())), "--master-port", port, "--only-summary"]
    arguments += ["--loads", f"work:20~{RATE_PER_S}", "--load-time", "2", "-u", "20", "-r", "20", "-t", "60"]
    answer = subprocess.run(
        fleets.locust_argv(*arguments, "--json-file", str(tmp_path / "locust")),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment(PYTHONPATH=str(ROOT)),
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    rows = samples_of(tmp_path)
    assert {row["part"] for row in rows} == {"worker-0", "worker-1"}
    assert sample_counts(rows) == locust_counts(tmp_path / "locust.json")
    whole = arrival_times(Constant(rate_per_s=RATE_PER_S), 2.0, schedule_seed(1, "work"))
    assert len(rows) == sum(len(chunk) for chunk in whole)


def test_users_of_a_lost_worker_are_not_given_to_others(tmp_path: Path) -> None:
    """A worker that quits in the middle has Locust's master start anew; the other one keeps its own users."""
    with a_fleet(tmp_path, "work:8@10", 8, load_s=3.0, count=2) as fleet:
        begins_at_s = fleet.begins_at_s()
        fleets.wait_until(lambda: time.time() >= begins_at_s + 1, "the moment")
        fleet.workers[1].terminate()
        codes = fleet.finish()
    assert codes == [0, 0, 0], fleet.log()
    assert "users stay where they are" in fleet.log()
    rows = by_worker(tmp_path)
    assert len(rows["worker-0"]) == 4 * 10 * 3
    assert len(rows["worker-1"]) < 4 * 10 * 2
    assert sample_counts(samples_of(tmp_path)) == locust_counts(tmp_path / "logs" / "locust.json")


def test_a_cut_off_stream_is_read_to_its_last_whole_batch(tmp_path: Path) -> None:
    """Whatever byte a killed worker's file ends at: the rows before are read, and none is damaged."""
    with a_fleet(tmp_path, f"work:20~{RATE_PER_S}", 20, load_s=2.0, count=1) as fleet:
        assert fleet.finish() == [0, 0], fleet.log()
    path = tmp_path / "samples" / "worker-0.arrows"
    content, whole = path.read_bytes(), samples_of(tmp_path)
    for end in random.Random(1).sample(range(2000, len(content)), 20):
        path.write_bytes(content[:end])
        rows = read_table(fleet.layout, SAMPLES).to_pylist()
        assert rows == whole[: len(rows)]
