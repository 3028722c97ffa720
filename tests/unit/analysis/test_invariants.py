"""What must hold on any chain: each way to break it is found, told with its place, and nothing else is claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.fault_story import tell_faults
from analysis.invariants.fork import no_fork
from analysis.invariants.standing import nobody_left_behind
from analysis.invariants.supply import supply_accounted_for
from analysis.invariants.transfers import transfers_exactly_once
from analysis.verdict import Check, Verdict
from tests.bundles import (
    FEE_UVE,
    KILL,
    NODES,
    PARTITION,
    START_AT_S,
    Row,
    SyntheticRun,
    app_hash,
    block_rows,
    compute_otherwise,
    confirm_phantom,
    fork_block,
    fork_header,
    healthy,
    put_twice,
    shift_balance,
    shift_supply,
    skip_heights,
    stick,
)
from tests.unit.analysis.judgements import against, codes, taints

FAIL, INCONCLUSIVE, PASS = Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS


def check(run: SyntheticRun, folder: Path, name: str) -> Check:
    """Return one invariant's check, the others left out."""
    opened = run.open(folder)
    asks: dict[str, Callable[[], Check]] = {
        "no_fork": lambda: no_fork(opened),
        "nobody_left_behind": lambda: nobody_left_behind(opened, tuple(tell_faults(opened))),
        "transfers": lambda: transfers_exactly_once(opened),
        "supply": lambda: supply_accounted_for(opened),
    }
    return asks[name]()


def rows_of(run: SyntheticRun, wanted: Callable[[Row], bool]) -> list[int]:
    """Return the row numbers of the blocks table for which something holds."""
    return [place for place, row in enumerate(run.blocks) if wanted(row)]


BROKEN: list[tuple[str, Callable[[SyntheticRun], object], str, str]] = [
    ("another block", lambda run: fork_block(run, 20, NODES[1]), "no_fork", "fork.block_hash"),
    ("another header", lambda run: fork_header(run, 20, NODES[1]), "no_fork", "fork.app_hash"),
    ("another state", lambda run: compute_otherwise(run, 20, NODES[1]), "no_fork", "fork.own_state"),
    ("stuck", lambda run: stick(run, NODES[1], 10, 26), "nobody_left_behind", "stuck.node"),
    ("in two blocks", put_twice, "transfers", "transfers.twice"),
    ("in no block", confirm_phantom, "transfers", "transfers.lost"),
    ("a balance too high", lambda run: shift_balance(run, by=1), "transfers", "transfers.balance"),
    ("a balance too low", lambda run: shift_balance(run, by=-1), "transfers", "transfers.balance"),
    ("supply too high", lambda run: shift_supply(run, by=1), "supply", "supply.unaccounted"),
    ("supply too low", lambda run: shift_supply(run, by=-1), "supply", "supply.unaccounted"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "spoil", "which", "code"), BROKEN, ids=[case[0] for case in BROKEN])
def test_each_break_fails_its_own_invariant_and_no_other(
    tmp_path: Path, name: str, spoil: Callable[[SyntheticRun], object], which: str, code: str
) -> None:
    run = healthy()
    spoil(run)
    found = run.judge(tmp_path)
    # A transfer that was paid twice does not add up either: the balance of its sender tells the same.
    assert codes(found) - ({"transfers.balance"} if code == "transfers.twice" else set()) == {code}
    assert against(found) == {f"invariant.{which}"}
    assert found.verdict is FAIL
    assert taints(found) == set(), "what the chain did wrong makes no data bad"


# --- forks ---


def test_a_forked_block_names_both_nodes_and_rows(tmp_path: Path) -> None:
    run = healthy()
    fork_block(run, 20, NODES[2])
    [reason] = check(run, tmp_path, "no_fork").reasons
    assert reason.sentence.startswith("height 20: nodes disagree on the block: ")
    assert f"{NODES[2]} says " in reason.sentence
    first = rows_of(run, lambda row: row["height"] == 20)[0]
    odd = rows_of(run, lambda row: row["height"] == 20 and row["node"] == NODES[2])[0]
    assert {(item.file, item.row) for item in reason.evidence} == {("blocks.parquet", first), ("blocks.parquet", odd)}


def test_a_node_that_computed_another_state_is_named(tmp_path: Path) -> None:
    """VirtEngine's own defect: the node is healthy and at the highest block, and its state is not the chain's."""
    run = healthy()
    compute_otherwise(run, 20, NODES[2])
    [reason] = check(run, tmp_path, "no_fork").reasons
    assert reason.sentence.startswith(f"{NODES[2]} computed app hash ")
    assert "after height 20" in reason.sentence
    assert app_hash(20)[:12] in reason.sentence
    odd = rows_of(run, lambda row: row["height"] == 20 and row["node"] == NODES[2])
    assert [(item.file, item.row) for item in reason.evidence] == [("blocks.parquet", odd[0])]


