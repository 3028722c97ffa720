"""One measurement: what is run, and in which unit it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`run` does the work once and returns the figure."""

    name: str
    unit: str
    run: Callable[[], float]
    claim: str = ""
    """What the project says about it."""
