"""Numbers and times as people read them. The only place where anything is rounded."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from analysis.budget import Budget, BudgetResult, Direction
from analysis.estimate import Estimate
from analysis.transactions import Contradiction, Fate, State, TransactionTruth, Why

NARROW_SPACE = "\u202f"
"""Between groups of three digits: does not break."""


_BREAKS = re.compile(r"[ \t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return text on one line, without characters that move a cursor or turn the direction of writing."""
    return _CONTROL.sub("\ufffd", _BREAKS.sub(" ", text)).strip()


def number(value: float) -> str:
    """Return a number with four significant digits; "∞" for what never ended."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", NARROW_SPACE)
    # Up to where four digits would round to 1e+04.
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:,.0f}".replace(",", NARROW_SPACE)


def amount(value: float, unit: str) -> str:
    """Return a value in its unit, in the form that fits: a second and more in seconds, ratios as percent."""
    if math.isinf(value):
        return number(value)
    if unit == "ms" and abs(value) >= 1000:
        return f"{number(value / 1000)} s"
    if unit == "":
        return percent(value)
    return f"{number(value)} {unit}".strip()


def percent(value: float) -> str:
    """Return a ratio as percent, with enough digits to tell 99.95 from 99.99.

    Never 100 for less than all, and never 0 for more than nothing.
    """
    if math.isinf(value):
        return number(value)
    text = f"{100 * value:.3f}".rstrip("0").rstrip(".")
    if text == "100" and value < 1:
        return "> 99.999 %"
    if text == "0" and value > 0:
        return "< 0.001 %"
    return f"{text} %"


def share(used: float | None) -> str:
    """Return the used share of a budget: 100 % only when just that is used."""
    if used is None:
        return "–"
    if used > 9.99:
        return "> 999 %"
    text = f"{100 * used:.0f} %"
    if text == "100 %" and used != 1:
        return "> 99 %" if used < 1 else "> 100 %"
    return text


def bar_percent(used: float | None) -> int:
    """Return how full the bar of a used share is drawn: 0 to 100."""
    if used is None:
        return 0
    return round(100 * min(max(used, 0.0), 1.0))


def limit(budget: Budget) -> str:
    sign = "<" if budget.direction is Direction.BELOW else "≥"
    return f"{sign} {amount(budget.limit, budget.unit)}"


def measured(result: BudgetResult) -> str:
    return "not measured" if result.estimate is None else amount(result.estimate.value, result.budget.unit)


def interval(estimate: Estimate | None, unit: str) -> str:
    if estimate is None:
        return "–"
    if estimate.low == estimate.high:
        return "exact"
    return f"{amount(estimate.low, unit)} to {amount(estimate.high, unit)}"


_STATES = {
    State.COMMITTED: "committed",
    State.COMMITTED_FAILED: "failed in the block",
    State.REJECTED_CHECKTX: "rejected by CheckTx",
    State.REJECTED_SEQUENCE: "rejected: wrong sequence",
    State.REJECTED_MEMPOOL_FULL: "rejected: mempool full",
    State.REJECTED_IN_CACHE: "rejected: known already",
    State.REJECTED_RATE_LIMIT: "rejected: rate limit",
    State.REJECTED_OTHER: "rejected otherwise",
    State.EXPIRED: "expired",
    State.NEVER_INCLUDED: "accepted, never included",
    State.UNKNOWN: "unknown",
    State.UNREACHABLE: "no node could be connected",
    State.NOT_SENT: "not sent",
}
_WHYS = {
    Why.NO_ANSWER: "no answer, and in no block",
    Why.BAD_ANSWER: "an answer that says nothing, and in no block",
    Why.BOOKS_INCOMPLETE: "accepted, and the blocks were not all read",
    Why.BOOKS_TOO_SHORT: "accepted, and the blocks that were read end too soon",
}
_CONTRADICTIONS = {
    Contradiction.REJECTED_BUT_INCLUDED: "refused and in a block all the same",
    Contradiction.UNANSWERED_BUT_INCLUDED: "not answered and in a block",
    Contradiction.CONFIRMED_BUT_NOT_INCLUDED: "confirmed and in no block",
}


def fate_title(fate: Fate) -> str:
    """Return what became of some transactions, and why that is not known where it is not."""
    return f"{_STATES[fate.state]}: {_WHYS[Why(fate.why)]}" if fate.why else _STATES[fate.state]


def chain_code(fate: Fate) -> str:
    """Return the chain's own code, with whose it is."""
    return "–" if not fate.code else f"{fate.codespace}/{fate.code}"


def truth_note(truth: TransactionTruth) -> str:
    """Return what is to be said below the table of fates."""
    told = [f"{count} {_CONTRADICTIONS[Contradiction(kind)]}" for kind, count in truth.contradictions.items()]
    return (
        f"{number(truth.transactions)} transactions in {number(truth.submissions)} submissions, by the chain's books."
        f" In the chain more than once: {number(truth.duplicates)}."
        f" The client was told something else: {', '.join(told) or 'never'}."
    )


def moment(at_s: float) -> str:
    """Return a Unix time as UTC text."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return "never"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
