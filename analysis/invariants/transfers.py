"""No committed transfer is lost or applied twice.

Three accounts of the same transfers have to agree: what this run was told (confirmations), what the blocks
hold, and what the balances did.
"""

from __future__ import annotations

import pandas as pd

from analysis.books import read_books
from analysis.indicator import Source
from analysis.run import Run
from analysis.transactions import CONFIRM, Contradiction, truth_table
from analysis.verdict import Check, Evidence, Reason, Verdict
from bundle import BALANCES, SAMPLES, SUPPLY, TRANSACTIONS, Outcome

_SHOWN = 5
_NAME, _TITLE = "invariant.transfers", "No committed transfer is lost or applied twice"


def transfers_exactly_once(run: Run) -> Check:
    """Return the check; INCONCLUSIVE when the books were not read, not applicable without transfers.

    Books with a gap taint the transactions: what was not read would count as never included.
    """
    confirmed = run.samples[(run.samples["operation"] == CONFIRM) & (run.samples["outcome"] == Outcome.OK.value)]
    if run.transactions.empty and confirmed.empty and not run.is_damaged(TRANSACTIONS):
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary="there were no transfers", applies=False)
    taints = () if read_books(run).is_gapless else (Source.TRANSACTIONS,)
    reasons = [*_twice(run), *_lost(run, confirmed), *_balances(run)]
    if reasons and not _is_damaged(run):
        summary, shown = reasons[0].sentence, tuple(reasons[:_SHOWN])
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.FAIL, summary=summary, reasons=shown, taints=taints)
    why = _not_proved(run)
    if why:
        unread = (
            Reason(code="transfers.not_read", sentence=why, evidence=(Evidence(file=run.file_of(TRANSACTIONS)),)),
        )
        verdict = Verdict.INCONCLUSIVE
        return Check(name=_NAME, title=_TITLE, verdict=verdict, summary=why, reasons=unread, taints=taints)
    moved = int((run.transactions["code"] == 0).sum())
    summary = f"{len(confirmed)} confirmed and {moved} committed transfers, each once; {_said_of_balances(run)}"
    return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary=summary)


def _said_of_balances(run: Run) -> str:
    others = int(_moved(run)["sender"].isna().sum())
    if others:
        return f"balances not compared: {others} transactions are no plain transfers"
    return f"{run.balances['address'].nunique()} balances agree"


def _twice(run: Run) -> list[Reason]:
    """Return a reason for every transaction that is in the chain more than once."""
    transactions = run.transactions
    again = transactions[transactions.duplicated("tx_hash", keep=False)]
    return [
        Reason(
            code="transfers.twice",
            sentence=f"transaction {str(tx_hash)[:12]}… is in the chain {len(rows)} times, at {sorted(rows['height'])}",
            evidence=tuple(Evidence(file=run.file_of(TRANSACTIONS), row=int(row)) for row in rows["row"]),
        )
        for tx_hash, rows in again.groupby("tx_hash", sort=True)
    ]


def _lost(run: Run, confirmed: pd.DataFrame) -> list[Reason]:
    """Return a reason for every transfer that was confirmed to us and that the chain does not have."""
    table = truth_table(run)
    missing = table.loc[table["contradiction"] == Contradiction.CONFIRMED_BUT_NOT_INCLUDED.value, "tx_hash"]
    lost = confirmed[confirmed["tx_hash"].isin(missing)]
    return [
        Reason(
            code="transfers.lost",
            sentence=f"transaction {tx_hash[:12]}… was confirmed and is in no block",
            evidence=(Evidence(file=run.file_of(SAMPLES, part), row=int(row)),),
        )
        for tx_hash, part, row in zip(lost["tx_hash"], lost["part"], lost["row"], strict=True)
    ]


def _balances(run: Run) -> list[Reason]:
    """Return a reason for every account whose balance did not change by its transfers and fees.

    Not to be said when there are other transactions than plain transfers: they may have touched any account.
    """
    if not read_books(run).is_gapless or run.balances["height"].nunique() < 2 or run.is_damaged(BALANCES):
        return []
    opening_height, closing_height = _heights(run)
    moved = _moved(run)
    if moved["sender"].isna().any():
        return []
    due = _due(moved)
    opening = run.balances[run.balances["height"] == opening_height].set_index("address")["amount_uve"].to_dict()
    closing = run.balances[run.balances["height"] == closing_height]
    reasons = []
    for address, amount, row in zip(closing["address"], closing["amount_uve"], closing["row"], strict=True):
        if address not in opening:
            continue
        change = int(amount) - int(opening[address])
        if change != due.get(address, 0):
            sentence = f"{address} changed by {change}; its transfers and fees add up to {due.get(address, 0)}"
            evidence = (Evidence(file=run.file_of(BALANCES), row=int(row)),)
            reasons.append(Reason(code="transfers.balance", sentence=sentence, evidence=evidence))
    return reasons


def _heights(run: Run) -> tuple[int, int]:
    """Return the heights of the opening and the closing balances."""
    return int(run.balances["height"].min()), int(run.balances["height"].max())


def _moved(run: Run) -> pd.DataFrame:
    """Return the transactions between the opening and the closing balances."""
    opening, closing = _heights(run)
    return run.transactions[run.transactions["height"].between(opening + 1, closing)]


def _due(moved: pd.DataFrame) -> dict[str, int]:
    """Return by how much these transfers and their fees change each account's balance."""
    due: dict[str, int] = {}
    columns = (moved[name] for name in ("sender", "recipient", "amount_uve", "fee_uve", "code"))
    for sender, recipient, amount, fee, code in zip(*columns, strict=True):
        paid = int(amount) if code == 0 else 0
        due[sender] = due.get(sender, 0) - paid - (0 if pd.isna(fee) else int(fee))
        due[recipient] = due.get(recipient, 0) + paid
    return due


def _not_proved(run: Run) -> str:
    """Return why the books prove nothing; empty when they do."""
    if _is_damaged(run):
        return "the books are damaged"
    if not read_books(run).is_gapless:
        return "the blocks were not read without a gap"
    if run.balances["height"].nunique() < 2:
        return "the balances were not asked for at the beginning and at the end"
    told = run.balances.groupby("address")["height"].nunique()
    once = int((told < run.balances["height"].nunique()).sum())
    return f"{once} of {len(told)} balances were told only once" if once else ""


def _is_damaged(run: Run) -> bool:
    return run.is_damaged(SAMPLES, TRANSACTIONS, SUPPLY, BALANCES)
