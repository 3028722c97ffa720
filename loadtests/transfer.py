"""Signed transfers: submission and confirmation, measured apart.

    locust -f loadtests/transfer.py --headless -u 50 -r 50 -t 60

`tx.submit` ends when the node's CheckTx has accepted the transaction; `tx.confirm` ends when a block that has
it arrives, and counts from the same intended time.
"""

from __future__ import annotations

from locust import task

from bundle import ErrorKind, Outcome
from loadtests.kit import CallFailed, HarnessUser
from loadtests.kit.accounts import LoadAccount, TxOrder
from loadtests.kit.calls import Call, report
from loadtests.kit.follower import Inclusion
from loadtests.kit.rpc import broadcast
from loadtests.kit.session import Session

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

    @task
    def transfer(self) -> None:
        order, account = self.session.tx_order, None
        with self.measured(SUBMIT, "TX") as call:
            account = self.session.accounts.lease()
            if account is None:
                raise CallFailed(ErrorKind.NOT_SENT, "no load account is free: the pool is too small for this rate")
            recipient = self.draw.choice(self.session.recipients)
            transaction = account.sign(recipient, self.draw.randint(1, MAX_AMOUNT_UVE), order)
            call.tx_hash = transaction.tx_hash
            # Watched before it is sent: a block can be faster than the answer.
            self.session.follower.watch(transaction.tx_hash, lambda how: self._confirmed(call, account, order, how))
            broadcast(self.session.rpc, call, transaction.raw)
        if account is not None:
            self._after_submit(call, account, order)

    def _after_submit(self, call: Call, account: LoadAccount, order: TxOrder) -> None:
        """Give the account back as soon as its next sequence is known."""
        if order is TxOrder.UNORDERED:
            self.session.accounts.release(account)
        if call.outcome is Outcome.FAIL:
            unsettled = self.session.follower.forget(call.tx_hash or "")
            if order is TxOrder.SEQUENCE and unsettled:
                self.session.accounts.resync(account)

    def _confirmed(self, submit: Call, account: LoadAccount, order: TxOrder, how: Inclusion | CallFailed) -> None:
        """Report the confirmation, as an operation of its own that began with the submission."""
        confirm = Call(
            operation=CONFIRM,
            protocol="TX",
            intended_at_s=submit.intended_at_s,
            sent_at_s=submit.sent_at_s,
            endpoint=submit.endpoint,
            tx_hash=submit.tx_hash,
        )
        if isinstance(how, CallFailed):
            confirm.failure = how
            if order is TxOrder.SEQUENCE:
                self.session.accounts.resync(account)
        else:
            confirm.ended_at_s = how.seen_at_s
            if how.result.code:
                text = f"{how.result.codespace}/{how.result.code} {how.result.log}"
                confirm.failure = CallFailed(ErrorKind.EXECUTION_FAILED, text)
            if order is TxOrder.SEQUENCE:
                account.sequence += 1
                self.session.accounts.release(account)
        report(self.environment, confirm)
