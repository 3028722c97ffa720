"""Sequences: what an account uses next after every way in which a transaction can end."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import ErrorKind, Outcome, Rejection
from loadtests.kit.accounts import AccountPool, LoadAccount, TxOrder
from loadtests.kit.calls import CallFailed
from loadtests.kit.pool_size import accounts_needed
from target.keys import derive_accounts
from target.query import AccountState
from target.transaction import ChainIdentity
from tests.unit.loadtests.kit_servers import wait_for

MNEMONIC = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
CHAIN = ChainIdentity(chain_id="fake-1", denom="uve", gas_price=0.025)
KEYS = list(derive_accounts(MNEMONIC, prefix="ve", count=1))
LIMIT_S = 20.0
CLIENT_ERROR = ErrorKind.CLIENT_ERROR


def wrong_sequence(expected: int, got: int) -> CallFailed:
    text = f"sdk/32 account sequence mismatch, expected {expected}, got {got}: incorrect account sequence"
    return CallFailed(CLIENT_ERROR, text, rejection=Rejection.SEQUENCE)


NO_ANSWER = CallFailed(ErrorKind.TIMEOUT, "no whole answer in time", outcome=Outcome.UNKNOWN)
UNREACHABLE = CallFailed(ErrorKind.REFUSED, "connection refused")
INTERNAL = CallFailed(ErrorKind.SERVER_ERROR, "-32603 Internal error: no")
KEEPS = [
    CallFailed(ErrorKind.BACK_PRESSURE, "mempool is full", rejection=Rejection.MEMPOOL_FULL),
    CallFailed(ErrorKind.BACK_PRESSURE, "ratelimit/1", rejection=Rejection.RATE_LIMIT),
    CallFailed(CLIENT_ERROR, "sdk/11 out of gas", rejection=Rejection.CHECK_TX),
]


class Scene:
    """A pool of one account, and what the chain says when it is asked."""

    def __init__(self, *, depth: int, sequence: int = 5) -> None:
        self.on_chain = sequence
        self.asked = 0
        self.pool = AccountPool(KEYS, CHAIN, self._ask, depth=depth)
        self.pool.wait_until_asked(LIMIT_S)
        self.asked = 0

    def _ask(self, address: str) -> AccountState:
        self.asked += 1
        return AccountState(number=1, sequence=self.on_chain)

    def lease(self) -> LoadAccount:
        """Return the account, which must be free by now."""
        account = self.pool.lease()
        assert account is not None, "the account is not free"
        return account

    def send(self, failure: CallFailed | None = None, *, is_settled: bool = False) -> int:
        """Submit one transaction that ends so; returns its sequence."""
        account = self.lease()
        sequence = account.sequence
        account.sign(KEYS[0].address, 1, TxOrder.PIPELINE)
        self.account = account
        self.pool.submitted(account, failure, is_settled=is_settled)
        return sequence

    def settle(self, sequence: int, *, committed: bool = True) -> None:
        self.pool.settled(self.account, sequence, committed=committed)

    def comes_back(self) -> int:
        """Wait until the account is free and return the sequence that it would use."""
        found: list[LoadAccount] = []

        def is_free() -> bool:
            account = self.pool.lease()
            found.extend([account] if account else [])
            return bool(found)

        wait_for(is_free, "the account")
        self.pool.release(found[0])
        return found[0].sequence

    @property
    def is_free(self) -> bool:
        gevent.sleep(0)
        account = self.pool.lease()
        if account:
            self.pool.release(account)
        return account is not None


def test_one_at_a_time_the_account_rests_until_its_block() -> None:
    scene = Scene(depth=1)
    assert scene.send() == 5
    assert not scene.is_free
    scene.settle(5)
    assert (scene.lease().sequence, scene.asked) == (6, 0)


def test_a_pipeline_sends_consecutive_sequences_up_to_its_depth() -> None:
    scene = Scene(depth=3)
    assert [scene.send() for _ in range(3)] == [5, 6, 7]
    assert not scene.is_free
    scene.settle(5)
    assert scene.send() == 8
    assert not scene.is_free
    assert scene.asked == 0


def test_a_block_that_is_faster_than_the_answer_counts() -> None:
    scene = Scene(depth=1)
    account = scene.lease()
    account.sign(KEYS[0].address, 1, TxOrder.SEQUENCE)
    scene.pool.settled(account, 5, committed=True)
    assert not scene.is_free
    scene.pool.submitted(account, NO_ANSWER, is_settled=True)
    assert (scene.comes_back(), scene.asked) == (6, 0)


@pytest.mark.parametrize("failure", KEEPS, ids=lambda failure: str(failure.rejection))
@pytest.mark.parametrize("depth", [1, 4])
def test_a_refusal_that_takes_no_sequence_changes_nothing(failure: CallFailed, depth: int) -> None:
    scene = Scene(depth=depth)
    assert scene.send(failure) == 5
    assert scene.send(failure) == 5
    assert scene.asked == 0


def test_what_was_not_connected_goes_to_another_node_with_the_same_sequence() -> None:
    scene = Scene(depth=4)
    account = scene.lease()
    lane = account.lane
    scene.pool.release(account)
    assert scene.send(UNREACHABLE) == 5
    assert (scene.lease().sequence, scene.account.lane, scene.asked) == (5, lane + 1, 0)


def test_with_others_on_their_way_another_node_waits_for_them() -> None:
    """The next node may not know of them, and would refuse what comes after."""
    scene = Scene(depth=4)
    sequence = scene.send()
    scene.send(UNREACHABLE)
    assert not scene.is_free
    scene.settle(sequence)
    assert scene.comes_back() == 6


def test_a_node_that_is_behind_a_block_is_not_believed_when_it_is_asked_either() -> None:
    scene = Scene(depth=4)
    first, second = scene.send(), scene.send()
    scene.settle(first)
    scene.settle(second, committed=False)
    scene.on_chain = 5
    assert (scene.comes_back(), scene.asked) == (6, 1)


@pytest.mark.parametrize("expected", [6, 9])
def test_the_sequence_that_the_node_expects_is_taken_when_nothing_is_on_its_way(expected: int) -> None:
    scene = Scene(depth=1)
    scene.send(wrong_sequence(expected, 5))
    assert (scene.lease().sequence, scene.asked) == (expected, 0)


def test_a_node_that_is_behind_what_a_block_has_shown_is_not_believed() -> None:
    scene = Scene(depth=1)
    scene.settle(scene.send())
    assert scene.send(wrong_sequence(5, 6)) == 6
    assert (scene.lease().sequence, scene.asked) == (6, 0)


def test_with_others_on_their_way_a_wrong_sequence_waits_for_them_and_asks() -> None:
    scene = Scene(depth=4)
    scene.send()
    scene.send(wrong_sequence(5, 6))
    assert not scene.is_free
    scene.on_chain = 7
    scene.settle(5)
    assert (scene.comes_back(), scene.asked) == (7, 1)


def test_one_lost_in_the_middle_stops_the_account_until_all_have_settled() -> None:
    scene = Scene(depth=4)
    sent = [scene.send() for _ in range(3)]
    scene.on_chain = 6
    scene.settle(sent[0])
    scene.settle(sent[1], committed=False)
    assert not scene.is_free
    scene.settle(sent[2], committed=False)
    assert (scene.comes_back(), scene.asked) == (6, 1)


def test_no_answer_is_no_doubt_any_more_when_a_block_has_it() -> None:
    scene = Scene(depth=4)
    sequence = scene.send(NO_ANSWER)
    assert not scene.is_free
    scene.settle(sequence)
    assert (scene.lease().sequence, scene.asked) == (6, 0)


@pytest.mark.parametrize("on_chain", [5, 6])
def test_what_failed_in_its_block_may_have_taken_its_sequence(on_chain: int) -> None:
    scene = Scene(depth=1)
    scene.on_chain = on_chain
    scene.settle(scene.send(), committed=False)
    assert (scene.comes_back(), scene.asked) == (on_chain, 1)


EVENTS = (
    *("take", "take", "lose", "mute_and_taken", "mute_and_lost", "full", "unreachable", "error_and_taken"),
    *("error_and_lost", "block", "block", "failing_block", "expire"),
)


@settings(max_examples=150)
@given(
    depth=st.integers(1, 4),
    events=st.lists(st.sampled_from(EVENTS), max_size=40),
)
def test_whatever_happens_the_account_finds_its_way_back(depth: int, events: list[str]) -> None:
    """Law: never more on their way than the depth; and when all is quiet, at most one refusal until it goes on."""
    chain, scene = AccountChain(), Scene(depth=depth, sequence=0)
    watched: dict[int, int] = {}

    def submit(event: str) -> CallFailed | None:
        account = scene.pool.lease()
        if account is None:
            return None
        scene.account = account
        sequence = account.sequence
        account.sign(KEYS[0].address, 1, TxOrder.PIPELINE)
        failure = chain.answer(event, sequence)
        if failure is None or failure.outcome is Outcome.UNKNOWN:
            watched[sequence] = watched.get(sequence, 0) + 1
        scene.pool.submitted(account, failure, is_settled=False)
        return failure

    def settle(sequence: int, *, committed: bool) -> None:
        for _ in range(watched.pop(sequence, 0)):
            scene.settle(sequence, committed=committed)

    def step(event: str) -> None:
        if event in ("block", "failing_block"):
            for sequence, committed in chain.make_block(failing=event != "block"):
                settle(sequence, committed=committed)
        elif event == "expire":
            for sequence in sorted(set(watched) - set(chain.mempool)):
                settle(sequence, committed=False)
        else:
            submit(event)
        scene.on_chain = chain.committed
        if hasattr(scene, "account"):
            assert 0 <= scene.account.in_flight <= depth
            assert scene.account.in_flight == sum(watched.values())

    for event in [*events, "block", "expire"]:
        step(event)
    scene.comes_back()
    refusals = 0
    while (failure := submit("take")) is not None:
        assert failure.rejection is Rejection.SEQUENCE
        refusals += 1
        assert refusals <= 1
        scene.comes_back()
    assert chain.mempool == [chain.committed]


class AccountChain:
    """What a chain with one node knows of one account."""

    def __init__(self) -> None:
        self.committed = 0
        self.mempool: list[int] = []

    def answer(self, event: str, sequence: int) -> CallFailed | None:
        """Return what the client is told of a transaction; it may be in the mempool then."""
        failures: dict[str, CallFailed] = {"full": KEEPS[0], "unreachable": UNREACHABLE}
        if event in failures:
            return failures[event]
        expected = self.committed + len(self.mempool)
        if sequence != expected and not event.startswith("mute"):
            return wrong_sequence(expected, sequence)
        if sequence == expected and event in ("take", "mute_and_taken", "error_and_taken"):
            self.mempool.append(sequence)
        return NO_ANSWER if event.startswith("mute") else INTERNAL if event.startswith("error") else None

    def make_block(self, *, failing: bool) -> list[tuple[int, bool]]:
        """Return (sequence, whether with code 0). A failing block's first transaction takes no sequence."""
        included, self.mempool = self.mempool, []
        if failing and included:
            return [(included[0], False)]  # the others are thrown out when they are checked again
        self.committed += len(included)
        return [(sequence, True) for sequence in included]


@pytest.mark.parametrize(
    ("rate", "block_time", "order", "depth", "needed"),
    [
        (100.0, 1.3, TxOrder.UNORDERED, 1, 33),
        (100.0, 1.3, TxOrder.UNORDERED, 9, 33),
        (40.0, 1.0, TxOrder.UNORDERED, 1, 10),
        (100.0, 1.3, TxOrder.SEQUENCE, 1, 260),
        (100.0, 1.3, TxOrder.PIPELINE, 4, 65),
        (100.0, 1.3, TxOrder.PIPELINE, 100, 33),
    ],
)
def test_how_many_accounts_a_rate_needs(
    rate: float, block_time: float, order: TxOrder, depth: int, needed: int
) -> None:
    assert accounts_needed(rate, block_time, order, depth=depth) == needed
