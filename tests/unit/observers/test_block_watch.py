"""The block watch: every height of a node once, from where it was found, over pages and restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle import BLOCKS
from observers.blocks import BlockWatch
from tests.unit.observers.fake_chain_node import ChainNode, FakeBlock, FakeLedger, chain_nodes
from tests.unit.observers.watching import PERIOD_S, Book, a_node, wait_for, watching

TX = (b"raw", {"code": 0})


@contextmanager
def block_watch(folder: Path) -> Iterator[tuple[FakeLedger, ChainNode, Book]]:
    with chain_nodes(1) as (ledger, (node,)):
        book = Book(folder, BLOCKS)
        with watching(BlockWatch(a_node(node.url), book.writer, PERIOD_S)):
            wait_for(lambda: len(node.calls_of("abci_info")) > 1, "the first looks")
            yield ledger, node, book


def test_a_row_for_each_height_from_where_the_node_was_found(tmp_path: Path) -> None:
    with block_watch(tmp_path) as (ledger, _, book):
        ledger.add(FakeBlock([TX, TX]))
        wait_for(lambda: book.count == 1, "height 4")
        ledger.add()
        wait_for(lambda: book.count == 2, "height 5")
        first, second = book.rows()
    observed = first.pop("observed_at_s")
    assert first == {
        "node": "node-0",
        "height": 4,
        "block_hash": f"{4:064X}",
        "header_app_hash": f"{3:064X}",
        "own_app_hash": f"{4:064X}",
        "header_time_at_s": 1767225604.0,
        "tx_count": 2,
        "proposer": "AA",
    }
    assert second["height"] == 5
    assert second["observed_at_s"] >= observed > 1e9


@pytest.mark.parametrize("count", [2, 19, 20, 21, 47])
def test_many_heights_at_once_come_in_pages(tmp_path: Path, count: int) -> None:
    with block_watch(tmp_path) as (ledger, node, book):
        ledger.add(*[FakeBlock() for _ in range(count)])
        wait_for(lambda: book.count >= count, "all heights")
        rows = book.rows()
        asked = [(int(call["minHeight"]), int(call["maxHeight"])) for call in node.calls_of("blockchain")]
    assert [row["height"] for row in rows] == [*range(4, 4 + count)]
    assert all(highest - lowest < 20 for lowest, highest in asked)
    assert [row["own_app_hash"] is not None for row in rows] == [False] * (count - 1) + [True]
    assert len({row["observed_at_s"] for row in rows}) == 1  # seen at one look


def test_a_node_that_restarts_costs_no_height_and_none_comes_twice(tmp_path: Path) -> None:
    with block_watch(tmp_path) as (ledger, node, book):
        ledger.add()
        wait_for(lambda: book.count == 1, "height 4")
        node.kill()
        ledger.add(*[FakeBlock() for _ in range(30)])
        node.height = 2  # it replays its blocks
        node.start()
        before = len(node.asked)
        wait_for(lambda: len(node.asked) > before + 2, "looks at the node that is back")
        assert book.count == 1
        node.height = None
        wait_for(lambda: book.count >= 31, "all heights")
        assert book.column("height") == [*range(4, 35)]


def test_a_node_found_before_its_first_block(tmp_path: Path) -> None:
    with chain_nodes(1) as (ledger, (node,)):
        node.height = 0
        book = Book(tmp_path, BLOCKS)
        with watching(BlockWatch(a_node(node.url), book.writer, PERIOD_S)):
            wait_for(lambda: len(node.asked) > 2, "the first looks")
            node.height = None
            wait_for(lambda: len(node.asked) > 5, "looks at its height")
            ledger.add()
            wait_for(lambda: book.count == 1, "height 4")


def failing(parameters: Any) -> Any:
    raise ValueError("not today")


@pytest.mark.parametrize(
    "trouble",
    [{"abci_info": failing}, {"blockchain": failing}, {"blockchain": lambda _: {}}, {"abci_info": lambda _: []}],
    ids=["no state", "no headers", "headers of another shape", "state of another shape"],
)
def test_trouble_is_waited_out(tmp_path: Path, trouble: dict[str, Any]) -> None:
    with block_watch(tmp_path) as (ledger, node, book):
        node.instead = trouble
        ledger.add(*[FakeBlock() for _ in range(25)])
        asked = len(node.asked)
        wait_for(lambda: len(node.asked) > asked + 3, "looks")
        assert book.count == 0
        node.instead = {}
        wait_for(lambda: book.count >= 25, "all heights")
        assert book.column("height") == [*range(4, 29)]


def test_trouble_in_the_second_page_brings_no_height_twice(tmp_path: Path) -> None:
    with block_watch(tmp_path) as (ledger, node, book):

        def only_the_first_page(parameters: Any) -> Any:
            if int(parameters["minHeight"]) > 4:
                raise ValueError("not today")
            return node._blockchain(parameters)

        node.instead = {"blockchain": only_the_first_page}
        ledger.add(*[FakeBlock() for _ in range(45)])
        wait_for(lambda: book.count == 20, "the first page")
        asked = len(node.calls_of("blockchain"))
        wait_for(lambda: len(node.calls_of("blockchain")) > asked + 2, "attempts at the second")
        node.instead = {}
        wait_for(lambda: book.count >= 45, "all heights")
        assert book.column("height") == [*range(4, 49)]


@pytest.mark.parametrize(
    "raw",
    [(502, b"<html>bad gateway"), (502, b'{"error": "bad gateway"}'), (200, b""), (200, b"[]"), (200, b"null")],
    ids=lambda raw: repr(raw[1]),
)
def test_a_gateways_words_never_end_the_watch(tmp_path: Path, raw: tuple[int, bytes]) -> None:
    with block_watch(tmp_path) as (ledger, node, book):
        node.raw = raw
        ledger.add()
        before = node.requests
        wait_for(lambda: node.requests > before + 2, "looks")
        assert book.count == 0
        node.raw = None
        wait_for(lambda: book.count == 1, "height 4")
