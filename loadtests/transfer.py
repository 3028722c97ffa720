"""Signed transfers: submission and confirmation, measured apart.

    locust -f loadtests/transfer.py --headless -u 50 -r 50 -t 60

`tx.submit` ends when the node's CheckTx has accepted the transaction; `tx.confirm` ends when a block that has
it arrives, and counts from the same intended time.
"""

from __future__ import annotations

from locust import task

from bundle import ErrorKind, LoadStep, Outcome
from loadtests.kit import CallFailed, HarnessUser
from loadtests.kit.accounts import LoadAccount, TxOrder
from loadtests.kit.calls import Call, ChainCode, report
from loadtests.kit.follower import Inclusion
from loadtests.kit.http import HttpPool
from loadtests.kit.pool_size import accounts_needed
from loadtests.kit.rpc import broadcast
from loadtests.kit.session import Session
from loadtests.load_text import highest_rate_per_s

SUBMIT, CONFIRM = "tx.submit", "tx.confirm"
MAX_AMOUNT_UVE = 999
"""VirtEngine's default genesis asks for a second factor from 10,000 uve on."""
PREPARATION_LIMIT_S = 15.0


class TransferUser(HarnessUser):
    """Sends a small amount to another load account."""

    scenario = "transfer"

    @classmethod
    def prepare(cls, session: Session) -> None:
        """Learn every account's number and sequence, how transfers are ordered, and where the chain stands."""
        if session.target.accounts is not None:
            session.accounts.wait_until_asked(PREPARATION_LIMIT_S)
            session.make("follower", "tx_order")
            note_pool_size(session, cls.scenario)

    @task
    def transfer(self) -> None:
        order, account, sequence = self.session.tx_order, None, 0
        with self.measured(SUBMIT, "TX") as call:
            account = self.session.accounts.lease()
            if account is None:
                raise CallFailed(ErrorKind.NOT_SENT, "no load account is free: the pool is too small for this rate")
            sequence = account.sequence
            recipient = self.draw.choice(self.session.recipients)
            transaction = account.sign(recipient, self.draw.randint(1, MAX_AMOUNT_UVE), order)
            call.tx_hash, call.valid_until_at_s = transaction.tx_hash, account.valid_until_at_s(order)
            # Watched before it is sent: a block can be faster than the answer.
            self.session.follower.watch(
                transaction.tx_hash, lambda how: self._confirmed(call, account, sequence, order, how)
            )
            broadcast(self._way_of(account, order), call, transaction.raw)
        if account is not None:
            self._after_submit(call, account, order)

    def _way_of(self, account: LoadAccount, order: TxOrder) -> HttpPool:
        """Return who takes the account's transactions: any node, or always the same one for a pipeline."""
        if order is not TxOrder.PIPELINE:
            return self.session.rpc  # type: ignore[no-any-return]
        lanes: list[HttpPool] = self.session.rpc_lanes
        return lanes[account.lane % len(lanes)]

    def _after_submit(self, call: Call, account: LoadAccount, order: TxOrder) -> None:
        """Give the account back, and stop watching what was refused."""
        was_refused = call.outcome is Outcome.FAIL
        is_settled = was_refused and not self.session.follower.forget(call.tx_hash or "")
        if order is TxOrder.UNORDERED:
            self.session.accounts.release(account)
        else:
            self.session.accounts.submitted(account, call.failure, is_settled=is_settled)

    def _confirmed(
        self, submit: Call, account: LoadAccount, sequence: int, order: TxOrder, how: Inclusion | CallFailed
    ) -> None:
        """Report the confirmation, as an operation of its own that began with the submission."""
        confirm = Call(
            operation=CONFIRM,
            protocol="TX",
            intended_at_s=submit.intended_at_s,
            sent_at_s=submit.sent_at_s,
            endpoint=submit.endpoint,
            tx_hash=submit.tx_hash,
            valid_until_at_s=submit.valid_until_at_s,
        )
        if isinstance(how, CallFailed):
            confirm.failure = how
        else:
            confirm.ended_at_s = how.seen_at_s
            if how.result.code:
                text = f"{how.result.codespace}/{how.result.code} {how.result.log}"
                chain_code = ChainCode(codespace=how.result.codespace, code=how.result.code)
                confirm.failure = CallFailed(ErrorKind.EXECUTION_FAILED, text, chain_code=chain_code)
        if order is not TxOrder.UNORDERED:
            self.session.accounts.settled(account, sequence, committed=confirm.failure is None)
        report(self.environment, confirm)


def note_pool_size(session: Session, scenario: str) -> None:
    """Note in the bundle when the Target file names fewer accounts than the load's rate needs."""
    load = session.loads.get(scenario)
    if load is None:
        return  # without --loads, how many users there will be is for Locust to say
    rate_per_s = highest_rate_per_s(load, session.load_time_s) / session.place.count
    needed = accounts_needed(rate_per_s, session.target.block_time_s, session.tx_order, depth=session.tx_depth)
    there = len(session.accounts) - session.accounts.unknown_to_chain
    if there < needed:
        session.notes.write(
            LoadStep.ACCOUNTS_TOO_FEW,
            accounts=there,
            needed=needed,
            rate_per_s=rate_per_s,
            block_time_s=session.target.block_time_s,
        )
