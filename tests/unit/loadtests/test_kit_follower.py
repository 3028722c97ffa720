"""The block follower against fake nodes: every transaction is settled once, whatever the nodes do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import ErrorKind, Outcome
from loadtests.kit import follower as follower_module
from loadtests.kit.calls import CallFailed
from loadtests.kit.follower import BlockFollower, Inclusion
from tests.unit.loadtests.kit_chain import FakeChain, FakeNode, FakeTx, a_tx, chain_of
from tests.unit.loadtests.kit_servers import text_frame, wait_for
from tests.unit.loadtests.kit_session import a_target

LONG_S = 60.0


class Ledger:
    """What each watched transaction was settled with, every time."""

    def __init__(self, follower: BlockFollower) -> None:
        self.follower = follower
        self.settled: dict[str, list[Inclusion | CallFailed]] = {}

    def watch(self, tx: FakeTx) -> None:
        self.settled.setdefault(tx.tx_hash, [])
        self.follower.watch(tx.tx_hash, lambda how: self.settled[tx.tx_hash].append(how))

    def of(self, tx: FakeTx) -> list[Inclusion | CallFailed]:
        return self.settled[tx.tx_hash]

    def heights(self) -> dict[str, list[int]]:
        """Return the heights that transactions were settled with."""
        return {
            tx_hash: [how.height for how in every if isinstance(how, Inclusion)]
            for tx_hash, every in self.settled.items()
        }

    def wait_for(self, *transactions: FakeTx) -> None:
        wait_for(lambda: all(self.of(tx) for tx in transactions), "the settlement")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for silence, for expiry and for another node in short periods."""
    monkeypatch.setattr(follower_module, "_SILENCE_LIMIT_S", 0.1)
    monkeypatch.setattr(follower_module, "_EXPIRY_PERIOD_S", 0.02)
    monkeypatch.setattr(follower_module, "_RETRY_S", 0.01)


@contextmanager
def following(nodes: list[FakeNode], *, confirm_limit_s: float = LONG_S) -> Iterator[Ledger]:
    target = a_target(*(node.url for node in nodes))
    follower = BlockFollower(list(target.nodes), confirm_limit_s=confirm_limit_s)
    try:
        yield Ledger(follower)
    finally:
        follower.stop()


def subscribed(nodes: list[FakeNode]) -> FakeNode:
    """Return the node that the follower listens to, when it does."""
    wait_for(lambda: any(node.subscriber_count for node in nodes), "a subscription")
    return next(node for node in nodes if node.subscriber_count)


def included(ledger: Ledger, tx: FakeTx) -> Inclusion:
    (how,) = ledger.of(tx)
    assert isinstance(how, Inclusion)
    return how


def test_a_transaction_is_settled_with_its_block() -> None:
    with chain_of(1) as (chain, nodes), following(nodes) as ledger:
        good, bad, other = a_tx("good"), a_tx("bad", code=5), a_tx("other")
        ledger.watch(good)
        ledger.watch(bad)
        subscribed(nodes)
        chain.make_block()
        height = chain.make_block(other, good, bad)
        ledger.wait_for(good, bad)
        assert (included(ledger, good).height, included(ledger, good).result.code) == (height, 0)
        assert (included(ledger, bad).result.code, included(ledger, bad).result.log) == (5, "no")
        assert included(ledger, good).seen_at_s > 0
        assert ledger.follower.pending_count == 0


def test_a_block_is_faster_than_the_subscription() -> None:
    """Between the first height and the subscription blocks pass by: they are fetched."""
    with chain_of(1) as (chain, nodes):
        target = a_target(nodes[0].url)
        follower = BlockFollower(list(target.nodes), confirm_limit_s=LONG_S)
        ledger = Ledger(follower)
        early, late = a_tx("early"), a_tx("late")
        ledger.watch(early)
        ledger.watch(late)
        chain.make_block(early)  # no greenlet has run yet
        chain.make_block(late)
        ledger.wait_for(early, late)
        assert [included(ledger, tx).height for tx in (early, late)] == [4, 5]
        follower.stop()


