"""A fault that is nothing but its own notes, and journals as lists of words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bundle import FaultEvent, Undo, read_fault_journal
from target.errors import TargetError


class FakeFault:
    """Does what a test gives it to do."""

    def __init__(self, *targets: str, name: str = "fake.fault", verb: str = "start") -> None:
        self.name = name
        self.targets = targets or ("validator-3",)
        self.undo = Undo(verb=verb, targets=self.targets)
        self.applied = 0
        self.on_apply: Callable[[], None] = lambda: None
        self.effects: list[str | TargetError | None] = ["it shows"]
        """What each look at the effect gives; the last one stays."""
        self.healings: list[str | TargetError | None] = ["it works"]
        self.looks = 0

    def apply(self) -> None:
        self.applied += 1
        self.on_apply()

    def effect(self) -> str | None:
        return self._next(self.effects)

    def healing(self) -> str | None:
        return self._next(self.healings)

    def _next(self, answers: list[str | TargetError | None]) -> str | None:
        self.looks += 1
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, TargetError):
            raise answer
        return answer


def events_in(journal: Path) -> list[FaultEvent]:
    return read_fault_journal(journal)


def kinds_in(journal: Path) -> list[str]:
    """Return the kinds of a journal's events, in order."""
    return [event.event.value for event in events_in(journal)]
