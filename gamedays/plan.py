"""A gameday plan: what is written (TOML), and what it resolves to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import StringConstraints

from analysis.budget import Budget, BudgetChange, choose, read_rulebook
from bundle import DocumentError, ExpectedFault, ExpectedLoad, ExpectedOperation, Problem, document, read_toml
from devnet.network import NetworkSpec
from loadtests.catalogue import Scenario, scenarios

PLANS = Path(__file__).parent
EXPERIMENTS = Path(__file__).parent.parent / "experiments"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
Text = Annotated[str, StringConstraints(min_length=1)]
Seconds = Annotated[float, Ge(0), Le(86_400)]
PositiveSeconds = Annotated[float, Gt(0), Le(86_400)]

MAX_RATE_PER_S = 100_000
_SPARE_S = 180.0
"""Time that a run may take beyond its plan when the plan sets no limit: start, slow recovery, sealing."""


@document
class LoadEntry:
    """`[[load]]`: users of one scenario, each acting at a fixed rate."""

    scenario: Name
    users: Annotated[int, Gt(0), Le(100_000)]
    rate_per_user_per_s: Annotated[float, Gt(0), Le(10_000)] = 1.0

    def __post_init__(self) -> None:
        rate = self.users * self.rate_per_user_per_s
        if rate > MAX_RATE_PER_S:
            raise ValueError(f"asks for {rate:.0f} operations a second; expected at most {MAX_RATE_PER_S}")


@document
class FaultEntry:
    """`[[fault]]`: one experiment at one time of the load."""

    experiment: Name
    """A file of `experiments/`, without its ending."""
    targets: Annotated[tuple[Name, ...], MinLen(1)]
    at_s: Seconds
    """After the load began."""
    hold_s: PositiveSeconds
    """From the moment its effect is seen to its undo."""
    effect_limit_s: PositiveSeconds = 15.0
    recovery_limit_s: PositiveSeconds = 60.0
    """How long healing is waited for; how long it may take is for a budget to say."""
    expected_halt: bool = False
    """Declares that the chain will stand still, and that success is recovery."""

    def __post_init__(self) -> None:
        _check_once("targets", self.targets)


@document
class PlanFile:
    """A plan as written."""

    name: Name
    title: Text
    hypothesis: Text
    """What is claimed to hold although something breaks."""
    seed: Annotated[int, Ge(0)] = 1
    target_file: str | None = None
    """Path of a Target file, relative to the plan; without it, `devnet` starts a network for the run."""
    devnet: NetworkSpec | None = None
    baseline_s: PositiveSeconds = 10.0
    load_s: PositiveSeconds
    drain_limit_s: PositiveSeconds = 15.0
    """How long the end of the load waits for transactions on their way; what no block has then counts as lost."""
    time_limit_s: PositiveSeconds | None = None
    """The run is healed and ended when it takes longer."""
    probe_period_s: Annotated[float, Ge(0.05), Le(5)] = 0.2
    load: Annotated[tuple[LoadEntry, ...], MinLen(1)]
    fault: tuple[FaultEntry, ...] = ()
    budgets: Annotated[tuple[Text, ...], MinLen(1)]
    """Ids of the rulebook's budgets."""
    budget: tuple[BudgetChange, ...] = ()
    """Changes of the chosen budgets, each with its reason."""

    def __post_init__(self) -> None:
        if self.target_file is not None and self.devnet is not None:
            raise ValueError("has both target_file and devnet; expected one of them")
        _check_once("load", (entry.scenario for entry in self.load))
        _check_once("budgets", self.budgets)
        _check_once("budget", (change.id for change in self.budget))
        free_from = 0.0
        for place, fault in enumerate(self.fault):
            if fault.at_s < free_from:
                raise ValueError(
                    f"fault[{place}].at_s is {fault.at_s:g}, in the fault before it; expected {free_from:g} or more"
                )
            free_from = fault.at_s + fault.hold_s
        if free_from >= self.load_s:
            found = f"load_s is {self.load_s:g} with faults until {free_from:g} s"
            raise ValueError(f"{found}; expected a load that outlasts them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan, resolved: its scenarios and experiments exist, its budgets are complete."""

    path: Path
    file: PlanFile
    scenarios: tuple[Scenario, ...]
    experiments: tuple[Path, ...]
    """One a fault, in the same order."""
    budgets: tuple[Budget, ...]

    @property
    def planned_s(self) -> float:
        """Time that the plan itself asks for."""
        return self.file.baseline_s + self.file.load_s

    @property
    def time_limit_s(self) -> float:
        if self.file.time_limit_s is not None:
            return self.file.time_limit_s
        return self.planned_s + sum(fault.recovery_limit_s for fault in self.file.fault) + _SPARE_S

    def expected_loads(self) -> tuple[ExpectedLoad, ...]:
        """Return what the samples will have to show."""
        return tuple(_expected(entry, scenario) for entry, scenario in zip(self.file.load, self.scenarios, strict=True))

    def expected_faults(self) -> tuple[ExpectedFault, ...]:
        """Return what the fault journal will have to show."""
        return tuple(
            ExpectedFault(
                experiment=fault.experiment,
                targets=fault.targets,
                expected_halt=fault.expected_halt,
                hold_s=fault.hold_s,
                recovery_limit_s=fault.recovery_limit_s,
            )
            for fault in self.file.fault
        )


def find_plan(name: str) -> Path:
    """Return the path of a plan given by path, or by the name of one of the plans that come with the harness."""
    shipped = PLANS / f"{name}.toml"
    return shipped if not os.path.exists(name) and os.path.isfile(shipped) else Path(name)


def shipped_plans() -> list[Path]:
    """Return the plans that come with the harness."""
    return sorted(PLANS.glob("*.toml"))


def load_plan(path: Path) -> Plan:
    """Return the plan at `path`. Raises DocumentError with every problem."""
    file = read_toml(path, PlanFile)
    problems: list[Problem] = []
    known = scenarios()
    for place, entry in enumerate(file.load):
        if entry.scenario not in known:
            problems.append(_unknown(f"load[{place}].scenario", entry.scenario, sorted(known)))
    experiments = {experiment.stem: experiment for experiment in sorted(EXPERIMENTS.glob("*.yaml"))}
    for place, fault in enumerate(file.fault):
        if fault.experiment not in experiments:
            problems.append(_unknown(f"fault[{place}].experiment", fault.experiment, sorted(experiments)))
    budgets: tuple[Budget, ...] = ()
    try:
        budgets = choose(read_rulebook(), file.budgets, file.budget, source=str(path))
    except DocumentError as error:
        problems += error.problems
    if problems:
        raise DocumentError(str(path), tuple(problems))
    return Plan(
        path=path,
        file=file,
        scenarios=tuple(known[entry.scenario] for entry in file.load),
        experiments=tuple(experiments[fault.experiment] for fault in file.fault),
        budgets=budgets,
    )


def _check_once(where: str, names: Iterable[str]) -> None:
    """Raise ValueError when a name is there twice: which of the two is meant?"""
    all_names = list(names)
    if len(set(all_names)) < len(all_names):
        raise ValueError(f"has {max(all_names, key=all_names.count)!r} twice under {where}; expected each once")


def _unknown(where: str, name: str, known: list[str]) -> Problem:
    return Problem(where=where, found=f"is {name!r}", expected=f"one of {', '.join(known)}")


def _expected(entry: LoadEntry, scenario: Scenario) -> ExpectedLoad:
    rate = entry.users * entry.rate_per_user_per_s
    return ExpectedLoad(
        scenario=entry.scenario,
        users=entry.users,
        rate_per_s=rate,
        operations=tuple(
            ExpectedOperation(
                name=operation.name,
                protocol=operation.protocol,
                rate_per_s=None if operation.share is None else operation.share * rate,
                scheduled=operation.scheduled,
            )
            for operation in scenario.operation
            if not operation.conditional
        ),
    )
