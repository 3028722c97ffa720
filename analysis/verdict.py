"""The three verdicts, and the reasons that every verdict carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What can be said. In order of gravity; merging takes the gravest."""

    PASS = "PASS"
    """It was measured, on good data, and it is within what was agreed."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """It cannot be said: data is missing, bad or too little. Never a pass, and never a fail."""
    FAIL = "FAIL"
    """It was measured, on good data, and it is not within what was agreed."""


_GRAVITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the gravest verdict; INCONCLUSIVE for none at all, because nothing was proved."""
    return max(verdicts, key=_GRAVITY.__getitem__, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look: a file of the bundle, and the row in it where there is one (counted from 0)."""

    file: str
    row: int | None = None

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file} row {self.row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a verdict is what it is. `code` is stable: scripts and dashboards may rely on it."""

    code: str
    sentence: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question that the run has to answer besides its budgets.

    `applies` is False where the question has no meaning for this target (one node cannot disagree with
    itself): then the check is shown and counts for nothing.
    """

    name: str
    title: str
    verdict: Verdict
    summary: str
    reasons: tuple[Reason, ...] = ()
    taints: tuple[str, ...] = ()
    """Sources of data that no budget may rest on, because this check did not pass."""
    applies: bool = True