def test_blocks_that_were_not_announced_are_fetched() -> None:
    with chain_of(1) as (chain, nodes), following(nodes) as ledger:
        node = subscribed(nodes)
        wait_for(lambda: "status" in node.asked[1:], "the follower's start")
        skipped, told = [a_tx(n) for n in range(3)], a_tx("told")
        for tx in (*skipped, told):
            ledger.watch(tx)
        node.announces = False
        for tx in skipped:
            chain.make_block(tx)
        assert not any(ledger.of(tx) for tx in skipped)
        node.announces = True
        chain.make_block(told)
        ledger.wait_for(*skipped, told)
        assert [included(ledger, tx).height for tx in (*skipped, told)] == [4, 5, 6, 7]


def test_a_node_that_dies_is_left_for_another() -> None:
    with chain_of(3) as (chain, nodes), following(nodes) as ledger:
        for round_ in range(2):
            node = subscribed(nodes)
            meanwhile, later = a_tx((round_, "meanwhile")), a_tx((round_, "later"))
            ledger.watch(meanwhile)
            ledger.watch(later)
            node.keeps_up = False
            node.die()
            chain.make_block(meanwhile)
            subscribed([other for other in nodes if other is not node])
            chain.make_block(later)
            ledger.wait_for(meanwhile, later)
            assert included(ledger, meanwhile).height == chain.height - 1
            assert included(ledger, later).height == chain.height


