"""The manifest: what was run, on what, when, and what should therefore be in the bundle.

The conductor writes it at the start of a run and again at every phase, so that a bundle whose conductor
died still says how far it came. Sealing adds the digests.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, field
from enum import StrEnum
from pathlib import Path

from bundle.document import document, read_json

SCHEMA_VERSION = 1


class RunEnd(StrEnum):
    """How the run came to its end."""

    RUNNING = "running"
    """The manifest was written during the run; if nothing runs any more, the conductor died."""
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    """By a signal: Ctrl-C or SIGTERM."""
    DEADLINE = "deadline"
    """The plan's own time limit passed."""
    ABORTED = "aborted"
    """A part of the run failed, for example the load did not start."""


@document
class PhaseRecord:
    """A phase of the run, half-open: [start_at_s, end_at_s). `end_at_s` is null while it lasts."""

    name: str
    start_at_s: float
    end_at_s: float | None = None

    def __post_init__(self) -> None:
        if self.end_at_s is not None and self.end_at_s < self.start_at_s:
            raise ValueError(f"ends at {self.end_at_s}, before its start {self.start_at_s}; expected an end after it")


@document
class ExpectedOperation:
    """One operation of a scenario, as promised by it."""

    name: str
    protocol: str
    rate_per_s: float | None = None
    """Expected rate; null where it follows from the target (events)."""
    scheduled: bool = False
    """Whether it begins on the schedule, rather than following from an operation that did."""


@document
class ExpectedLoad:
    """A load that the plan asked for: what the samples have to show."""

    scenario: str
    users: int
    rate_per_s: float
    """All users together; of open arrivals their mean, so that rate times the load's time is their number."""
    is_open: bool = False
    """Whether arrivals wait for nobody; `users` is then how many may be on their way at once."""
    operations: tuple[ExpectedOperation, ...] = ()


@document
class ExpectedFault:
    """A fault that the plan asked for: what the fault journal has to show."""

    experiment: str
    targets: tuple[str, ...]
    expected_halt: bool
    hold_s: float
    recovery_limit_s: float


@document
class TargetRecord:
    """The target, by what it said of itself when the run began."""

    name: str
    environment: str
    chain_id: str
    genesis_hash: str | None
    node_names: tuple[str, ...]
    provider_names: tuple[str, ...]
    voting_power: dict[str, int]
    """Node name to power; nodes that do not validate are absent."""
    app_version: str | None = None


@document
class ClockRecord:
    """Wall minus monotonic clock of one process, taken once: aligns its durations with everybody's times."""

    process: str
    wall_minus_monotonic_s: float
    host: str = ""
    """Monotonic clocks of different machines have nothing to do with each other."""
    part: str = ""
    """The part of the tables that this process wrote; empty for one that writes none."""
    master_minus_own_s: float | None = None
    """Of a load worker: the wall clock of Locust's master minus its own."""
    clock_error_s: float | None = None
    """How far that may be off: half of the round trip that it was measured by."""


@document
class WorkerRecord:
    """One load process, by its own notes."""

    part: str
    """The part of the tables that it wrote."""
    core: int | None = None
    """The processor core that it was bound to; null when to none."""
    begins_at_s: float | None = None
    """When it was to begin, by the master's clock; null when it never learnt that."""
    late_s: float = 0.0
    """How long after that moment it learnt of it."""
    ended_at_s: float | None = None
    """When it had written its last sample; null when it did not come so far."""


@document
class ChildRecord:
    """A process that the conductor started."""

    name: str
    exit_code: int | None
    """Null when it had to be killed; negative for the signal by which a load worker was ended."""
    note: str = ""


@document
class FileDigest:
    """One sealed file."""

    sha256: str
    bytes: int


@document
class SealRecord:
    """What sealing added. `manifest_sha256` covers the manifest without this field."""

    sealed_at_s: float
    files: dict[str, FileDigest]
    manifest_sha256: str


@document
class Manifest:
    """`manifest.json`, complete."""

    schema_version: int
    run_id: str
    plan_name: str
    plan_title: str
    hypothesis: str
    seed: int
    started_at_s: float
    ended_at_s: float | None = None
    end: RunEnd = RunEnd.RUNNING
    end_reason: str = ""
    planned_s: float
    """Time that the plan itself asks for: baseline and load."""
    target: TargetRecord
    loads: tuple[ExpectedLoad, ...]
    faults: tuple[ExpectedFault, ...]
    phases: tuple[PhaseRecord, ...] = ()
    clocks: tuple[ClockRecord, ...] = ()
    children: tuple[ChildRecord, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()
    """The load processes that the plan asked for; empty when the load never got so far."""
    probe_period_s: float
    warm_up_s: float = 5.0
    """Start of the load that throughput leaves out."""
    rate_scale: float = 1.0
    """Rates and users of the plan were multiplied by it."""
    time_scale: float = 1.0
    """Lengths of the plan's load were multiplied by it."""
    versions: dict[str, str] = field(default_factory=dict)
    host: dict[str, str | int | float] = field(default_factory=dict)
    git_revision: str | None = None
    seal: SealRecord | None = None

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {self.schema_version}; expected {SCHEMA_VERSION}")

    def phase(self, name: str) -> PhaseRecord | None:
        """Return the phase of that name, or None when the run did not come so far."""
        return next((phase for phase in self.phases if phase.name == name), None)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest at `path`. Raises DocumentError."""
    return read_json(path, Manifest)


def manifest_text(manifest: Manifest) -> str:
    """Return the manifest as JSON with sorted keys: the same manifest gives the same text."""
    return json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n"


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest by rename, so that a reader sees the old one or the new one, never half of it."""
    fresh = path.with_suffix(".json.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(manifest_text(manifest))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
