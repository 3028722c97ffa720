"""Health and status: what counts as up, and why something does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bundle import PROBES
from observers import health
from observers.health import EndpointHealth, NodeStatusWatch, api_health, node_health, provider_health
from target.file import PortalAuth
from target.target import Api, Provider
from tests.servers import Reply, Request, free_port, http_server
from tests.unit.observers.fake_chain_node import ChainNode, chain_nodes
from tests.unit.observers.watching import PERIOD_S, Book, a_node, wait_for, watching

ROWS = 3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_LIMIT_S", 0.2)
    monkeypatch.setattr(health, "_SLOW_PERIOD_S", 0.0)


def an_api(rest_url: str | None) -> Api:
    return Api(name="gateway", rest_url=rest_url, grpc_address=None)


def a_provider(url: str) -> Provider:
    return Provider(name="provider-0", url=url, auth=PortalAuth.INSECURE, principal="harness", secret=None, wallet=None)


def rows_of(folder: Path, url: str) -> list[dict[str, Any]]:
    """Return the first rows of the health watch over a URL."""
    book = Book(folder, PROBES)
    with watching(EndpointHealth("it", "node", url, "/health", book.writer, PERIOD_S)):
        wait_for(lambda: book.count >= ROWS, "the rows")
    return book.rows()


def test_200_is_healthy(tmp_path: Path) -> None:
    asked = []

    def answer(request: Request) -> Reply:
        asked.append((request.method, request.path))
        return Reply(body=b"anything")

    with http_server(answer) as url:
        rows = rows_of(tmp_path, url)
    assert set(asked) == {("GET", "/health")}
    for row in rows:
        assert (row["endpoint"], row["kind"], row["probe"]) == ("it", "node", "health")
        assert (row["ok"], row["detail"]) == (True, None)
        assert row["latency_ms"] > 0
        assert (row["height"], row["catching_up"], row["peers"], row["mempool_txs"]) == (None, None, None, None)
    times = [row["at_s"] for row in rows]
    assert times == sorted(times)


@pytest.mark.parametrize("status", [204, 301, 404, 429, 500, 503])
def test_any_other_status_is_not(tmp_path: Path, status: int) -> None:
    with http_server(lambda request: Reply(status=status)) as url:
        rows = rows_of(tmp_path, url)
    assert {(row["ok"], row["detail"]) for row in rows} == {(False, f"HTTP {status}")}
    assert all(row["latency_ms"] > 0 for row in rows)


def test_a_refused_connection_says_so(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert {(row["ok"], row["detail"]) for row in rows} == {(False, "refuses the connection")}


def test_no_answer_in_time_says_so(tmp_path: Path) -> None:
    over = threading.Event()

    def mute(request: Request) -> Reply:
        over.wait(30)
        return Reply()

    with http_server(mute) as url:
        rows = rows_of(tmp_path, url)
        over.set()
    assert {(row["ok"], row["detail"]) for row in rows} == {(False, "gave no answer in time")}


def test_each_kind_of_endpoint_is_asked_in_its_own_way(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        asked.append(request.path)
        return Reply()

    with http_server(answer) as url, chain_nodes(1) as (_, (node,)):
        book = Book(tmp_path, PROBES)
        api = api_health(an_api(url), book.writer, PERIOD_S)
        assert api is not None
        watches = [node_health(a_node(node.url), book.writer, PERIOD_S), api]
        watches.append(provider_health(a_provider(url), book.writer, PERIOD_S))
        for watch in watches:
            before = book.count
            with watching(watch):
                wait_for(lambda before=before: book.count > before, "a row")  # type: ignore[misc]
        rows = book.rows()
    assert {(row["endpoint"], row["kind"]) for row in rows} == {
        ("node-0", "node"),
        ("gateway", "api"),
        ("provider-0", "provider"),
    }
    assert set(asked) == {"/cosmos/base/tendermint/v1beta1/node_info", "/health"}
    assert all(row["ok"] for row in rows)


def test_an_api_without_rest_is_not_watched(tmp_path: Path) -> None:
    assert api_health(an_api(None), Book(tmp_path, PROBES).writer, PERIOD_S) is None


# --- what a node says of itself ---


@contextmanager
def status_watch(folder: Path) -> Iterator[tuple[ChainNode, Book]]:
    with chain_nodes(1) as (_, (node,)):
        book = Book(folder, PROBES)
        with watching(NodeStatusWatch(a_node(node.url), book.writer, PERIOD_S)):
            wait_for(lambda: book.count > 1, "the first rows")
            yield node, book


def of_probe(book: Book, probe: str) -> list[dict[str, Any]]:
    return [row for row in book.rows() if row["probe"] == probe]


def test_status_and_peers(tmp_path: Path) -> None:
    with status_watch(tmp_path) as (node, book):
        wait_for(lambda: bool(of_probe(book, "peers")), "the peers")
        node.ledger.add()
        node.catching_up = True
        wait_for(lambda: of_probe(book, "status")[-1]["catching_up"] is True, "catching up")
        status, last, peers = of_probe(book, "status")[0], of_probe(book, "status")[-1], of_probe(book, "peers")[0]
    assert (status["endpoint"], status["kind"], status["ok"], status["detail"]) == ("node-0", "node", True, None)
    assert (status["height"], status["catching_up"], status["peers"], status["mempool_txs"]) == (3, False, None, None)
    assert (last["height"], last["catching_up"]) == (4, True)
    assert (peers["height"], peers["catching_up"], peers["peers"], peers["mempool_txs"]) == (None, None, 3, 17)


def test_peers_are_asked_for_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_SLOW_PERIOD_S", 3600.0)
    with status_watch(tmp_path) as (_, book):
        wait_for(lambda: book.count > 6, "several looks")
        assert len(of_probe(book, "peers")) == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ((502, b"<html>"), "answered 502 with b'<html>', which is no JSON"),
        ((502, b'{"error": "bad gateway"}'), None),
        ((200, b'{"result": {}}'), None),
        ((200, b'{"result": null}'), None),
        ((200, b"[]"), None),
        ((200, b'{"error": {"code": -32603, "message": "Internal error", "data": "x"}}'), "Internal error: x"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_answer_of_another_shape_is_a_row_that_is_not_ok(
    tmp_path: Path, raw: tuple[int, bytes], why: str | None
) -> None:
    with status_watch(tmp_path) as (node, book):
        node.raw = raw
        wait_for(lambda: not book.rows()[-1]["ok"], "a row of the trouble")
        node.raw = None
        wait_for(lambda: bool(book.rows()[-1]["ok"]), "a row of its end")
        bad = [row for row in book.rows() if not row["ok"]]
    for row in bad:
        assert row["detail"]
        assert why is None or row["detail"] == why
        assert (row["height"], row["catching_up"], row["peers"]) == (None, None, None)
        assert row["latency_ms"] > 0


def test_a_dead_node_and_a_mute_one_are_told_apart(tmp_path: Path) -> None:
    with status_watch(tmp_path) as (node, book):
        node.pause()
        wait_for(lambda: book.rows()[-1]["detail"] == "gave no answer in time", "a row of the mute node")
        node.resume()
        node.kill()
        wait_for(lambda: book.rows()[-1]["detail"] == "refuses the connection", "a row of the dead node")
        node.start()
        wait_for(lambda: bool(book.rows()[-1]["ok"]), "a row of the node that is back")
