"""The capacity search without a chain: its options, the plans of its steps, the rest between them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analysis.budget import BudgetChange, read_rulebook
from analysis.rate_search import SearchRules
from bundle import DocumentError
from gamedays.capacity import CapacitySearch, SearchOptions, await_empty_mempools
from gamedays.cli_capacity import DEFAULT_BUDGETS, capacity
from gamedays.gameday import Options
from gamedays.interruption import Interruption, StopRun
from gamedays.plan import load_plan
from gamedays.progress import Progress
from loadtests.arrivals import Constant, Process
from loadtests.catalogue import scenarios
from loadtests.load_text import OpenLoad
from target.target import Target, load_target
from tests.servers import rpc_node


def wanted(folder: Path, **changes: Any) -> SearchOptions:
    options = SearchOptions(
        rules=SearchRules(seed=7),
        scenario="transfer",
        step_s=30.0,
        budgets=DEFAULT_BUDGETS["transfer"],
        changes=(),
        current_per_s=None,
        options=Options(runs=folder),
    )
    return replace(options, **changes)


def searching(folder: Path, **changes: Any) -> CapacitySearch:
    return CapacitySearch(wanted(folder, **changes), folder, Progress(), Interruption(print))


@pytest.mark.parametrize("scenario", list(DEFAULT_BUDGETS))
def test_a_step_is_a_plan_of_open_arrivals_without_faults(tmp_path: Path, scenario: str) -> None:
    budgets = DEFAULT_BUDGETS[scenario]
    plan = load_plan(searching(tmp_path, scenario=scenario, budgets=budgets)._write_plan(3, 135.0))
    assert plan.loads == (OpenLoad(users=675, arrivals=Constant(rate_per_s=135.0, process=Process.POISSON)),)
    assert (plan.file.fault, plan.file.load_s, plan.file.seed) == ((), 30.0, 7003)
    assert [budget.id for budget in plan.budgets] == list(budgets)


def test_a_limit_of_the_command_line_is_in_the_plan_with_its_reason(tmp_path: Path) -> None:
    change = BudgetChange(id="PB-L-02", limit=3000.0, reason="asked for on the command line")
    [_, budget, _] = load_plan(searching(tmp_path, changes=(change,))._write_plan(1, 5.0)).budgets
    assert budget.limit == 3000
    assert "asked for on the command line" in budget.note


def test_default_budgets_are_those_of_the_rulebook_for_scenarios_that_there_are() -> None:
    assert set(DEFAULT_BUDGETS) <= set(scenarios())
    assert {id_ for ids in DEFAULT_BUDGETS.values() for id_ in ids} <= set(read_rulebook())


def a_target(folder: Path, *urls: str) -> Target:
    text = 'name = "fake"\nenvironment = "dev"\nchain_id = "fake-1"\n'
    for place, url in enumerate(urls):
        text += f'[[node]]\nname = "node-{place}"\nrpc = "{url}"\n'
    path = folder / "target.toml"
    path.write_text(text)
    return load_target(path)


def test_a_rest_lasts_until_no_node_has_a_transaction_waiting(tmp_path: Path) -> None:
    left = itertools.chain([3, 2, 1], itertools.repeat(0))
    told: list[int] = []

    def size(_: Any) -> dict[str, str]:
        told.append(next(left))
        return {"n_txs": "0", "total": str(told[-1])}

    with rpc_node({"num_unconfirmed_txs": size}) as draining, rpc_node({"num_unconfirmed_txs": {"total": "0"}}) as idle:
        await_empty_mempools(a_target(tmp_path, idle, draining), Interruption(print), Progress(), limit_s=20.0)
    assert told == [3, 2, 1, 0]


def test_a_rest_has_a_deadline_and_says_what_waits(tmp_path: Path) -> None:
    with rpc_node({"num_unconfirmed_txs": {"total": "12"}}) as full:
        with pytest.raises(StopRun, match=r"not empty within 0 s: 12 transactions wait"):
            await_empty_mempools(a_target(tmp_path, full), Interruption(print), Progress(), limit_s=0.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "tranfer"], "is 'tranfer'; expected one of provider, query, transfer"),
        (["--scenario", "websocket"], "whose users only listen; expected one of provider"),
        (["--scenario", "provider"], "--budget is missing for provider; expected a budget to meet"),
        (["--budget", "PB-L-02=fast"], "--budget is 'PB-L-02=fast'; expected ID or ID=LIMIT, the limit a number"),
        (["--budget", "PB-L-2"], "expected one of"),
    ],
)
def test_what_cannot_be_searched_for_is_told_before_anything_starts(arguments: list[str], told: str) -> None:
    answer = CliRunner().invoke(capacity, arguments)
    assert isinstance(answer.exception, DocumentError)
    assert told in str(answer.exception)


@pytest.mark.parametrize(
    "arguments", [["--min-rate", "9", "--max-rate", "3"], ["--narrow-to", "1"], ["--max-steps", "0"]]
)
def test_rules_that_no_search_can_follow_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(capacity, arguments).exit_code == 2
