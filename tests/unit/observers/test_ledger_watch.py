"""The ledger watch: the books without a gap and without a page twice, over whatever becomes of the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle import BALANCES, SUPPLY, TRANSACTIONS
from observers import ledger as ledger_module
from observers.ledger import LedgerWatch
from target.keys import derive_accounts
from target.transaction import ChainIdentity, TransferSigner, hash_of
from tests.unit.observers.fake_chain_node import ChainNode, FakeBlock, FakeLedger, chain_nodes, event
from tests.unit.observers.watching import MNEMONIC, Book, a_target, wait_for, watching

CHAIN = ChainIdentity(chain_id="fake-1", denom="uve", gas_price=0.025)
KEYS = list(derive_accounts(MNEMONIC, prefix="ve", count=3))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_PERIOD_S", 0.01)
    monkeypatch.setattr(ledger_module, "_ASK_LIMIT_S", 0.3)
    monkeypatch.setattr(ledger_module, "FINISH_LIMIT_S", 10.0)


class Books:
    """The three tables of the watch."""

    def __init__(self, folder: Path) -> None:
        self.transactions = Book(folder, TRANSACTIONS)
        self.supply = Book(folder, SUPPLY)
        self.balances = Book(folder, BALANCES)

    def flow_heights(self) -> list[int]:
        """Return the heights whose flows were written: every block that was read."""
        return [row["height"] for row in self.supply.rows() if row["minted_uve"] is not None]

    def level_heights(self) -> list[int]:
        return [row["height"] for row in self.supply.rows() if row["total_uve"] is not None]


@contextmanager
def ledger_watch(
    folder: Path, *, nodes: int = 1, accounts: int = 2
) -> Iterator[tuple[FakeLedger, list[ChainNode], Books]]:
    """Give a watch that has written its opening rows."""
    with chain_nodes(nodes) as (ledger, found):
        books = Books(folder)
        target = a_target(*(node.url for node in found), accounts=accounts)
        watch = LedgerWatch(target, books.transactions.writer, books.supply.writer, books.balances.writer)
        with watching(watch):
            wait_for(lambda: books.supply.count == 1, "the opening rows")
            yield ledger, found, books


def a_transfer(amount: int = 5, *, sequence: int = 0) -> bytes:
    signer = TransferSigner(KEYS[0], CHAIN, account_number=0)
    return signer.transfer(KEYS[1].address, amount, sequence=sequence).raw


def a_block(*results: dict[str, Any], raw: bytes | None = None) -> FakeBlock:
    """Return a block with a transfer for every result."""
    return FakeBlock([(raw or a_transfer(sequence=place), result) for place, result in enumerate(results)])


def done(**more: Any) -> dict[str, Any]:
    """Return the result of a transaction that was carried out for a fee of 3000uve."""
    return {"code": 0, "gas_wanted": "120000", "gas_used": "70000", "events": [event("tx", fee="3000uve")], **more}


def test_opening_and_closing_rows_are_the_state_where_the_watch_began_and_ended(tmp_path: Path) -> None:
    with ledger_watch(tmp_path) as (ledger, _, books):
        ledger.add()
        ledger.add()
        wait_for(lambda: len(books.flow_heights()) == 2, "both blocks")
    assert books.level_heights() == [3, 5]
    assert [row["total_uve"] for row in books.supply.rows() if row["total_uve"]] == [str(10**30 + 3), str(10**30 + 5)]
    assert books.balances.rows() == [
        {"height": height, "address": key.address, "amount_uve": str(1000 + height)}
        for height in (3, 5)
        for key in KEYS[:2]
    ]
    assert books.flow_heights() == [4, 5]


def test_a_block_that_comes_just_before_the_end_is_read(tmp_path: Path) -> None:
    with ledger_watch(tmp_path) as (ledger, _, books):
        ledger.add()
    assert books.flow_heights() == [4]
    assert books.level_heights() == [3, 4]


def test_a_transaction_is_written_with_all_that_the_chain_said_of_it(tmp_path: Path) -> None:
    raw, failed, other = a_transfer(77), a_transfer(78, sequence=1), b"\x01no transfer"
    with ledger_watch(tmp_path) as (ledger, _, books):
        ledger.add(
            FakeBlock(
                [
                    (raw, done()),
                    (failed, done(code=5, codespace="sdk", log="insufficient funds")),
                    (other, {"code": 2, "codespace": "sdk"}),
                ]
            )
        )
        wait_for(lambda: books.transactions.count == 3, "the transactions")
        first, second, third = books.transactions.rows()
    assert first.pop("observed_at_s") > 1e9
    assert first == {
        "height": 4,
        "index": 0,
        "tx_hash": hash_of(raw),
        "code": 0,
        "codespace": "",
        "gas_wanted": 120000,
        "gas_used": 70000,
        "sender": KEYS[0].address,
        "recipient": KEYS[1].address,
        "amount_uve": 77,
        "fee_uve": 3000,
        "node": "node-0",
    }
    assert (second["index"], second["code"], second["codespace"], second["amount_uve"]) == (1, 5, "sdk", 78)
    assert (third["index"], third["sender"], third["amount_uve"], third["fee_uve"]) == (2, None, None, 0)


@pytest.mark.parametrize(
    ("events", "fee"),
    [
        ([], 0),
        ([event("tx", fee="3000uve")], 3000),
        ([event("tx", fee="")], 0),
        ([event("tx", acc_seq="ve1/5"), event("tx", fee="3000uve", fee_payer="ve1")], 3000),
        ([event("tx", fee="12other,3000uve")], 3000),
        ([event("tx", fee="3000uve,12zother")], 3000),
        ([event("tx", fee="12other")], 0),
        ([event("tx", fee="3000xuve")], 0),
        ([event("transfer", fee="3000uve")], 0),
        ([event("tx", fee="uve")], 0),
    ],
)
def test_the_fee_is_what_the_chain_says_that_it_took(tmp_path: Path, events: list[Any], fee: int) -> None:
    with ledger_watch(tmp_path) as (ledger, _, books):
        ledger.add(a_block(done(events=events)))
        wait_for(lambda: books.transactions.count == 1, "the transaction")
        assert books.transactions.column("fee_uve") == [fee]


def test_minted_and_burned_are_summed_over_the_block_and_its_transactions(tmp_path: Path) -> None:
    with ledger_watch(tmp_path) as (ledger, _, books):
        block = a_block(
            done(events=[event("burn", amount="5uve"), event("coinbase", amount=f"{10**40}uve,7other")]),
            done(events=[event("burn", amount="6uve"), event("transfer", amount="9uve")]),
        )
        block.events = [event("coinbase", amount="100uve"), event("burn", amount="1other"), event("burn", amount="")]
        ledger.add(block, FakeBlock())
        wait_for(lambda: len(books.flow_heights()) == 2, "both blocks")
        flows = [(row["minted_uve"], row["burned_uve"]) for row in books.supply.rows() if row["minted_uve"]]
    assert flows == [(str(10**40 + 100), "11"), ("0", "0")]


@pytest.mark.parametrize("amount", [2**63 - 1, 2**63, 2**200])
def test_amounts_that_no_table_holds_are_no_end(tmp_path: Path, amount: int) -> None:
    """Anybody may ask for a transfer of more than there is: it fails, and is in the block all the same."""
    with ledger_watch(tmp_path) as (ledger, _, books):
        ledger.add(a_block(done(code=5), raw=a_transfer(amount)), a_block(done()))
        wait_for(lambda: books.transactions.count == 2, "both transactions")
        assert books.transactions.column("amount_uve") == [amount if amount < 2**63 else None, 5]
        assert books.transactions.column("sender") == [KEYS[0].address] * 2


def gapless(books: Books, last: int) -> bool:
    return books.flow_heights() == [*range(4, last + 1)]


def test_a_node_that_dies_costs_no_block(tmp_path: Path) -> None:
    with ledger_watch(tmp_path, nodes=3) as (ledger, nodes, books):
        for node in nodes[:2]:
            ledger.add(a_block(done()))
            wait_for(lambda: gapless(books, ledger.height), "the block")
            node.kill()
        ledger.add(a_block(done()), a_block(done()))
        wait_for(lambda: gapless(books, ledger.height), "the blocks")
        nodes[2].kill()
        ledger.add(a_block(done()))
        nodes[0].start()
        wait_for(lambda: gapless(books, ledger.height), "the last block")
    assert books.transactions.column("height") == [*range(4, 9)]
    assert books.level_heights() == [3, 8]


def test_a_node_that_stands_still_does_not_hold_up_the_books(tmp_path: Path) -> None:
    """The first node is cut off from the others: it answers, and has no new block."""
    with ledger_watch(tmp_path, nodes=2) as (ledger, nodes, books):
        nodes[0].height = ledger.height
        ledger.add(a_block(done()), a_block(done()))
        wait_for(lambda: gapless(books, ledger.height), "the blocks that the other one has")
        nodes[0].height = None
        ledger.add(a_block(done()))
        wait_for(lambda: gapless(books, ledger.height), "the next block")
    assert books.transactions.column("height") == [4, 5, 6]


def test_a_node_that_stands_still_does_not_close_the_books_early(tmp_path: Path) -> None:
    with ledger_watch(tmp_path, nodes=2) as (ledger, nodes, books):
        nodes[0].height = ledger.height
        ledger.add(a_block(done()))
    assert books.flow_heights() == [4]
    assert books.level_heights() == [3, 4]


def a_failure(parameters: Any) -> Any:
    raise ValueError("not today")


@pytest.mark.parametrize(
    "instead",
    [
        {"block": a_failure},
        {"block_results": a_failure},
        {"status": a_failure},
        {"block_results": lambda _: {"height": "4", "txs_results": []}},
        {"block_results": lambda _: {"height": "4", "txs_results": [done(), done(), done()]}},
        {"block": lambda _: {"block": {}}},
    ],
    ids=["no block", "no results", "no status", "a result missing", "a result too many", "another shape"],
)
def test_trouble_with_the_only_node_is_waited_out(tmp_path: Path, instead: dict[str, Callable[[Any], Any]]) -> None:
    with ledger_watch(tmp_path) as (ledger, (node,), books):
        node.instead = instead
        ledger.add(a_block(done(), done()), a_block(done()))
        before = node.requests
        wait_for(lambda: node.requests > before + 6, "attempts")
        assert books.flow_heights() == []
        node.instead = {}
        wait_for(lambda: gapless(books, ledger.height), "the blocks")
        assert [(row["height"], row["index"]) for row in books.transactions.rows()] == [(4, 0), (4, 1), (5, 0)]


def test_trouble_with_one_node_is_left_for_the_other(tmp_path: Path) -> None:
    with ledger_watch(tmp_path, nodes=2) as (ledger, nodes, books):
        nodes[0].instead = {"block_results": a_failure}
        ledger.add(a_block(done()), a_block(done()))
        wait_for(lambda: gapless(books, ledger.height), "the blocks")
        assert set(books.transactions.column("node")) == {"node-1"}


def test_opening_rows_come_from_whichever_node_gives_them_whole(tmp_path: Path) -> None:
    with chain_nodes(2) as (_, nodes):
        nodes[0].instead = {"abci_query": a_failure}
        books = Books(tmp_path)
        target = a_target(*(node.url for node in nodes), accounts=25)  # balances come ten at a time
        watch = LedgerWatch(target, books.transactions.writer, books.supply.writer, books.balances.writer)
        with watching(watch):
            wait_for(lambda: books.supply.count == 1, "the opening rows")
        assert len([row for row in books.balances.rows() if row["height"] == 3]) == 50
    # Nothing happened, so the closing rows are of the same height.
    assert books.level_heights() == [3, 3]


def test_without_accounts_there_are_no_balances(tmp_path: Path) -> None:
    with ledger_watch(tmp_path, accounts=0) as (_, _, books):
        pass
    assert books.balances.rows() == []
    assert books.level_heights() == [3, 3]


def test_the_end_before_any_node_answered(tmp_path: Path) -> None:
    with chain_nodes(1) as (_, (node,)):
        node.kill()
        books = Books(tmp_path)
        watch = LedgerWatch(a_target(node.url), books.transactions.writer, books.supply.writer, books.balances.writer)
        with watching(watch):
            pass
    assert (books.supply.rows(), books.balances.rows(), books.transactions.rows()) == ([], [], [])


def test_the_end_with_every_node_dead_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger_watch(tmp_path) as (ledger, (node,), books):
        monkeypatch.setattr(ledger_module, "FINISH_LIMIT_S", 0.1)
        node.kill()
        ledger.add(a_block(done()))
    assert books.level_heights() == [3]  # what could not be seen is missing, and not made up