def test_a_state_is_compared_with_the_header_above_it(tmp_path: Path) -> None:
    """The header of 20 carries the state after 19: a node that tells that one after 20 has not moved on."""
    run = healthy()
    [row] = block_rows(run, 20, NODES[2])
    row["own_app_hash"] = row["header_app_hash"]
    assert [reason.code for reason in check(run, tmp_path, "no_fork").reasons] == ["fork.own_state"]


def test_the_last_state_has_no_header_to_be_compared_with(tmp_path: Path) -> None:
    run = healthy()
    last = max(row["height"] for row in run.blocks)
    compute_otherwise(run, last, NODES[2])
    assert check(run, tmp_path, "no_fork").verdict is PASS


def test_rows_without_a_hash_say_nothing(tmp_path: Path) -> None:
    run = healthy()
    for row in block_rows(run, 20, NODES[2]):
        row.update(block_hash=None, header_app_hash=None, own_app_hash=None)
    assert check(run, tmp_path, "no_fork").verdict is PASS


def test_a_fork_that_lasts_shows_its_first_heights(tmp_path: Path) -> None:
    run = healthy()
    for height in range(18, 28):
        fork_block(run, height, NODES[2])
    found = check(run, tmp_path, "no_fork")
    assert found.verdict is FAIL
    assert [reason.sentence.split(":")[0] for reason in found.reasons] == [f"height {h}" for h in range(18, 23)]


def test_blocks_of_one_node_only_compare_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.blocks = [row for row in run.blocks if row["node"] == NODES[0]]
    found = check(run, tmp_path, "no_fork")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["fork.not_compared"])


def test_a_node_whose_blocks_nobody_saw_was_not_compared(tmp_path: Path) -> None:
    """Three agree; what the fourth has is not known, so it cannot be said that no two disagree."""
    run = healthy()
    run.blocks = [row for row in run.blocks if row["node"] != NODES[2]]
    found = check(run, tmp_path, "no_fork")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["fork.not_compared"])
    assert NODES[2] in found.summary


def test_no_blocks_compare_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.blocks = []
    assert check(run, tmp_path, "no_fork").verdict is INCONCLUSIVE


# --- stuck nodes ---


def test_a_stuck_node_is_told_with_its_height_and_its_last_look(tmp_path: Path) -> None:
    """It stands from 10 on; from 15 on it is five blocks behind; it moves again at 26."""
    run = healthy()
    stick(run, NODES[1], 10, 26)
    assert all(row["ok"] for row in run.probes if row["endpoint"] == NODES[1]), "its /health says 200 throughout"
    [reason] = check(run, tmp_path, "nobody_left_behind").reasons
    stood = [row for row in run.probes if row["endpoint"] == NODES[1] and row["probe"] == "status"]
    last = [row for row in stood if row["at_s"] < START_AT_S + 26][-1]
    assert reason.sentence.startswith(f"{NODES[1]} answered and stood at height {last['height']} for ")
    [item] = reason.evidence
    assert item.row is not None
    assert run.probes[item.row] == last


@pytest.mark.parametrize(("until", "verdict"), [(24.25, PASS), (24.5, FAIL)])
def test_stuck_is_five_blocks_behind_for_ten_seconds(tmp_path: Path, until: float, verdict: Verdict) -> None:
    """Node 1 stands at the block of second 9, the last it has at 10. The look at 14.25 is the first to see five more.

    Its last look before it moves again is a quarter of a second before `until`: at 24 or at 24.25.
    """
    run = healthy()
    stick(run, NODES[1], 10, until)
    assert check(run, tmp_path, "nobody_left_behind").verdict is verdict


def test_four_blocks_behind_is_slow_and_not_stuck(tmp_path: Path) -> None:
    run = healthy(faults=())
    for row in run.probes:
        if row["endpoint"] == NODES[1] and row.get("height") is not None:
            row["height"] -= 4
    assert check(run, tmp_path, "nobody_left_behind").verdict is PASS


def test_a_node_under_its_own_fault_may_stand_still(tmp_path: Path) -> None:
    """Behind a partition a node answers and stands still: that is what was asked for."""
    spec = replace(PARTITION, at=5.0, hold=16.0)
    run = healthy(faults=(spec,))
    assert check(run, tmp_path, "nobody_left_behind").verdict is PASS


def test_another_node_may_not_stand_still_during_that_fault(tmp_path: Path) -> None:
    spec = replace(PARTITION, at=5.0, hold=16.0)
    run = healthy(faults=(spec,))
    stick(run, NODES[0], 6, 24)
    assert check(run, tmp_path, "nobody_left_behind").verdict is FAIL


