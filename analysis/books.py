"""The chain's books: which part of the chain was read without a gap, and so what their silence proves."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.fault_story import block_times
from analysis.run import Run
from bundle import SUPPLY, TRANSACTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the blocks that were read cover. Times are the chain's own, Unix seconds.

    A transaction sent in [first_at_s, last_at_s) that no block has was in no block up to `last_at_s`.
    """

    is_gapless: bool
    """Every height between the opening and the closing state was read."""
    is_whole: bool
    """Gapless, and no file of theirs is damaged: what is not in them is not in the chain."""
    first_at_s: float
    last_at_s: float
    """The time in the header of the last block that was read. NaN, as the first, where nothing tells."""


def read_books(run: Run) -> Books:
    """Return what the books of a run cover; found out once for a run."""
    cached: Books | None = run.derived.get("books")
    if cached is None:
        cached = run.derived["books"] = _read(run)
    return cached


def _read(run: Run) -> Books:
    levels = run.supply.loc[run.supply["total_uve"].notna(), "height"]
    is_gapless, first_at_s, last_at_s = False, float("nan"), float("nan")
    if len(levels) >= 2:
        opening, closing = int(levels.min()), int(levels.max())
        read = run.supply.loc[run.supply["minted_uve"].notna(), "height"]
        is_gapless = bool(read[(read > opening) & (read <= closing)].nunique() == closing - opening)
        times = block_times(run)
        times = times[times["height"].between(opening, closing)]
        if not times.empty:
            first_at_s, last_at_s = float(times["at_s"].min()), float(times["at_s"].max())
    return Books(
        is_gapless=is_gapless,
        is_whole=is_gapless and not run.is_damaged(SUPPLY, TRANSACTIONS),
        first_at_s=first_at_s,
        last_at_s=last_at_s,
    )
