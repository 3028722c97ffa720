"""`gameday capacity`: the highest rate that still meets the budgets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analysis.budget import BudgetChange, choose, read_rulebook
from analysis.rate_search import SearchRules
from bundle import DocumentError, Problem
from gamedays.exit_code import ExitCode
from gamedays.gameday import Options
from gamedays.interruption import Interruption
from gamedays.progress import Progress
from loadtests.catalogue import scenarios

_PATH = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(min=0, min_open=True)
_WHERE = "gameday capacity"
DEFAULT_BUDGETS = {
    "transfer": ("CAP-KEPT-UP", "PB-L-02", "PB-Q-02"),
    "query": ("PB-L-03", "PB-Q-01"),
}


@click.command()
@click.option("--scenario", default="transfer", show_default=True, help="What users do.")
@click.option("--target", "target_file", type=_PATH, help="Target file; without it, a devnet for the search.")
@click.option("--budget", "budgets", multiple=True, metavar="ID[=LIMIT]", help="Budget to meet; may be repeated.")
@click.option("--current-load", type=_POSITIVE, help="Load of today, a second: ten times as much is needed.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Same seed, same steps.")
@click.option("--step-s", type=click.FloatRange(5, 3600), default=30.0, show_default=True, help="Load of one step.")
@click.option("--start-rate", type=_POSITIVE, default=50.0, show_default=True, help="About the rate of the first step.")
@click.option("--min-rate", type=_POSITIVE, default=1.0, show_default=True, help="Lowest rate to try.")
@click.option("--max-rate", type=_POSITIVE, default=2000.0, show_default=True, help="Highest rate to try.")
@click.option("--max-steps", type=click.IntRange(1, 200), default=20, show_default=True, help="Most steps to take.")
@click.option("--narrow-to", type=float, default=1.2, show_default=True, help="Enough: upper by lower end.")
@click.option("--runs", type=_PATH, default=Path("runs"), show_default=True, help="Folder for the search's folder.")
@click.option("--allow-production", is_flag=True, help="Allow load on a production target.")
def capacity(
    scenario: str,
    target_file: Path | None,
    budgets: tuple[str, ...],
    current_load: float | None,
    seed: int,
    step_s: float,
    start_rate: float,
    min_rate: float,
    max_rate: float,
    max_steps: int,
    narrow_to: float,
    runs: Path,
    allow_production: bool,
) -> None:
    """Find the highest rate that still meets the budgets, with its interval."""
    try:
        rules = SearchRules(
            seed=seed,
            start_rate_per_s=min(start_rate, max_rate),
            min_rate_per_s=min_rate,
            max_rate_per_s=max_rate,
            max_steps=max_steps,
            narrow_to=narrow_to,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    chosen, changes = _budgets(scenario, budgets)
    # Not at the top: data frames and plots come with it, which `gameday --help` should not wait for.
    from gamedays.capacity import SearchOptions, find_capacity
    from reports.capacity import capacity_table

    wanted = SearchOptions(
        rules=rules,
        scenario=scenario,
        step_s=step_s,
        budgets=chosen,
        changes=changes,
        current_per_s=current_load,
        options=Options(runs=runs, target_file=target_file, allow_production=allow_production),
    )
    folder, found = find_capacity(wanted, Progress())
    click.echo(capacity_table(found))
    click.echo(f"result: {folder / 'capacity.json'}")
    Interruption.ignore()
    sys.exit(ExitCode.PASS if found.is_found else ExitCode.INCONCLUSIVE)


def _budgets(scenario: str, given: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[BudgetChange, ...]]:
    """Return the ids of the budgets to meet and the limits that the command line changes. Raises DocumentError."""
    _check_scenario(scenario)
    if not given:
        if scenario not in DEFAULT_BUDGETS:
            problem = Problem(where="--budget", found=f"is missing for {scenario}", expected="a budget to meet")
            raise DocumentError(_WHERE, (problem,))
        return DEFAULT_BUDGETS[scenario], ()
    ids, changes = [], []
    for text in given:
        id_, equals, limit = text.partition("=")
        ids.append(id_)
        if equals:
            changes.append(BudgetChange(id=id_, limit=_limit(text, limit), reason="asked for on the command line"))
    choose(read_rulebook(), ids, changes, source=_WHERE)  # a wrong id is told now, not after a devnet has started
    return tuple(ids), tuple(changes)


def _check_scenario(name: str) -> None:
    """Raise DocumentError for a scenario that there is not, or that has no rate to search for."""
    known = scenarios()
    rated = [each.name for each in known.values() if any(operation.scheduled for operation in each.operation)]
    if name not in rated:
        found = f"is {name!r}" + (", whose users only listen" if name in known else "")
        problem = Problem(where="--scenario", found=found, expected=f"one of {', '.join(sorted(rated))}")
        raise DocumentError(_WHERE, (problem,))


def _limit(text: str, limit: str) -> float:
    try:
        return float(limit)
    except ValueError:
        problem = Problem(where="--budget", found=f"is {text!r}", expected="ID or ID=LIMIT, the limit a number")
        raise DocumentError(_WHERE, (problem,)) from None