def test_two_short_falls_behind_are_not_one_long_one(tmp_path: Path) -> None:
    """From 5 on and again from 17 on, each for less than ten seconds of being five behind."""
    run = healthy(faults=())
    stick(run, NODES[1], 4, 16)
    stick(run, NODES[1], 17, 28)
    assert check(run, tmp_path, "nobody_left_behind").verdict is PASS


def test_when_the_chain_stands_nobody_is_behind(tmp_path: Path) -> None:
    assert check(healthy(halt=(6.0, 26.0)), tmp_path, "nobody_left_behind").verdict is PASS


def test_heights_of_one_node_compare_nothing(tmp_path: Path) -> None:
    run = healthy()
    run.probes = [row for row in run.probes if row["probe"] != "status" or row["endpoint"] == NODES[0]]
    found = check(run, tmp_path, "nobody_left_behind")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["stuck.not_compared"])


def test_a_node_that_is_healthy_and_never_tells_its_height_was_not_compared(tmp_path: Path) -> None:
    run = healthy()
    for row in run.probes:
        if row["endpoint"] == NODES[1] and row["probe"] == "status":
            row.update(ok=False, height=None, catching_up=None, detail="HTTP 500")
    found = check(run, tmp_path, "nobody_left_behind")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["stuck.not_compared"])
    assert NODES[1] in found.summary


# --- transfers ---


def test_a_transfer_in_two_blocks_names_both(tmp_path: Path) -> None:
    run = healthy()
    tx_hash = put_twice(run)
    reason = check(run, tmp_path, "transfers").reasons[0]
    first, again = run.transactions[0]["height"], run.transactions[-1]["height"]
    assert tx_hash[:12] in reason.sentence
    assert f"2 times, at [{first}, {again}]" in reason.sentence
    assert [item.row for item in reason.evidence] == [0, len(run.transactions) - 1]


def test_a_lost_transfer_is_told_with_the_sample_that_confirmed_it(tmp_path: Path) -> None:
    run = healthy()
    tx_hash = confirm_phantom(run)
    [reason] = check(run, tmp_path, "transfers").reasons
    assert tx_hash[:12] in reason.sentence
    assert [(item.file, item.row) for item in reason.evidence] == [("samples/local.parquet", len(run.rows) - 1)]


def test_a_transfer_that_was_not_confirmed_is_not_lost(tmp_path: Path) -> None:
    run = healthy()
    confirm_phantom(run)
    run.rows[-1].update(outcome="unknown", error_kind="not_included", latency_ms=None)
    assert check(run, tmp_path, "transfers").verdict is PASS


def test_a_balance_is_told_with_what_it_should_be(tmp_path: Path) -> None:
    run = healthy()
    opening = {row["address"]: int(row["amount_uve"]) for row in run.balances[:40]}
    address = shift_balance(run, by=7)
    due = int(run.balances[-1]["amount_uve"]) - 7 - opening[address]
    [reason] = check(run, tmp_path, "transfers").reasons
    assert reason.sentence == f"{address} changed by {due + 7}; its transfers and fees add up to {due}"
    assert [(item.file, item.row) for item in reason.evidence] == [("balances.parquet", len(run.balances) - 1)]


def test_a_transfer_that_failed_in_its_block_costs_the_fee_only(tmp_path: Path) -> None:
    run = healthy()
    first = run.transactions[0]
    first["code"] = 5
    _pay(run, first["sender"], first["amount_uve"])
    _pay(run, first["recipient"], -first["amount_uve"])
    assert check(run, tmp_path, "transfers").verdict is PASS


def test_a_fee_that_was_not_charged_is_found(tmp_path: Path) -> None:
    run = healthy()
    run.transactions[0]["fee_uve"] = FEE_UVE - 1
    assert [reason.code for reason in check(run, tmp_path, "transfers").reasons] == ["transfers.balance"]


def _pay(run: SyntheticRun, address: str, amount: int) -> None:
    closing = [row for row in run.balances[40:] if row["address"] == address]
    closing[0]["amount_uve"] = str(int(closing[0]["amount_uve"]) + amount)


def test_a_transfer_to_oneself_costs_the_fee(tmp_path: Path) -> None:
    run = healthy()
    first = run.transactions[0]
    _pay(run, first["recipient"], -first["amount_uve"])
    _pay(run, first["sender"], first["amount_uve"])
    first["recipient"] = first["sender"]
    assert check(run, tmp_path, "transfers").verdict is PASS


