"""A Locust master and workers as processes of their own, with a scenario that needs no target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bundle import BundleLayout, LoadNote, LoadStep, read_load_notes
from tests.unit.loadtests.kit_session import TARGET
from tests.unit.loadtests.locust_process import LIMIT_S, ROOT, environment

LOCUSTFILE = '''
import time
import gevent
from locust import task
from loadtests.kit import HarnessUser

class Worker(HarnessUser):
    """Takes five milliseconds for each operation."""

    scenario = "work"

    @task
    def work(self):
        with self.measured("work", "NONE"):
            gevent.sleep(0.005)
'''
NODE = '[[node]]\nname = "node-0"\nrpc = "http://127.0.0.1:1"\n'


@dataclass(kw_only=True)
class Fleet:
    """A master and its workers; `layout` is the bundle that they share."""

    layout: BundleLayout
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def notes(self, step: LoadStep) -> dict[str, LoadNote]:
        """Return the notes of a step by worker, without the master's."""
        found = read_load_notes(self.layout.load_notes)
        return {note.worker: note for note in found if note.event is step and note.worker != "master"}

    def begins_at_s(self) -> float:
        """Wait until every worker knows when it begins; return when."""
        count = len(self.workers)
        wait_until(
            lambda: len(self.notes(LoadStep.STARTED)) == count or self.master.poll() is not None, "the beginning"
        )
        [moment] = {note.begins_at_s for note in self.notes(LoadStep.STARTED).values()}
        assert moment is not None
        return moment

    def kill(self, index: int) -> float:
        """End a worker by SIGKILL; return the Unix time before it."""
        at_s = time.time()
        self.workers[index].send_signal(signal.SIGKILL)
        return at_s

    def finish(self) -> list[int]:
        """Wait until all have ended; return their exit codes, the master's first."""
        return [process.wait(LIMIT_S) for process in (self.master, *self.workers)]

    def close(self) -> None:
        for process in (self.master, *self.workers):
            if process.poll() is None:
                process.kill()
            process.wait()

    def log(self, name: str = "master") -> str:
        return (self.layout.root / f"{name}.log").read_text()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises AssertionError naming it when it does not come."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)


def write_locustfile(folder: Path) -> list[str]:
    """Write the scenario and a Target file; return the arguments that name them."""
    (folder / "work.py").write_text(LOCUSTFILE)
    (folder / "target.toml").write_text(TARGET + NODE)
    return ["-f", str(folder / "work.py"), "--target-file", str(folder / "target.toml")]


def locust_argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "locust", "--exit-code-on-error", "0", *arguments]


def start(folder: Path, loads: str, users: int, *, load_s: float, count: int, port: int, seed: int = 1) -> Fleet:
    """Start a master and its workers, recording into `folder`."""
    told = {"GAMEDAY_LOADS": loads, "GAMEDAY_LOAD_S": repr(load_s), "GAMEDAY_SEED": str(seed)}
    common = [*write_locustfile(folder), "--bundle", str(folder)]
    leader = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), "--headless"]
    leader += ["--expect-workers", str(count), "-u", str(users), "-r", str(users), "-t", "120", "--only-summary"]
    fleet = Fleet(
        layout=BundleLayout(root=folder),
        master=_popen(folder, "master", [*common, *leader, "--json-file", str(folder / "logs" / "locust")], told),
    )
    for index in range(count):
        worker = [*common, "--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        mine = told | {"GAMEDAY_WORKER_INDEX": str(index)}
        fleet.workers.append(_popen(folder, f"worker-{index}", worker, mine))
    return fleet


def _popen(folder: Path, name: str, arguments: list[str], told: dict[str, str]) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            locust_argv(*arguments),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(PYTHONPATH=str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", ""), **told),
        )
