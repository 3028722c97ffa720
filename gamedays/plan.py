"""A gameday plan: what is written (TOML), and what it resolves to."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import StringConstraints

from analysis.budget import Budget, BudgetChange, choose, read_rulebook
from bundle import DocumentError, ExpectedFault, ExpectedLoad, ExpectedOperation, Problem, document, read_toml
from devnet.network import NetworkSpec
from loadtests.arrivals import Arrivals, Trace, arrival_count, peak_rate_per_s, scaled, schedule_seed
from loadtests.catalogue import Scenario, scenarios
from loadtests.load_text import ClosedLoad, OpenLoad, ScenarioLoad

PLANS = Path(__file__).parent
LEVELS = PLANS / "levels"
EXPERIMENTS = Path(__file__).parent.parent / "experiments"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40)]
Text = Annotated[str, StringConstraints(min_length=1)]
Seconds = Annotated[float, Ge(0), Le(86_400)]
PositiveSeconds = Annotated[float, Gt(0), Le(86_400)]

MAX_RATE_PER_S = 100_000
_LEAST_IN_FLIGHT, _IN_FLIGHT_S = 10, 2.0
_SPARE_S = 180.0
"""Time that a run may take beyond its plan when the plan sets no limit: start, slow recovery, sealing."""


@document
class LoadEntry:
    """`[[load]]`: the load of one scenario, in one of two models.

    Closed: `users`, each acting at `rate_per_user_per_s` and waiting for its answer. Open: `arrivals` that wait for
    nobody; `in_flight` is how many may be on their way at once.
    """

    scenario: Name
    users: Annotated[int, Gt(0), Le(100_000)] | None = None
    rate_per_user_per_s: Annotated[float, Gt(0), Le(10_000)] | None = None
    """Without it, once a second."""
    arrivals: Arrivals | None = None
    in_flight: Annotated[int, Gt(0), Le(100_000)] | None = None
    """Without it, what the highest rate brings in two seconds, and at least ten."""

    def __post_init__(self) -> None:
        if (self.users is None) == (self.arrivals is None):
            has = "neither users nor arrivals" if self.users is None else "both users and arrivals"
            raise ValueError(f"has {has}; expected one of them")
        if self.arrivals is not None and self.rate_per_user_per_s is not None:
            raise ValueError("has rate_per_user_per_s with arrivals, which have their own rate; expected in_flight")
        if self.arrivals is None and self.in_flight is not None:
            raise ValueError("has in_flight without arrivals; expected users")
        rate = (self.users or 0) * (self.rate_per_user_per_s or 1.0)
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
    warm_up_s: Seconds = 5.0
    """Start of the load that throughput leaves out: a ramp, and the wait for the first block."""
    rate_scale: Annotated[float, Gt(0), Le(100)] = 1.0
    """Rates, users and the budgets on rates are multiplied by it."""
    time_scale: Annotated[float, Gt(0), Le(100)] = 1.0
    """The load's lengths are multiplied by it."""
    drain_limit_s: PositiveSeconds = 15.0
    """How long the end of the load waits for transactions on their way; what no block has then counts as lost."""
    time_limit_s: PositiveSeconds | None = None
    """The run is healed and ended when it takes longer."""
    probe_period_s: Annotated[float, Ge(0.05), Le(5)] = 0.2
    processes: Annotated[int, Ge(1), Le(64)] = 1
    """Locust processes that share the load; more than one are workers of a master."""
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
        if self.warm_up_s >= self.load_s:
            raise ValueError(f"warm_up_s is {self.warm_up_s:g}; expected less than load_s, {self.load_s:g}")
        if self.time_scale != 1 and self.fault:
            raise ValueError(
                "has a time_scale and faults, whose times have a meaning of their own; expected one of them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan, resolved: its scenarios and experiments exist, its budgets are complete."""

    path: Path
    text: str
    """As run: what was written, and the scales that the command line gave."""
    file: PlanFile
    """Scaled."""
    scenarios: tuple[Scenario, ...]
    loads: tuple[ScenarioLoad, ...]
    """One an entry, complete, in the same order."""
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
        pairs = zip(self.loads, self.scenarios, strict=True)
        return tuple(_expected(load, scenario, self.file) for load, scenario in pairs)

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


def find_level(name: str) -> Path:
    """Return the path of a load level given by path, or by the name of one that comes with the harness."""
    shipped = LEVELS / f"{name}.toml"
    return shipped if not os.path.exists(name) and os.path.isfile(shipped) else Path(name)


def shipped_levels() -> list[Path]:
    """Return the load levels that come with the harness."""
    return sorted(LEVELS.glob("*.toml"))


def find_plan(name: str) -> Path:
    """Return the path of a plan given by path, or by the name of one of the plans that come with the harness."""
    shipped = PLANS / f"{name}.toml"
    return shipped if not os.path.exists(name) and os.path.isfile(shipped) else Path(name)


def shipped_plans() -> list[Path]:
    """Return the plans that come with the harness."""
    return sorted(PLANS.glob("*.toml"))


def load_plan(path: Path, *, rate_scale: float = 1.0, time_scale: float = 1.0) -> Plan:
    """Return the plan at `path`, scaled by what it says itself or by what is given. Raises DocumentError."""
    written = read_toml(path, PlanFile)
    text = path.read_text(encoding="utf-8")
    problems: list[Problem] = []
    file = written
    try:
        for name, scale in (("rate_scale", rate_scale), ("time_scale", time_scale)):
            if scale != 1:
                if getattr(written, name) != 1:
                    raise ValueError(f"the plan has {name} = {getattr(written, name):g} already")
                file = replace(file, **{name: scale})  # type: ignore[arg-type]
                text = f"{name} = {scale!r}\n{text}"  # at the top, where no table has begun
        file = scaled_plan(file)
    except ValueError as error:
        problems.append(Problem(where="scale", found=f"cannot be applied ({error})", expected="another"))
    known = scenarios()
    for place, entry in enumerate(file.load):
        if entry.scenario not in known:
            problems.append(_unknown(f"load[{place}].scenario", entry.scenario, sorted(known)))
    loads = tuple(_resolve(entry, path, file.load_s) for entry in file.load)
    for place, (entry, load) in enumerate(zip(file.load, loads, strict=True)):
        if isinstance(load, OpenLoad):
            problems += _schedule_problems(f"load[{place}].arrivals", load, file, known.get(entry.scenario))
    experiments = {experiment.stem: experiment for experiment in sorted(EXPERIMENTS.glob("*.yaml"))}
    for place, fault in enumerate(file.fault):
        if fault.experiment not in experiments:
            problems.append(_unknown(f"fault[{place}].experiment", fault.experiment, sorted(experiments)))
    budgets: tuple[Budget, ...] = ()
    try:
        budgets = choose(read_rulebook(), file.budgets, file.budget, source=str(path))
        budgets = tuple(_scaled_budget(budget, file.rate_scale) for budget in budgets)
    except DocumentError as error:
        problems += error.problems
    if problems:
        raise DocumentError(str(path), tuple(problems))
    return Plan(
        path=path,
        text=text,
        file=file,
        scenarios=tuple(known[entry.scenario] for entry in file.load),
        loads=loads,
        experiments=tuple(experiments[fault.experiment] for fault in file.fault),
        budgets=budgets,
    )


def scaled_plan(file: PlanFile) -> PlanFile:
    """Return the plan with its scales applied to rates, users and lengths. Raises ValueError out of bounds."""
    rate, time = file.rate_scale, file.time_scale
    if rate == time == 1:
        return file
    return replace(
        file,
        load_s=file.load_s * time,
        warm_up_s=file.warm_up_s * time,
        load=tuple(
            replace(
                entry,
                users=None if entry.users is None else max(1, round(entry.users * rate)),
                in_flight=None if entry.in_flight is None else max(1, round(entry.in_flight * rate)),
                arrivals=None if entry.arrivals is None else scaled(entry.arrivals, rate=rate, time=time),
            )
            for entry in file.load
        ),
    )


def _scaled_budget(budget: Budget, scale: float) -> Budget:
    """Return a budget whose limit is a rate, scaled as the load is."""
    if scale == 1 or not budget.unit.endswith("/s"):
        return budget
    note = f"The load is scaled by {scale:g}, and so is the limit of {budget.limit:g} {budget.unit}."
    return replace(budget, limit=budget.limit * scale, note=" ".join(filter(None, (budget.note, note))))


def _check_once(where: str, names: Iterable[str]) -> None:
    """Raise ValueError when a name is there twice: which of the two is meant?"""
    all_names = list(names)
    if len(set(all_names)) < len(all_names):
        raise ValueError(f"has {max(all_names, key=all_names.count)!r} twice under {where}; expected each once")


def _unknown(where: str, name: str, known: list[str]) -> Problem:
    return Problem(where=where, found=f"is {name!r}", expected=f"one of {', '.join(known)}")


def _resolve(entry: LoadEntry, plan: Path, load_s: float) -> ScenarioLoad:
    """Return a load with nothing left open; the file of a trace is looked for beside the plan."""
    if entry.arrivals is None:
        assert entry.users is not None
        return ClosedLoad(users=entry.users, rate_per_user_per_s=entry.rate_per_user_per_s or 1.0)
    arrivals = entry.arrivals
    if isinstance(arrivals, Trace):
        arrivals = replace(arrivals, file=str((plan.parent / arrivals.file).resolve()))
    if entry.in_flight is not None:
        return OpenLoad(users=entry.in_flight, arrivals=arrivals)
    try:
        peak = peak_rate_per_s(arrivals, load_s)
    except DocumentError:
        peak = 0.0  # told with the schedule's other problems
    return OpenLoad(users=min(max(_LEAST_IN_FLIGHT, math.ceil(peak * _IN_FLIGHT_S)), 100_000), arrivals=arrivals)


def _schedule_problems(where: str, load: OpenLoad, file: PlanFile, scenario: Scenario | None) -> list[Problem]:
    """Return what is wrong with open arrivals that only shows when they are made."""
    if scenario is None:
        return []  # told by itself
    if not any(operation.scheduled for operation in scenario.operation):
        return [Problem(where=where, found=f"are there for {scenario.name}, whose users only listen", expected="users")]
    try:
        if arrival_count(load.arrivals, file.load_s, schedule_seed(file.seed, scenario.name)) > 0:
            return []
    except DocumentError as error:
        told = [(f"{error.source} {problem.where}".rstrip(), problem) for problem in error.problems]
        return [Problem(where=where, found=f"{place} {p.found}", expected=p.expected) for place, p in told]
    return [Problem(where=where, found="have no arrival in the load's time", expected="at least one")]


def _expected(load: ScenarioLoad, scenario: Scenario, file: PlanFile) -> ExpectedLoad:
    """Return what the load will show: of open arrivals exactly what the schedule has, which its seed fixes."""
    if isinstance(load, OpenLoad):
        seed = schedule_seed(file.seed, scenario.name)
        rate = arrival_count(load.arrivals, file.load_s, seed) / file.load_s
    else:
        rate = load.users * load.rate_per_user_per_s
    return ExpectedLoad(
        scenario=scenario.name,
        users=load.users,
        rate_per_s=rate,
        is_open=isinstance(load, OpenLoad),
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
