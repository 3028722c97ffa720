"""The load of a run: which Locust processes it takes, what they are told, and what they noted of themselves.

One process, or a master with workers. The workers are children of the conductor and not Locust's own (`--processes`),
so that it knows how each of them ended.
"""

from __future__ import annotations

import math
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from bundle import BundleLayout, ClockRecord, LoadNote, LoadStep, WorkerRecord, read_load_notes
from bundle.load_notes import MASTER
from gamedays.plan import Plan
from loadtests.load_text import format_loads

END_MARGIN_S = 1
"""Locust runs this much longer than the load: users stop by themselves, none is killed in mid-request."""
LOCUST_STOP_LIMIT_S = 10
LEADER = "locust"
"""Name of the process that Locust's statistics come from: the master, or the only one."""
_WORKER = "locust-worker-"
_BEGIN_LIMIT_S = 60
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCommand:
    """How one process of the load is started."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]


def is_worker(name: str) -> bool:
    """Whether a child of this name is a load worker: one that the run goes on without."""
    return name.startswith(_WORKER)


def load_commands(plan: Plan, target_file: Path, layout: BundleLayout, start_at_s: float) -> list[LoadCommand]:
    """Return the processes of the plan's load, the leader first."""
    told = _environment(plan, target_file, layout, start_at_s)
    users = sum(load.users for load in plan.loads)
    files = ",".join(str(scenario.path) for scenario in plan.scenarios)
    common = [sys.executable, "-m", "locust", "-f", files, "--exit-code-on-error", "0"]
    leader = [*common, "--headless", "--only-summary", "-u", str(users), "-r", str(users)]
    leader += ["--stop-timeout", str(LOCUST_STOP_LIMIT_S), "--json-file", str(layout.locust_counts.with_suffix(""))]
    processes, run_s = plan.file.processes, math.ceil(plan.file.load_s) + END_MARGIN_S
    if processes == 1:
        return [LoadCommand(name=LEADER, argv=(*leader, "-t", str(run_s)), environment=told)]
    port = str(_free_port())
    # The master ends by --load-time, counted from the beginning that all share; -t is for a load that never begins.
    leader += ["--master", "--master-bind-host", _LOOPBACK, "--master-bind-port", port]
    leader += ["--expect-workers", str(processes), "-t", str(run_s + _BEGIN_LIMIT_S)]
    worker = (*common, "--worker", "--master-host", _LOOPBACK, "--master-port", port)
    workers = [
        LoadCommand(name=f"{_WORKER}{index}", argv=worker, environment=told | {"GAMEDAY_WORKER_INDEX": str(index)})
        for index in range(processes)
    ]
    return [LoadCommand(name=LEADER, argv=tuple(leader), environment=told), *workers]


def begun_at_s(layout: BundleLayout, processes: int) -> float | None:
    """Return when the load began; None until every process has noted that it did."""
    started = {note.worker: note for note in _notes(layout) if note.event is LoadStep.STARTED}
    if len(started) < processes:
        return None
    return min(note.at_s if note.begins_at_s is None else note.begins_at_s for note in started.values())


def worker_records(layout: BundleLayout, processes: int) -> tuple[WorkerRecord, ...]:
    """Return what became of each process that has users, by its notes; those that noted nothing are there too."""
    parts = ["local"] if processes == 1 else [f"worker-{index}" for index in range(processes)]
    notes = _notes(layout)
    return tuple(_record(part, [note for note in notes if note.worker == part]) for part in parts)


def clock_records(layout: BundleLayout) -> tuple[ClockRecord, ...]:
    """Return the clock offsets that the load processes noted."""
    return tuple(
        ClockRecord(
            process=f"load {note.worker} {note.event}",
            wall_minus_monotonic_s=note.wall_minus_monotonic_s,
            host=note.host,
            part="" if note.worker == MASTER else note.worker,
            master_minus_own_s=note.master_minus_own_s,
            clock_error_s=note.clock_error_s,
        )
        for note in read_load_notes(layout.load_notes)
    )


def _notes(layout: BundleLayout) -> list[LoadNote]:
    """Return the notes of the processes that have users."""
    return [note for note in read_load_notes(layout.load_notes) if note.worker != MASTER]


def _record(part: str, notes: list[LoadNote]) -> WorkerRecord:
    steps = {note.event: note for note in notes}
    started, ended = steps.get(LoadStep.STARTED), steps.get(LoadStep.ENDED)
    return WorkerRecord(
        part=part,
        core=next((note.core for note in notes if note.core is not None), None),
        begins_at_s=started.begins_at_s if started else None,
        late_s=(started.late_s or 0.0) if started else 0.0,
        ended_at_s=ended.at_s if ended else None,
    )


def _environment(plan: Plan, target_file: Path, layout: BundleLayout, start_at_s: float) -> dict[str, str]:
    loads = {scenario.name: load for scenario, load in zip(plan.scenarios, plan.loads, strict=True)}
    return {
        "GAMEDAY_TARGET": str(target_file),
        "GAMEDAY_BUNDLE": str(layout.root),
        "GAMEDAY_LOADS": format_loads(loads),
        "GAMEDAY_SEED": str(plan.file.seed),
        "GAMEDAY_START_AT_S": repr(start_at_s),
        "GAMEDAY_DRAIN_LIMIT_S": repr(plan.file.drain_limit_s),
        "GAMEDAY_LOAD_S": repr(plan.file.load_s),
    }


def _free_port() -> int:
    """Return a port on which nobody listens on the loopback address."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
