"""A fault is a lease: written down before it is applied, proved, taken back, and proved gone.

    planned → applied → effect seen → healed → heal seen

Each step is on disk before it is acted on. The journal is all the state there is: every function finds its
lease there, so that an action, a probe, a rollback and a later clean-up work on the same one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundle import FaultEvent, FaultEventKind, FaultJournal, Undo, read_fault_journal
from bundle.fault_journal import open_leases
from experiments.fault import Fault
from experiments.guards import Intent, check
from experiments.undo import perform
from target.control import DevnetControl
from target.errors import TargetError
from target.target import Target

_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBook:
    """The leases in one fault journal."""

    path: Path

    def impose(self, fault: Fault, target: Target, intent: Intent, *, lease_s: float) -> str:
        """Apply a fault under a new lease and return the lease's id.

        Raises Forbidden before anything is written, TargetError when it cannot be applied (then it is undone
        as far as it went, by whoever heals).
        """
        try:
            check(target, intent)
        except Exception as error:
            self._write("refused", FaultEventKind.FAILED, fault, evidence=str(error))
            raise
        lease = f"{fault.name}-{secrets.token_hex(4)}"
        self._write(lease, FaultEventKind.PLANNED, fault, undo=fault.undo, deadline_at_s=time.time() + lease_s)
        try:
            fault.apply()
        except TargetError as error:
            self._write(lease, FaultEventKind.FAILED, fault, evidence=f"not applied: {error}")
            raise
        self._write(lease, FaultEventKind.APPLIED, fault)
        return lease

    def await_effect(self, fault: Fault, *, limit_s: float) -> bool:
        """Return whether the fault's effect showed in time; what showed is written down."""
        return self._await(fault, fault.effect, FaultEventKind.EFFECT_SEEN, limit_s)

    def await_healing(self, fault: Fault, *, limit_s: float) -> bool:
        """Return whether the healing of the fault showed in time; what showed is written down."""
        return self._await(fault, fault.healing, FaultEventKind.HEAL_SEEN, limit_s)

    def open(self) -> list[FaultEvent]:
        """Return the `planned` events of leases that are not known to be healed."""
        return open_leases(read_fault_journal(self.path))

    def undo_all(self, control: DevnetControl) -> list[str]:
        """Undo every open lease, the latest first, and return their ids. Raises TargetError for the first that fails.

        Undoing what was undone already does no harm, so nobody has to know how far a dead runner came.
        """
        undone, problems = [], []
        for planned in reversed(self.open()):
            if planned.undo is None:
                continue
            self._note_expired(planned)
            try:
                perform(planned.undo, control)
            except TargetError as error:
                problems.append(error)
                continue
            self.note_undone(planned)
            undone.append(planned.lease)
        if problems:
            raise problems[0]
        return undone

    def _note_expired(self, planned: FaultEvent) -> None:
        """Write, once, that a lease's deadline passed before anybody undid it."""
        if planned.deadline_at_s is None or time.time() < planned.deadline_at_s:
            return
        self._write_once(planned, FaultEventKind.EXPIRED)

    def note_undone(self, planned: FaultEvent) -> None:
        """Write that a lease was undone, unless that is written already."""
        self._write_once(planned, FaultEventKind.HEALED)

    def _write_once(self, planned: FaultEvent, kind: FaultEventKind) -> None:
        events = read_fault_journal(self.path)
        if any(event.lease == planned.lease and event.event is kind for event in events):
            return
        event = FaultEvent(
            lease=planned.lease, event=kind, at_s=time.time(), fault=planned.fault, targets=planned.targets
        )
        FaultJournal(self.path).write(event)

    def _await(self, fault: Fault, look: Callable[[], str | None], kind: FaultEventKind, limit_s: float) -> bool:
        lease = self._lease_of(fault)
        if lease is None:
            return False  # refused, or never applied: nothing can show
        end = time.monotonic() + limit_s
        while True:
            try:
                evidence = look()
            except TargetError:
                evidence = None  # a target that does not answer shows nothing
            if evidence is not None:
                self._write(lease, kind, fault, evidence=evidence)
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_S)

    def _lease_of(self, fault: Fault) -> str | None:
        """Return the latest open lease of this fault on these targets."""
        for planned in reversed(self.open()):
            if planned.fault == fault.name and planned.targets == fault.targets:
                return planned.lease
        return None

    def _write(
        self,
        lease: str,
        kind: FaultEventKind,
        fault: Fault,
        *,
        undo: Undo | None = None,
        deadline_at_s: float | None = None,
        evidence: str = "",
    ) -> None:
        event = FaultEvent(
            lease=lease,
            event=kind,
            at_s=time.time(),
            fault=fault.name,
            targets=fault.targets,
            undo=undo,
            deadline_at_s=deadline_at_s,
            evidence=evidence,
        )
        FaultJournal(self.path).write(event)