def test_balances_are_not_said_to_agree_where_they_were_not_compared(tmp_path: Path) -> None:
    """Somebody else's transaction, of a kind that is not understood, may have moved any balance."""
    run = healthy()
    other = run.transactions[-1] | {"tx_hash": "AB" * 32, "index": 999, "sender": None, "recipient": None}
    run.transactions.append(other | {"amount_uve": None})
    shift_balance(run, by=1)
    found = check(run, tmp_path, "transfers")
    assert found.verdict is PASS, "each transfer is in the chain once"
    assert "agree" not in found.summary
    assert "not compared: 1 transaction" in found.summary


def test_a_transfer_outside_the_two_balances_does_not_count(tmp_path: Path) -> None:
    """At the opening height itself, and after the closing one."""
    run = healthy()
    for height in (run.supply[0]["height"], run.supply[-1]["height"] + 1):
        run.transactions.append(run.transactions[0] | {"height": height, "tx_hash": f"at {height}", "index": 900})
    assert check(run, tmp_path, "transfers").verdict is PASS


def test_no_transfers_is_not_applicable(tmp_path: Path) -> None:
    run = healthy()
    run.transactions = []
    run.samples["local"] = [row for row in run.rows if row["protocol"] != "TX"]
    assert not check(run, tmp_path, "transfers").applies


@pytest.mark.parametrize("lost", ["opening", "closing", "all"])
def test_balances_that_were_not_asked_for_prove_nothing(tmp_path: Path, lost: str) -> None:
    run = healthy()
    run.balances = {"opening": run.balances[40:], "closing": run.balances[:40], "all": []}[lost]
    found = check(run, tmp_path, "transfers")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["transfers.not_read"])


def test_an_account_whose_closing_balance_is_missing_proves_nothing(tmp_path: Path) -> None:
    """The closing answer had 39 of 40 accounts: that all agree cannot be said."""
    run = healthy()
    run.balances.pop()
    found = check(run, tmp_path, "transfers")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["transfers.not_read"])


# --- supply ---


def test_what_is_burned_is_gone(tmp_path: Path) -> None:
    run = healthy()
    run.supply[3]["burned_uve"] = "5000"
    assert check(run, tmp_path / "claimed", "supply").verdict is FAIL
    shift_supply(run, by=-5000)
    assert check(run, tmp_path / "gone", "supply").verdict is PASS


def test_what_is_unaccounted_for_is_told_exactly_beyond_64_bits(tmp_path: Path) -> None:
    run = healthy()
    shift_supply(run, by=-(10**19))
    assert f"{-(10**19)} are unaccounted for" in check(run, tmp_path, "supply").summary


def test_the_flows_before_the_opening_do_not_count(tmp_path: Path) -> None:
    run = healthy()
    run.supply.append({"height": run.supply[0]["height"], "minted_uve": "77", "burned_uve": "0"})
    assert check(run, tmp_path, "supply").verdict is PASS


@pytest.mark.parametrize("place", [0, -1])
def test_supply_that_was_not_asked_for_proves_nothing(tmp_path: Path, place: int) -> None:
    run = healthy()
    run.supply.pop(place)
    found = check(run, tmp_path, "supply")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (INCONCLUSIVE, ["supply.not_read"])


# --- books that were not read ---


def test_heights_that_were_not_read_prove_nothing_and_accuse_nobody(tmp_path: Path) -> None:
    """Transfers in them look lost, balances look wrong, supply looks unaccounted for: none of it is a finding."""
    run = healthy()
    skip_heights(run, 20, 21)
    found = run.judge(tmp_path)
    assert codes(found) == {"transfers.not_read", "supply.not_read"}
    assert against(found) == {"invariant.transfers", "invariant.supply"}
    assert found.verdict is INCONCLUSIVE


def test_transactions_that_were_not_read_are_no_failures(tmp_path: Path) -> None:
    """A sixth of the blocks was not read. The failure rate would be a sixth, and the throughput short of one."""
    run = healthy(budgets=("PB-Q-02", "PB-T-01"))
    skip_heights(run, *range(20, 24))
    found = run.judge(tmp_path)
    assert taints(found) == {"transactions"}
    assert {result.verdict for result in found.budgets} == {INCONCLUSIVE}
    assert {reason.code for result in found.budgets for reason in result.reasons} == {"budget.bad_data"}


def test_a_transfer_that_is_twice_in_books_with_a_gap_is_twice(tmp_path: Path) -> None:
    run = healthy()
    skip_heights(run, 30)
    put_twice(run)
    found = check(run, tmp_path, "transfers")
    assert (found.verdict, [reason.code for reason in found.reasons]) == (FAIL, ["transfers.twice"])


def test_kill_is_the_fault_of_the_healthy_run() -> None:
    """What the tests above rely on: one node is broken, and it is not one that they spoil."""
    assert KILL.targets == (NODES[3],)
