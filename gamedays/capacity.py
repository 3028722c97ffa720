"""The search for the highest rate that a target bears: one run after the other, on one target that stays up.

    start ──► run a step ──► judge ──► decide ──┬──► wait until the mempools are empty ──► next step
                                                └──► answer

This module runs things and decides nothing: which rate comes next, and when it is enough, is `analysis/rate_search.py`.
Every step is a plan without faults and leaves a sealed bundle like that of any run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from analysis.budget import BudgetChange
from analysis.capacity import Capacity, conclude
from analysis.judge import judge
from analysis.load_step import LoadStep, read_step
from analysis.rate_search import Answer, End, Next, SearchRules, Trial, answer_now, decide
from devnet.network import NetworkSpec
from gamedays.gameday import Ground, Options, conduct, stand_on_target
from gamedays.interruption import Interruption, StopRun
from gamedays.plan import load_plan
from gamedays.progress import Progress
from reports.capacity import capacity_text
from reports.write import write_reports
from target.errors import TargetError
from target.rpc import RpcClient
from target.target import Target

EMPTY_LIMIT_S = 180.0
"""How long the mempools may take to become empty between steps."""
_ASK_LIMIT_S = 5.0
_BASELINE_S = 2.0
_DRAIN_LIMIT_S = 60.0
"""What waits after a step that was too much is committed late, which a budget of latency tells; it is not lost."""
_IN_FLIGHT_S, _LEAST_IN_FLIGHT, _MOST_IN_FLIGHT = 5.0, 50, 20_000
"""Places for requests on their way: what five seconds bring, so that slow answers keep no arrival from being sent."""
_PROBE_PERIOD_S = 0.5
"""Looks cost the nodes time, too, and no default budget rests on their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What is searched for, and how."""

    rules: SearchRules
    scenario: str
    step_s: float
    budgets: tuple[str, ...]
    changes: tuple[BudgetChange, ...]
    current_per_s: float | None
    options: Options


class CapacitySearch:
    """One search on one target."""

    def __init__(self, wanted: SearchOptions, folder: Path, progress: Progress, interruption: Interruption) -> None:
        self._wanted = wanted
        self._folder = folder
        self._progress = progress
        self._interruption = interruption
        self._steps: list[LoadStep] = []

    def search(self, ground: Ground) -> Capacity:
        """Return what was found, also when a signal ended the search or the mempools did not become empty."""
        rules = self._wanted.rules
        try:
            while isinstance(decision := decide(rules, self._trials), Next):
                self._interruption.check()  # a signal may have come while the last step was judged
                await_empty_mempools(ground.target, self._interruption, self._progress)
                self._step(ground, decision.rate_per_s)
                self._save(self._concluded(ground, answer_now(rules, self._trials, End.STOPPED)))
            answer = decision
        except (StopRun, TargetError) as stop:
            self._progress.step(f"the search ends: {stop}")
            answer = answer_now(rules, self._trials, End.STOPPED)
        self._interruption.finish()
        return self._save(self._concluded(ground, answer))

    @property
    def _trials(self) -> list[Trial]:
        return [Trial(rate_per_s=step.rate_per_s, outcome=step.outcome) for step in self._steps]

    def _step(self, ground: Ground, rate_per_s: float) -> None:
        """Run one step and take note of what it says. Raises Interrupted; the step that was cut short counts not."""
        number = len(self._steps) + 1
        self._progress.step(f"step {number}: {rate_per_s:g} a second for {self._wanted.step_s:g} s")
        plan = load_plan(self._write_plan(number, rate_per_s))
        options = replace(self._wanted.options, runs=self._folder)
        layout = conduct(plan, ground, options, self._progress, self._interruption)
        self._interruption.go_on()
        self._progress.step("judging")
        run, judgement = judge(layout.root)
        write_reports(run, judgement)
        step = read_step(run, judgement, number=number, rate_per_s=rate_per_s)
        self._steps.append(step)
        self._progress.step(f"step {number}: {rate_per_s:g} a second {step.outcome} {step.why}".rstrip())

    def _write_plan(self, number: int, rate_per_s: float) -> Path:
        """Write the plan of a step and return its path."""
        wanted = self._wanted
        name = f"step-{number:02}"
        in_flight = min(max(_LEAST_IN_FLIGHT, round(_IN_FLIGHT_S * rate_per_s)), _MOST_IN_FLIGHT)
        top = {
            "name": name,
            "title": f"Step {number} of a capacity search: {rate_per_s:g} {wanted.scenario} arrivals a second",
            "hypothesis": f"The target bears {rate_per_s:g} a second within its budgets.",
            "seed": wanted.rules.seed * 1000 + number,
            "baseline_s": _BASELINE_S,
            "load_s": wanted.step_s,
            "drain_limit_s": _DRAIN_LIMIT_S,
            "probe_period_s": _PROBE_PERIOD_S,
            "budgets": list(wanted.budgets),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        lines += ["[[load]]", f"scenario = {json.dumps(wanted.scenario)}", f"in_flight = {in_flight}"]
        lines += [f'arrivals = {{ kind = "constant", rate_per_s = {rate_per_s!r}, process = "poisson" }}']
        for change in wanted.changes:
            lines += ["[[budget]]", f"id = {json.dumps(change.id)}", f"limit = {change.limit!r}"]
            lines += [f"reason = {json.dumps(change.reason)}"]
        path = self._folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _concluded(self, ground: Ground, answer: Answer) -> Capacity:
        wanted = self._wanted
        return conclude(
            wanted.rules,
            answer,
            self._steps,
            target=ground.target.name,
            scenario=wanted.scenario,
            step_s=wanted.step_s,
            current_per_s=wanted.current_per_s,
        )

    def _save(self, capacity: Capacity) -> Capacity:
        (self._folder / "capacity.json").write_text(capacity_text(capacity), encoding="utf-8")
        return capacity


def find_capacity(wanted: SearchOptions, progress: Progress) -> tuple[Path, Capacity]:
    """Return the folder of a search and what it found. Raises as `run_gameday` does before the first step."""
    interruption = Interruption(progress.step)
    interruption.listen()
    name = f"capacity-{wanted.scenario}"
    with stand_on_target(name, wanted.options.target_file, NetworkSpec(), progress) as ground:
        interruption.careful()
        folder = wanted.options.runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(3)}"
        folder.mkdir(parents=True)
        progress.step(f"search {folder}")
        return folder, CapacitySearch(wanted, folder, progress, interruption).search(ground)


def await_empty_mempools(
    target: Target, interruption: Interruption, progress: Progress, *, limit_s: float = EMPTY_LIMIT_S
) -> None:
    """Wait until no node has a transaction waiting. Raises StopRun when a signal or the limit comes first."""
    clients = [RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S) for node in target.nodes]
    sizes: Sequence[int | None] = ()

    def are_empty() -> bool:
        nonlocal sizes
        sizes = [_mempool_size(client) for client in clients]
        return all(size == 0 for size in sizes)

    if are_empty():
        return
    progress.step("resting until the mempools are empty")
    if not interruption.wait_until(are_empty, limit_s=limit_s):
        told = ", ".join("no answer" if size is None else str(size) for size in sizes)
        raise StopRun(f"the mempools were not empty within {limit_s:.0f} s: {told} transactions wait")


def _mempool_size(client: RpcClient) -> int | None:
    try:
        return client.mempool_count()
    except TargetError:
        return None  # busy nodes answer late: not known is not empty