def test_a_node_that_is_back_with_all_blocks_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a single node: it dies, blocks are made elsewhere, it comes back."""
    with chain_of(1) as (chain, nodes), following(nodes) as ledger:
        node = subscribed(nodes)
        tx = a_tx("x")
        ledger.watch(tx)
        node.die()
        chain.make_block()
        chain.make_block(tx)
        node.live()
        ledger.wait_for(tx)
        assert included(ledger, tx).height == 5


def test_a_node_that_falls_behind_in_silence_is_left_for_one_that_is_ahead() -> None:
    with chain_of(2) as (chain, nodes), following(nodes) as ledger:
        node = subscribed(nodes)
        node.keeps_up = False
        tx = a_tx("x")
        ledger.watch(tx)
        chain.make_block(tx)
        chain.make_block()  # two ahead: one would be an ordinary difference
        ledger.wait_for(tx)
        assert included(ledger, tx).height == 4


def test_a_silent_chain_is_no_reason_to_move() -> None:
    with chain_of(2) as (_, nodes), following(nodes) as ledger:
        node = subscribed(nodes)
        other = next(item for item in nodes if item is not node)
        asked = len(other.asked)
        wait_for(lambda: len(other.asked) > asked + 1, "two looks at the other node")
        assert node.subscriber_count == 1
        assert "subscribe" not in other.asked
        assert ledger.follower.pending_count == 0


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "null",
        '{"id": 1, "result": {"data": 5}}',
        '{"id": 1, "result": [1]}',
        '{"id": 1, "result": {"data": {"value": {"block": null}}}}',
        '{"id": 1, "result": {"data": {"value": {"block": {"header": {"height": "4", "time": "2026-01-01T00:00:00Z"},'
        ' "data": {"txs": []}}, "result_finalize_block": null}}}}',
        '{"id": 1, "result": {"data": {"value": {"block": {"header": {"height": "4", "time": "2026-01-01T00:00:00Z"},'
        ' "data": {"txs": ["QQ=="]}}, "result_finalize_block": {}}}}}',
        '{"id": 1, "error": {"code": -32603, "message": "slow client"}}',
        '{"id": 1, "error": "slow client"}',
    ],
)
def test_nonsense_on_the_stream_is_left_for_another_node(text: str) -> None:
    with chain_of(2) as (chain, nodes), following(nodes) as ledger:
        node = subscribed(nodes)
        node.send_to_subscribers(text_frame(text))
        wait_for(lambda: node.subscriber_count == 0, "the end of the subscription")
        subscribed([other for other in nodes if other is not node])
        tx = a_tx("x")
        ledger.watch(tx)
        chain.make_block(tx)
        ledger.wait_for(tx)
        assert included(ledger, tx).height == 4


@pytest.mark.parametrize("method", ["subscribe", "status", "block", "block_results"])
def test_a_node_that_cannot_answer_is_left_for_another(method: str) -> None:
    with chain_of(2) as (chain, nodes):
        nodes[0].unable = {method}
        with following(nodes) as ledger:
            tx = a_tx("x")
            ledger.watch(tx)
            chain.make_block(tx)
            ledger.wait_for(tx)
            assert included(ledger, tx).height == 4


def test_a_node_that_answers_something_else_is_left_for_another() -> None:
    with chain_of(2) as (chain, nodes):
        nodes[0].answers = {"block_results": {"result": {"height": "4", "txs_results": []}}}  # one is missing
        with following(nodes) as ledger:
            tx = a_tx("x")
            ledger.watch(tx)
            chain.make_block(tx)
            ledger.wait_for(tx)
            assert included(ledger, tx).height == 4


def test_a_transaction_that_no_block_has_expires_as_unknown() -> None:
    with chain_of(1) as (chain, nodes), following(nodes, confirm_limit_s=0.1) as ledger:
        tx = a_tx("never")
        ledger.watch(tx)
        chain.make_block(a_tx("another"))
        ledger.wait_for(tx)
        (how,) = ledger.of(tx)
        assert isinstance(how, CallFailed)
        assert (how.kind, how.outcome) == (ErrorKind.NOT_INCLUDED, Outcome.UNKNOWN)
        # And it is not settled again when a block has it after all.
        chain.make_block(tx)
        later = a_tx("later")
        ledger.watch(later)
        chain.make_block(later)
        ledger.wait_for(later)
        assert ledger.of(tx) == [how]


def test_a_forgotten_transaction_is_not_settled() -> None:
    with chain_of(1) as (chain, nodes), following(nodes) as ledger:
        refused, other = a_tx("refused"), a_tx("other")
        ledger.watch(refused)
        ledger.watch(other)
        assert ledger.follower.forget(refused.tx_hash) is True
        assert ledger.follower.forget(refused.tx_hash) is False
        chain.make_block(refused, other)
        ledger.wait_for(other)
        assert ledger.of(refused) == []
        assert ledger.follower.forget(other.tx_hash) is False


def test_drain_waits_for_blocks() -> None:
    with chain_of(1) as (chain, nodes), following(nodes) as ledger:
        tx = a_tx("x")
        ledger.watch(tx)
        drained = gevent.spawn(ledger.follower.drain, LONG_S)
        subscribed(nodes)
        assert not drained.ready()
        chain.make_block(tx)
        drained.get(timeout=20)
        assert included(ledger, tx).height == 4


def test_drain_ends_at_its_limit_and_settles_all_that_is_left() -> None:
    with chain_of(1) as (_, nodes), following(nodes) as ledger:
        left = [a_tx(n) for n in range(5)]
        for tx in left:
            ledger.watch(tx)
        ledger.follower.drain(0.01)
        for tx in left:
            (how,) = ledger.of(tx)
            assert isinstance(how, CallFailed)
        assert ledger.follower.pending_count == 0
        ledger.follower.drain(LONG_S)  # nothing pending: returns at once


def test_all_nodes_dead_from_the_start_and_alive_later() -> None:
    with chain_of(2) as (chain, nodes):
        for node in nodes:
            node.die()
        with following(nodes) as ledger:
            tx = a_tx("x")
            ledger.watch(tx)
            chain.make_block(tx)
            nodes[1].live()
            ledger.wait_for(tx)
            assert included(ledger, tx).height == 4


def test_settling_may_yield_while_others_are_settled_by_a_block() -> None:
    """An expiry whose callback waits must not trip over what a block settles meanwhile."""
    with chain_of(1) as (chain, nodes), following(nodes, confirm_limit_s=0.1) as ledger:
        node = subscribed(nodes)
        first, second, third = a_tx(1), a_tx(2), a_tx(3)
        ledger.settled[first.tx_hash] = []
        expiring, go_on = gevent.event.Event(), gevent.event.Event()

        def settle_slowly(how: Inclusion | CallFailed) -> None:
            expiring.set()
            go_on.wait()
            ledger.settled[first.tx_hash].append(how)

        ledger.follower.watch(first.tx_hash, settle_slowly)
        ledger.watch(second)
        assert expiring.wait(20)
        chain.make_block(second)
        wait_for(lambda: bool(ledger.of(second)), "the block")
        go_on.set()
        ledger.wait_for(first)
        # Expiry goes on afterwards.
        ledger.watch(third)
        ledger.wait_for(third)
        assert [len(ledger.of(tx)) for tx in (first, second, third)] == [1, 1, 1]
        assert node.subscriber_count == 1


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("watch"), st.integers(0, 9)),
        st.tuples(st.just("block"), st.lists(st.integers(0, 9), max_size=3, unique=True)),
        st.tuples(st.just("forget"), st.integers(0, 9)),
        st.tuples(st.just("mute"), st.integers(0, 1)),
        st.tuples(st.just("freeze"), st.integers(0, 1)),
        st.tuples(st.just("repair"), st.integers(0, 1)),
        st.tuples(st.just("break"), st.integers(0, 1)),
        st.tuples(st.just("die"), st.integers(0, 1)),
        st.tuples(st.just("yield"), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=100)
@given(events=EVENTS)
def test_every_watched_transaction_is_settled_once(events: list[tuple[str, object]]) -> None:
    """Law: watched and not forgotten, a transaction is settled once; with its block, if a block had it since."""
    with pytest.MonkeyPatch.context() as patch, chain_of(2) as (chain, nodes), following(nodes) as ledger:
        for name in ("_SILENCE_LIMIT_S", "_EXPIRY_PERIOD_S", "_RETRY_S"):
            patch.setattr(follower_module, name, 0.02)
        subscribed(nodes)
        watched: dict[int, int | None] = {}  # label → height of its block
        forgotten: set[int] = set()
        used: set[int] = set()
        dead: set[int] = set()
        for kind, value in events:
            node = nodes[value] if isinstance(value, int) and value < 2 else nodes[0]
            if kind == "watch" and isinstance(value, int) and value not in used:
                used.add(value)
                watched[value] = None
                ledger.watch(a_tx(value))
            elif kind == "block" and isinstance(value, list):
                fresh = [n for n in value if n in watched and watched[n] is None and n not in forgotten]
                made = chain.make_block(*(a_tx(n) for n in fresh))
                for n in fresh:
                    watched[n] = made
            elif kind == "forget" and isinstance(value, int) and value in watched and watched[value] is None:
                if ledger.follower.forget(a_tx(value).tx_hash):
                    forgotten.add(value)
            elif kind == "mute":
                node.announces = False
            elif kind == "freeze":
                node.keeps_up = False
            elif kind == "break":
                node.break_connections()
            elif kind == "die" and isinstance(value, int) and value not in dead:
                dead.add(value)
                node.die()
            elif kind == "yield":
                gevent.sleep(0.003)
            elif kind == "repair" and isinstance(value, int):
                _repair(chain, node, is_dead=value in dead)
                dead.discard(value)
        for place, node in enumerate(nodes):
            _repair(chain, node, is_dead=place in dead)
        chain.make_block()
        expected = {n: height for n, height in watched.items() if height is not None}
        wait_for(lambda: all(ledger.of(a_tx(n)) for n in expected), "the settlement of all that blocks have")
        ledger.follower.drain(0.0)
        for n, height in watched.items():
            every = ledger.of(a_tx(n))
            assert len(every) == (0 if n in forgotten else 1)
            assert [how.height for how in every if isinstance(how, Inclusion)] == ([height] if height else [])
        assert ledger.follower.pending_count == 0


def _repair(chain: FakeChain, node: FakeNode, *, is_dead: bool) -> None:
    node.announces = node.keeps_up = True
    node.take(chain.height)
    if is_dead:
        node.live()
