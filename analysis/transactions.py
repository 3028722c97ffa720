"""The truth about transactions: one row for each that was submitted, with the one state that it ended in.

Two accounts are joined by the transaction's hash: what the client was told (samples), and the chain's books (blocks,
read without a gap). The books win: a submission that was refused or never answered and is in a block is committed, and
that the client was told something else is a contradiction, which is counted. What the books cannot say is unknown.

It does not look at balances: `invariants/transfers.py` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.books import Books, read_books
from analysis.run import Run
from analysis.verdict import Evidence, Reason
from bundle import SAMPLES, ErrorKind, Outcome, Rejection

SUBMIT, CONFIRM = "tx.submit", "tx.confirm"
SETTLED_AFTER_S = 10.0
"""A transaction that is in none of the blocks of so many seconds after it was sent counts as never included."""


class State(StrEnum):
    """How a transaction ended. Each ends in exactly one state."""

    COMMITTED = "committed"
    """In a block with code 0."""
    COMMITTED_FAILED = "committed_failed"
    """In a block with another code."""
    REJECTED_CHECKTX = "rejected_checktx"
    REJECTED_SEQUENCE = "rejected_sequence"
    REJECTED_MEMPOOL_FULL = "rejected_mempool_full"
    REJECTED_IN_CACHE = "rejected_in_cache"
    REJECTED_RATE_LIMIT = "rejected_rate_limit"
    REJECTED_OTHER = "rejected_other"
    """Refused before CheckTx, or in a bundle from before refusals were told apart."""
    EXPIRED = "expired"
    """In no block up to the time at which the transaction itself ceased to be valid: it never will be."""
    NEVER_INCLUDED = "never_included"
    """Accepted by a node, and in no block, long after."""
    UNKNOWN = "unknown"
    """It cannot be said; `why` tells what is missing."""
    UNREACHABLE = "unreachable"
    """No node could be connected: nothing left."""
    NOT_SENT = "not_sent"
    """The generator could not send it."""


EXCUSED = (State.NOT_SENT, State.REJECTED_MEMPOOL_FULL, State.REJECTED_RATE_LIMIT)
"""States that are no failure of the target: back-pressure, and what was never asked of it."""


class Why(StrEnum):
    """Why a state is `unknown`."""

    NO_ANSWER = "no_answer"
    """No node said whether it took it, and no block has it."""
    BAD_ANSWER = "bad_answer"
    """What a node answered does not say whether it took it, and no block has it."""
    BOOKS_INCOMPLETE = "books_incomplete"
    """Accepted, and the blocks were not all read."""
    BOOKS_TOO_SHORT = "books_too_short"
    """Accepted, and the books end too soon after it."""


class Contradiction(StrEnum):
    """What the client was told, against what the books say."""

    REJECTED_BUT_INCLUDED = "rejected_but_included"
    UNANSWERED_BUT_INCLUDED = "unanswered_but_included"
    CONFIRMED_BUT_NOT_INCLUDED = "confirmed_but_not_included"


_REJECTED = {
    Rejection.CHECK_TX: State.REJECTED_CHECKTX,
    Rejection.SEQUENCE: State.REJECTED_SEQUENCE,
    Rejection.MEMPOOL_FULL: State.REJECTED_MEMPOOL_FULL,
    Rejection.IN_CACHE: State.REJECTED_IN_CACHE,
    Rejection.RATE_LIMIT: State.REJECTED_RATE_LIMIT,
}
_REFUSALS = (ErrorKind.CLIENT_ERROR.value, ErrorKind.BACK_PRESSURE.value)

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Transactions that ended alike, for the same reason."""

    state: State
    codespace: str
    code: int | None
    """Of the block where it is in one, else of the refusal; None where nobody gave one."""
    why: str
    count: int
    share_ratio: float
    """Of all transactions."""
    example: str | None
    """The hash of the first of them; None for what was never signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTruth:
    """What became of all transactions of a run. The counts of the fates add up to `transactions`."""

    submissions: int
    """Rows of `tx.submit`."""
    transactions: int
    """Distinct transactions; one that was submitted twice is one, what was never signed counts each time."""
    fates: tuple[Fate, ...]
    duplicates: int
    """Transactions that are in the chain more than once."""
    contradictions: dict[str, int]
    """By Contradiction, those that there were."""


def truth_table(run: Run) -> pd.DataFrame:
    """Return one row a transaction, in the order of the samples; made once for a run.

    Columns: tx_hash, state, why, codespace, code, height, submissions, inclusions, applied (inclusions with code 0),
    contradiction, is_duplicate, sent_at_s, part, row. `why`, `contradiction` and `codespace` are empty text where there
    is none. `part` and `row` are those of the submission whose answer says most.
    """
    cached: pd.DataFrame | None = run.derived.get("truth")
    if cached is None:
        cached = run.derived["truth"] = make_table(run.samples, run.transactions, read_books(run))
    return cached


def make_table(samples: pd.DataFrame, transactions: pd.DataFrame, books: Books) -> pd.DataFrame:
    """Return the truth table of these samples (with `part` and `row`) and the chain's transactions."""
    submits = samples[samples["operation"] == SUBMIT]
    confirmed = samples[(samples["operation"] == CONFIRM) & (samples["outcome"] == Outcome.OK.value)]
    submitted, in_chain, confirmations = _numbers(submits["tx_hash"], transactions["tx_hash"], confirmed["tx_hash"])
    highest = max(numbers.max(initial=-1) for numbers in (submitted, in_chain, confirmations)) + 1
    table, number = _submissions(submits, submitted, highest)
    _join_books(table, number, transactions, in_chain, highest)
    included = (table["inclusions"] > 0).to_numpy(bool)
    _decide(table, included, books)
    told_ok = (table["outcome"] == Outcome.OK.value).to_numpy(bool)
    told_no = (table["rejection"].notna() | table["error_kind"].isin(_REFUSALS)).to_numpy(bool)
    lost = (_count(confirmations, highest)[number] > 0) & ~included & books.is_whole
    table["contradiction"] = np.select(
        [included & ~told_ok & told_no, included & ~told_ok, lost],
        [
            Contradiction.REJECTED_BUT_INCLUDED.value,
            Contradiction.UNANSWERED_BUT_INCLUDED.value,
            Contradiction.CONFIRMED_BUT_NOT_INCLUDED.value,
        ],
        default="",
    )
    table["is_duplicate"] = table["inclusions"] > 1
    return table


