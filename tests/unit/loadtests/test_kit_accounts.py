"""The account pool: leases, releases, and asking the chain for where an account stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.kit import accounts as accounts_module
from loadtests.kit.accounts import PREPARING_AT_ONCE, AccountPool, LoadAccount, TxOrder
from target.errors import NoAnswer
from target.keys import AccountKey, derive_accounts
from target.query import AccountState
from target.transaction import ChainIdentity, TransferSigner, read_sequence
from target.wire import fields, first_bytes, first_int
from tests.unit.loadtests.kit_servers import wait_for

MNEMONIC = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
CHAIN = ChainIdentity(chain_id="fake-1", denom="uve", gas_price=0.025)
KEYS = list(derive_accounts(MNEMONIC, prefix="ve", count=12))
LIMIT_S = 20.0


def a_pool(ask: Callable[[str], AccountState | None], keys: list[AccountKey] | None = None) -> AccountPool:
    return AccountPool(KEYS if keys is None else keys, CHAIN, ask)


def known(address: str) -> AccountState:
    place = next(key.index for key in KEYS if key.address == address)
    return AccountState(number=100 + place, sequence=place)


def filled(ask: Callable[[str], AccountState | None] = known, keys: list[AccountKey] | None = None) -> AccountPool:
    pool = a_pool(ask, keys)
    pool.wait_until_asked(LIMIT_S)
    return pool


def leased(pool: AccountPool) -> list[LoadAccount]:
    """Lease everything that is free."""
    found = []
    while (account := pool.lease()) is not None:
        found.append(account)
    return found


def all_back(pool: AccountPool, count: int) -> list[LoadAccount]:
    """Lease accounts as they come back, until it is so many."""
    found: list[LoadAccount] = []

    def enough() -> bool:
        found.extend(leased(pool))
        return len(found) >= count

    wait_for(enough, f"{count} accounts")
    return found


def timeout_of(raw: bytes) -> int:
    """Return the timeout in an unordered transaction, nanoseconds."""
    timestamp = first_bytes(first_bytes(raw, 1), 5)
    return first_int(timestamp, 1) * 1_000_000_000 + first_int(timestamp, 2)


def test_every_account_is_asked_for_once_and_comes_with_its_place_on_the_chain() -> None:
    asked: list[str] = []

    def ask(address: str) -> AccountState:
        asked.append(address)
        return known(address)

    pool = filled(ask)
    assert sorted(asked) == sorted(key.address for key in KEYS)
    accounts = leased(pool)
    assert {a.address: (a.signer.account_number, a.sequence) for a in accounts} == {
        key.address: (100 + key.index, key.index) for key in KEYS
    }
    assert len(pool) == len(KEYS)


def test_accounts_that_the_chain_does_not_know_are_counted_and_never_leased() -> None:
    strangers = {KEYS[2].address, KEYS[5].address}
    pool = filled(lambda address: None if address in strangers else known(address))
    assert pool.unknown_to_chain == 2
    assert strangers.isdisjoint(account.address for account in leased(pool))


def test_an_empty_pool_gives_none() -> None:
    pool = filled(keys=KEYS[:1])
    account = pool.lease()
    assert account is not None
    assert pool.lease() is None
    pool.release(account)
    assert pool.lease() is account


def test_the_account_that_rested_longest_comes_first() -> None:
    pool = filled()
    first, second = pool.lease(), pool.lease()
    assert first is not None
    assert second is not None
    pool.release(second)
    pool.release(first)
    assert leased(pool)[-2:] == [second, first]


@settings(max_examples=50)
@given(events=st.lists(st.one_of(st.just("lease"), st.integers(0, 20)), max_size=80))
def test_no_account_is_leased_twice_at_once(events: list[str | int]) -> None:
    """Law: the pool is a queue of those that were given back; out and in together are always all of them."""
    pool = filled()
    free = leased(pool)
    model = deque(account.address for account in free)
    for account in free:
        pool.release(account)
    out: list[LoadAccount] = []
    for event in events:
        if event == "lease":
            taken = pool.lease()
            assert (taken.address if taken else None) == (model.popleft() if model else None)
            if taken:
                out.append(taken)
        elif out and isinstance(event, int):
            account = out.pop(event % len(out))
            pool.release(account)
            model.append(account.address)
        assert len(model) + len(out) == len(KEYS)


def test_a_chain_that_does_not_answer_is_asked_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "_RETRY_S", 0.001)
    failures = {key.address: 3 for key in KEYS}

    def ask(address: str) -> AccountState:
        if failures[address]:
            failures[address] -= 1
            raise NoAnswer("http://127.0.0.1:1", "gave no answer in time")
        return known(address)

    pool = filled(ask)
    assert len(leased(pool)) == len(KEYS)


def test_waiting_for_the_chain_ends_at_the_limit_and_asking_goes_on() -> None:
    answer = Event()

    def ask(address: str) -> AccountState:
        answer.wait()
        return known(address)

    pool = a_pool(ask)
    pool.wait_until_asked(0.01)
    assert pool.lease() is None
    answer.set()
    pool.wait_until_asked(LIMIT_S)
    assert len(leased(pool)) == len(KEYS)


def test_the_chain_is_asked_for_a_bounded_number_of_accounts_at_once() -> None:
    now, most = 0, 0
    answer = Event()

    def ask(address: str) -> AccountState:
        nonlocal now, most
        now += 1
        most = max(most, now)
        answer.wait()
        now -= 1
        return known(address)

    pool = a_pool(ask)
    wait_for(lambda: now == PREPARING_AT_ONCE, "as many questions as may be")
    answer.set()
    pool.wait_until_asked(LIMIT_S)
    assert most == PREPARING_AT_ONCE


def test_a_resynced_account_is_back_with_the_chains_sequence() -> None:
    sequences = {KEYS[0].address: 5}
    pool = filled(lambda address: AccountState(number=7, sequence=sequences[address]), KEYS[:1])
    account = pool.lease()
    assert account is not None
    sequences[account.address] = 9
    pool.resync(account)
    (again,) = all_back(pool, 1)
    assert (again.address, again.sequence, again.signer.account_number) == (account.address, 9, 7)
    assert pool.lease() is None


def test_many_resyncs_at_once_hold_nobody_up_while_the_chain_is_mute() -> None:
    """The follower resyncs from within its own greenlet: it must go on although no node answers."""
    mute = False
    answer = Event()

    def ask(address: str) -> AccountState:
        if mute:
            answer.wait()
        return known(address)

    pool = filled(ask)
    accounts = leased(pool)
    assert len(accounts) > PREPARING_AT_ONCE
    mute = True
    with gevent.Timeout(LIMIT_S, AssertionError("resync waits for the chain")):
        for account in accounts:
            pool.resync(account)
    assert pool.lease() is None
    answer.set()
    assert len({account.address for account in all_back(pool, len(KEYS))}) == len(KEYS)


def an_account(sequence: int = 3) -> LoadAccount:
    key = KEYS[0]
    return LoadAccount(key, TransferSigner(key, CHAIN, account_number=1), sequence)


def test_in_order_a_transfer_takes_the_accounts_sequence() -> None:
    account = an_account(sequence=41)
    assert read_sequence(account.sign(KEYS[1].address, 5, TxOrder.SEQUENCE).raw) == 41
    assert read_sequence(account.sign(KEYS[1].address, 5, TxOrder.SEQUENCE).raw) == 42
    assert account.in_flight == 2


class StandingClock:
    """Time as given, however often it is asked for."""

    def __init__(self, *times_ns: int) -> None:
        self._times_ns = deque(times_ns)

    def time_ns(self) -> int:
        return self._times_ns.popleft() if len(self._times_ns) > 1 else self._times_ns[0]


@given(times_ns=st.lists(st.integers(1_600_000_000 * 10**9, 1_900_000_000 * 10**9), min_size=1, max_size=40))
def test_unordered_timeouts_of_an_account_never_repeat(times_ns: list[int]) -> None:
    """Law: whatever the clock does (stand still, go back), each timeout is later than the one before it."""
    account = an_account()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts_module, "time", StandingClock(*times_ns))
        transactions = [account.sign(KEYS[1].address, 5, TxOrder.UNORDERED) for _ in range(len(times_ns) + 3)]
    timeouts = [timeout_of(transaction.raw) for transaction in transactions]
    assert timeouts == sorted(set(timeouts))
    assert len({transaction.tx_hash for transaction in transactions}) == len(transactions)
    assert timeouts[0] - times_ns[0] == 300 * 10**9
    for transaction in transactions:
        body = dict(fields(first_bytes(transaction.raw, 1)))
        assert body[4] == 1  # unordered
        assert read_sequence(transaction.raw) == 0
