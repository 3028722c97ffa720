"""The transfer scenario against a fake chain: what a node's no does to the account, and what the samples say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bundle import ErrorKind, LoadStep, Outcome, Rejection
from loadtests.kit.accounts import AccountPool, TxOrder
from loadtests.kit.calls import Call, ChainCode
from loadtests.kit.notes import Notes
from loadtests.kit.session import Session
from loadtests.transfer import CONFIRM, SUBMIT, TransferUser, note_pool_size
from target.query import AccountState
from target.transaction import hash_of, read_sequence
from tests.unit.loadtests.kit_chain import FakeChain, FakeTx, chain_of
from tests.unit.loadtests.kit_servers import wait_for
from tests.unit.loadtests.kit_session import a_session, a_target

LIMIT_S = 20.0
ACCEPTED = {"code": 0, "codespace": "", "log": "", "hash": "A"}


class Scene:
    """A user, the chain that it sends to, and what it reports."""

    def __init__(self, session: Session, chain: FakeChain) -> None:
        self.session = session
        self.chain = chain
        self.calls: list[Call] = []
        self.received: list[bytes] = []
        self.refuse_with: dict[str, Any] | None = None
        session.environment.events.request.add_listener(lambda context, **_: self.calls.append(context["call"]))
        chain.on_broadcast = self._broadcast
        self.user = TransferUser(session.environment)

    def _broadcast(self, raw: bytes) -> dict[str, Any]:
        self.received.append(raw)
        return self.refuse_with or ACCEPTED

    def send(self) -> int:
        """Send one transfer; returns the sequence that it took."""
        self.user.transfer()
        return read_sequence(self.received[-1])

    def make_block(self, *codes: int) -> None:
        """Make a block with the last transactions, one for each code, and wait until all are confirmed."""
        raws = self.received[-len(codes) :]
        expected = sum(call.operation == CONFIRM for call in self.calls) + len(codes)
        self.chain.make_block(*(FakeTx(raw, code) for raw, code in zip(raws, codes, strict=True)))
        wait_for(lambda: sum(call.operation == CONFIRM for call in self.calls) == expected, "the confirmations")

    def last(self, operation: str) -> Call:
        return [call for call in self.calls if call.operation == operation][-1]


@contextmanager
def scene_of(order: TxOrder, *arguments: str, nodes: int = 1, accounts: int = 1) -> Iterator[Scene]:
    """Give a scene whose accounts stand at sequence 3."""
    with chain_of(nodes) as (chain, peers):
        target = a_target(*(peer.url for peer in peers), accounts=accounts)
        session = a_session("--tx-order", order.value, *arguments, target=target)
        keys = session._account_keys
        pool = AccountPool(keys, target.chain, lambda _: AccountState(number=1, sequence=3), depth=session.tx_depth)
        pool.wait_until_asked(LIMIT_S)
        session.parts["accounts"] = pool
        session.make("follower")
        try:
            wait_for(lambda: all(peer.subscriber_count for peer in peers[:1]), "the follower")
            yield Scene(session, chain)
        finally:
            session.close()


def refusal(codespace: str, code: int, log: str) -> dict[str, Any]:
    return {"code": code, "codespace": codespace, "log": log, "hash": "A"}


def test_a_wrong_sequence_is_recovered_from_with_the_next_transfer() -> None:
    with scene_of(TxOrder.SEQUENCE) as scene:
        scene.refuse_with = refusal("sdk", 32, "account sequence mismatch, expected 8, got 3: incorrect sequence")
        assert scene.send() == 3
        failure = scene.last(SUBMIT).failure
        assert failure is not None
        assert (failure.rejection, failure.chain_code) == (
            Rejection.SEQUENCE,
            ChainCode(codespace="sdk", code=32),
        )
        scene.refuse_with = None
        assert scene.send() == 8
        scene.make_block(0)
        assert scene.send() == 9


def test_a_refusal_by_the_limit_keeps_the_sequence_and_is_no_failure() -> None:
    with scene_of(TxOrder.SEQUENCE) as scene:
        scene.refuse_with = refusal("ratelimit", 1, "account rate limited")
        assert scene.send() == 3
        assert scene.last(SUBMIT).failure is not None
        assert scene.session.environment.stats.total.num_failures == 0
        scene.refuse_with = None
        assert scene.send() == 3


def test_in_sequence_a_second_transfer_waits_and_is_not_sent() -> None:
    with scene_of(TxOrder.SEQUENCE) as scene:
        scene.send()
        scene.user.transfer()
        failure = scene.last(SUBMIT).failure
        assert failure is not None
        assert (failure.kind, failure.outcome) == (ErrorKind.NOT_SENT, Outcome.FAIL)
        assert len(scene.received) == 1


def test_a_pipeline_has_several_on_their_way_through_one_node() -> None:
    with scene_of(TxOrder.PIPELINE, "--pipeline-depth", "3", nodes=3) as scene:
        assert [scene.send() for _ in range(3)] == [3, 4, 5]
        assert len({call.endpoint for call in scene.calls}) == 1
        scene.user.transfer()
        assert scene.last(SUBMIT).failure is not None  # as deep as it may be
        scene.make_block(0, 0, 0)
        assert scene.send() == 6


def test_what_fails_in_its_block_is_told_by_its_code() -> None:
    with scene_of(TxOrder.SEQUENCE) as scene:
        scene.send()
        scene.make_block(5)
        confirm = scene.last(CONFIRM)
        assert confirm.failure is not None
        assert confirm.failure.kind is ErrorKind.EXECUTION_FAILED
        assert confirm.failure.chain_code is not None
        assert confirm.failure.chain_code.code == 5


@pytest.mark.parametrize(("order", "expires"), [(TxOrder.UNORDERED, True), (TxOrder.SEQUENCE, False)])
def test_only_an_unordered_transfer_says_when_it_expires(order: TxOrder, expires: bool) -> None:
    with scene_of(order) as scene:
        scene.user.transfer()
        submit = scene.last(SUBMIT)
        assert submit.tx_hash == hash_of(scene.received[-1])
        assert (submit.valid_until_at_s is not None) == expires
        if submit.valid_until_at_s is not None:
            assert submit.valid_until_at_s > submit.sent_at_s
        scene.make_block(0)
        assert scene.last(CONFIRM).valid_until_at_s == submit.valid_until_at_s


@pytest.mark.parametrize(("accounts", "rate", "is_noted"), [(10, 30, False), (10, 31, True)])
def test_too_few_accounts_for_the_rate_are_noted(accounts: int, rate: int, is_noted: bool) -> None:
    """At 1.3 s a block, 4 a block: ten accounts bear 30 a second, and not 31."""
    with scene_of(TxOrder.UNORDERED, "--loads", f"transfer:{rate}@1", accounts=accounts) as scene:
        noted = notes_of(scene, lambda: note_pool_size(scene.session, "transfer"))
    figures = {"accounts": 10, "needed": 11, "rate_per_s": 31.0, "block_time_s": 1.3}
    assert noted == ([(LoadStep.ACCOUNTS_TOO_FEW, figures)] if is_noted else [])


def notes_of(scene: Scene, do: Callable[[], None]) -> list[tuple[LoadStep, dict[str, float]]]:
    """Return what the session notes while something is done."""
    noted: list[tuple[LoadStep, dict[str, float]]] = []

    class Listening(Notes):
        def write(self, step: LoadStep, **figures: float) -> None:
            noted.append((step, figures))

    scene.session.notes = Listening(None, "local")
    do()
    return [*noted]


def test_accounts_that_the_chain_does_not_know_do_not_count() -> None:
    with scene_of(TxOrder.UNORDERED, "--loads", "transfer:30@1", accounts=10) as scene:
        scene.session.accounts.unknown_to_chain = 1
        noted = notes_of(scene, lambda: note_pool_size(scene.session, "transfer"))
    assert [step for step, _ in noted] == [LoadStep.ACCOUNTS_TOO_FEW]
