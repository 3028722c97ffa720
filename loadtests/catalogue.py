"""The scenarios that there are, as data. Imports no Locust, so that a plan can be checked without patching sockets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Gt, Le, MinLen

from bundle import document, read_toml

FOLDER = Path(__file__).parent


@document
class Operation:
    """One operation of a scenario."""

    name: str
    protocol: str
    share: Annotated[float, Gt(0), Le(1)] | None = None
    """Part of the scenario's arrivals that becomes this operation; null where it follows from the target."""
    scheduled: bool = False
    """Whether it begins on the schedule, rather than following from an operation that did."""
    conditional: bool = False
    """Whether it comes only when the target gives occasion (a blob was stored, somebody sent a transaction): no run
    is held to have it."""


@document
class Scenario:
    """One Locust file."""

    name: str
    file: str
    title: str
    operation: Annotated[tuple[Operation, ...], MinLen(1)]

    @property
    def path(self) -> Path:
        return FOLDER / self.file


@document
class ScenarioFile:
    """`scenarios.toml`."""

    scenario: tuple[Scenario, ...]


@cache
def scenarios() -> dict[str, Scenario]:
    """Return every scenario by name."""
    return {scenario.name: scenario for scenario in read_toml(FOLDER / "scenarios.toml", ScenarioFile).scenario}