def _numbers(submitted: pd.Series[str], *others: pd.Series[str]) -> list[Numbers]:
    """Return each hash as a number, the same number for the same hash; joining by numbers is ten times as fast.

    What was never signed has no hash, and each is a transaction of its own. Elsewhere no hash is -1.
    """
    lengths = np.cumsum([len(submitted), *(len(other) for other in others)])
    codes, distinct = pd.factorize(pd.concat([submitted, *others], ignore_index=True))
    first, *rest = np.split(codes.astype(np.int64), lengths[:-1])
    nameless = first < 0
    first[nameless] = len(distinct) + np.arange(int(nameless.sum()))
    return [first, *rest]


def _count(numbers: Numbers, highest: int) -> Numbers:
    """Return how often each number below `highest` is there."""
    return np.bincount(numbers[numbers >= 0], minlength=highest)


def _first_places(numbers: Numbers, order: Numbers, highest: int) -> Numbers:
    """Return for each number below `highest` its first place in `order`, -1 where it is nowhere."""
    places = np.full(highest, -1)
    backwards = order[::-1]
    backwards = backwards[numbers[backwards] >= 0]
    places[numbers[backwards]] = backwards  # of several assignments to one place, the last one stays
    return places


def _submissions(submits: pd.DataFrame, numbers: Numbers, highest: int) -> tuple[pd.DataFrame, Numbers]:
    """Return one row a transaction, and its number: the submission whose answer says most, and how many there were.

    An acceptance says more than silence, and silence more than a refusal: the second copy of what a node has taken is
    refused.
    """
    says = submits["outcome"].map({Outcome.OK.value: 0, Outcome.UNKNOWN.value: 1}).fillna(2).to_numpy(np.int64)
    places = _first_places(numbers, np.argsort(says, kind="stable"), highest)
    places = np.sort(places[places >= 0])
    unneeded = ["operation", "protocol", "latency_ms", "detail", "bytes"]
    table = submits.drop(columns=unneeded).iloc[places].reset_index(drop=True)
    table["submissions"] = _count(numbers, highest)[numbers[places]]
    return table, numbers[places]


def _join_books(
    table: pd.DataFrame, number: Numbers, transactions: pd.DataFrame, in_chain: Numbers, highest: int
) -> None:
    """Add what the blocks say: how often each is in one, and the code and height that count.

    The first inclusion with code 0 counts, else the first one.
    """
    code = transactions["code"].to_numpy(np.int64)
    height = transactions["height"].to_numpy(np.int64)
    order = np.lexsort((transactions["index"].to_numpy(np.int64), height, code != 0))
    place = _first_places(in_chain, order, highest)[number]
    included = place >= 0
    table["inclusions"] = _count(in_chain, highest)[number]
    table["applied"] = _count(in_chain[code == 0], highest)[number]
    table["height"] = pd.array(np.full(len(table), None), dtype="Int64")
    table["code"] = table["code"].astype("Int64")
    table["codespace"] = table["codespace"].astype(object).where(table["codespace"].notna(), "")
    table.loc[included, "height"] = height[place[included]]
    table.loc[included, "code"] = code[place[included]]
    table.loc[included, "codespace"] = transactions["codespace"].to_numpy(object)[place[included]]


