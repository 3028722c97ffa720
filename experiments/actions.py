"""Chaos Toolkit actions: break something under a lease, and take it back.

WARNING: these end and cut off real processes of the target that the Target file names.

Every action takes `target_file` (path of the Target file) and `journal` (path of the fault journal). What
the guards refuse raises `Forbidden`; the toolkit then goes on, and the journal has no "applied" line: a run
without it is judged INCONCLUSIVE.
"""

from __future__ import annotations

from pathlib import Path

from experiments.fault import Fault
from experiments.faults.network import NetworkPartition
from experiments.faults.process import ProcessKill, ProcessPause
from experiments.guards import Intent
from experiments.lease import LeaseBook
from target.control import connect_control
from target.target import Target, load_target

__all__ = ["heal", "kill_processes", "partition_nodes", "pause_processes"]

DEFAULT_LEASE_S = 600.0


def kill_processes(
    target_file: str,
    journal: str,
    processes: str,
    lease_s: float = DEFAULT_LEASE_S,
    expected_halt: bool = False,
    allow_production: bool = False,
) -> str:
    """Kill processes ("validator-3" or "validator-2,validator-3"). Returns the lease's id."""
    target = load_target(Path(target_file))
    fault = ProcessKill(target, names(processes))
    return _impose(target, fault, journal, lease_s, expected_halt, allow_production)


def pause_processes(
    target_file: str,
    journal: str,
    processes: str,
    lease_s: float = DEFAULT_LEASE_S,
    expected_halt: bool = False,
    allow_production: bool = False,
) -> str:
    """Stop processes where they stand. Returns the lease's id."""
    target = load_target(Path(target_file))
    fault = ProcessPause(target, names(processes))
    return _impose(target, fault, journal, lease_s, expected_halt, allow_production)


def partition_nodes(
    target_file: str,
    journal: str,
    nodes: str,
    lease_s: float = DEFAULT_LEASE_S,
    expected_halt: bool = False,
    allow_production: bool = False,
) -> str:
    """Cut a group of nodes off from all others. Returns the lease's id."""
    target = load_target(Path(target_file))
    fault = NetworkPartition(target, names(nodes))
    return _impose(target, fault, journal, lease_s, expected_halt, allow_production)


def heal(target_file: str, journal: str) -> list[str]:
    """Undo every fault that is open in the journal. Returns the ids of their leases; does no harm twice."""
    control = connect_control(load_target(Path(target_file)))
    return [] if control is None else LeaseBook(path=Path(journal)).undo_all(control)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text like "a, b"."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _impose(
    target: Target, fault: Fault, journal: str, lease_s: float, expected_halt: bool, allow_production: bool
) -> str:
    intent = Intent(
        fault=fault.name, targets=fault.targets, expected_halt=expected_halt, allow_production=allow_production
    )
    return LeaseBook(path=Path(journal)).impose(fault, target, intent, lease_s=lease_s)
