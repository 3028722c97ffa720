"""What every fault is: the port between leases and the kinds of fault.

FaultError
├── Forbidden        a guard refused: nothing was done
├── NotControllable  the target has no control port for this fault
└── NotHealed        the undo was done and the healing does not show
"""

from __future__ import annotations

from typing import Protocol

from bundle import Undo


class FaultError(Exception):
    """Root of this room's errors."""


class Forbidden(FaultError):
    """A guard refused: nothing was done."""


class NotControllable(FaultError):
    """The target has no control port for this fault."""


class NotHealed(FaultError):
    """The undo was done and the healing does not show in time."""


class Fault(Protocol):
    """A fault on named parts of the target. All methods raise TargetError when they cannot be carried out."""

    @property
    def name(self) -> str:
        """Kind of fault: "process.kill"."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the processes or nodes it acts on."""

    @property
    def undo(self) -> Undo:
        """How to take it away. Undoing twice does no harm."""

    def apply(self) -> None:
        """Do it. Applying twice does no more than once."""

    def effect(self) -> str | None:
        """Return what shows that it has taken effect, in words; None when it does not show (yet)."""

    def healing(self) -> str | None:
        """Return what shows that the targets work again, in words; None when they do not (yet)."""