def _decide(table: pd.DataFrame, included: Flags, books: Books) -> None:
    """Set `state` and `why`: the first rule that holds decides, and the last one always does."""

    def is_one(column: str, *values: str) -> Flags:
        return table[column].isin(values).to_numpy(bool)

    fail = is_one("outcome", Outcome.FAIL.value)
    accepted = is_one("outcome", Outcome.OK.value)
    sent = table["sent_at_s"].to_numpy(float)
    # Comparisons with NaN are false: then nothing is covered.
    covered = books.is_whole & (books.first_at_s <= sent)
    has_expired = covered & (table["valid_until_at_s"].astype(float).to_numpy() < books.last_at_s)
    is_late = covered & (sent + SETTLED_AFTER_S <= books.last_at_s)
    rules: list[tuple[Flags, State, Why | None]] = [
        ((table["applied"] > 0).to_numpy(bool), State.COMMITTED, None),
        (included, State.COMMITTED_FAILED, None),
        (is_one("error_kind", ErrorKind.NOT_SENT.value), State.NOT_SENT, None),
        (fail & is_one("error_kind", ErrorKind.REFUSED.value), State.UNREACHABLE, None),
        *((fail & is_one("rejection", kind.value), state, None) for kind, state in _REJECTED.items()),
        (fail & is_one("error_kind", *_REFUSALS), State.REJECTED_OTHER, None),
        (has_expired, State.EXPIRED, None),
        (accepted & is_late, State.NEVER_INCLUDED, None),
        (accepted & ~covered, State.UNKNOWN, Why.BOOKS_INCOMPLETE),
        (accepted, State.UNKNOWN, Why.BOOKS_TOO_SHORT),
        (fail, State.UNKNOWN, Why.BAD_ANSWER),
    ]
    holds = [flags for flags, _, _ in rules]
    table["state"] = np.select(holds, [state.value for _, state, _ in rules], default=State.UNKNOWN.value)
    table["why"] = np.select(holds, [why.value if why else "" for _, _, why in rules], default=Why.NO_ANSWER.value)


def tell_truth(run: Run) -> TransactionTruth | None:
    """Return the table in counts; None when no transaction was submitted."""
    table = truth_table(run)
    if table.empty:
        return None
    return TransactionTruth(
        submissions=int(table["submissions"].sum()),
        transactions=len(table),
        fates=_fates(table),
        duplicates=int(table["is_duplicate"].sum()),
        contradictions={
            kind.value: count for kind in Contradiction if (count := int((table["contradiction"] == kind.value).sum()))
        },
    )


def _fates(table: pd.DataFrame) -> tuple[Fate, ...]:
    order = {state.value: place for place, state in enumerate(State)}
    columns = ["state", "codespace", "code", "why"]
    fates = []
    for _, rows in table.groupby(columns, dropna=False, sort=False):
        first = rows.iloc[0]
        fates.append(
            Fate(
                state=State(first["state"]),
                codespace=str(first["codespace"]),
                code=None if pd.isna(first["code"]) else int(first["code"]),
                why=str(first["why"]),
                count=len(rows),
                share_ratio=len(rows) / len(table),
                example=None if pd.isna(first["tx_hash"]) else str(first["tx_hash"]),
            )
        )
    return tuple(
        sorted(fates, key=lambda fate: (order[fate.state], -fate.count, fate.codespace, fate.code or 0, fate.why))
    )


def contradictions(run: Run) -> list[Reason]:
    """Return a warning for each kind of contradiction that no invariant looks at, with its first samples."""
    table = truth_table(run)
    told = {
        Contradiction.REJECTED_BUT_INCLUDED: "were refused and are in a block all the same",
        Contradiction.UNANSWERED_BUT_INCLUDED: "were never answered and are in a block",
    }
    reasons = []
    for kind, words in told.items():
        rows = table[table["contradiction"] == kind.value]
        if rows.empty:
            continue
        code = "transactions.rejected_but_included"
        if kind is Contradiction.UNANSWERED_BUT_INCLUDED:
            code = "transactions.unanswered_but_included"
        sentence = f"{len(rows)} transactions {words}, the first of them {str(rows['tx_hash'].iloc[0])[:12]}…"
        reasons.append(Reason(code=code, sentence=sentence, evidence=evidence_of(run, rows)))
    return reasons


def evidence_of(run: Run, rows: pd.DataFrame, most: int = 5) -> tuple[Evidence, ...]:
    """Return where the submissions of the first rows of the table are."""
    return tuple(
        Evidence(file=run.file_of(SAMPLES, str(part)), row=int(row))
        for part, row in zip(rows["part"].head(most), rows["row"].head(most), strict=True)
    )
