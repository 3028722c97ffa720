"""What became of the transactions, by the chain's word: throughput and failures."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.estimate import measured
from analysis.fault_story import block_times
from analysis.indicator import Counts, Indicator, Measurement, Nothing, Observation, Scene, Source, steady
from analysis.transactions import EXCUSED, State, evidence_of, truth_table
from bundle import ErrorKind

_EXCUSED = (ErrorKind.NOT_SENT.value, ErrorKind.BACK_PRESSURE.value)
_LEAST_BLOCKS = 3
_SHIFTS = 9


def throughput(scene: Scene) -> Observation:
    """Return committed transactions of this run a second, over the load without its warm-up.

    A transaction counts at the header time of its block. The interval is what whole blocks leave open at the edges:
    the first block inside holds what was sent before, and the first one after holds what was sent inside.
    """
    if scene.window.is_empty:
        return Nothing(why="there was no load phase")
    window = steady(scene)
    ours = _own_transactions(scene)
    times = block_times(scene.run)
    if ours.empty or times.empty or window.is_empty:
        return Nothing(why="no transaction of this run is in a block")
    committed = ours[ours["code"] == 0].groupby("height").size()
    per_block = times.set_index("height")["at_s"].to_frame().join(committed.rename("count")).fillna({"count": 0})
    inside = per_block[window.contains(per_block["at_s"])]
    if inside.empty:
        return Nothing(why="no block falls into the window")
    total = int(inside["count"].sum())
    seconds = window.length_s
    low = (total - sum(_first_count(per_block, *interval) for interval in window.intervals)) / seconds
    high = (total + sum(_next_count(per_block, interval[1]) for interval in window.intervals)) / seconds
    return Measurement(estimate=measured(total / seconds, low, high, total, "whole blocks at the edges"))


def _first_count(per_block: pd.DataFrame, start: float, end: float) -> float:
    """Return the transactions of the first block in [start, end)."""
    inside = per_block[(per_block["at_s"] >= start) & (per_block["at_s"] < end)]
    return float(inside["count"].iloc[0]) if not inside.empty else 0.0


def _next_count(per_block: pd.DataFrame, end: float) -> float:
    """Return the transactions of the first block from `end` on; of the last one seen where none came after."""
    later = per_block[per_block["at_s"] >= end]
    return float(later["count"].iloc[0]) if not later.empty else float(per_block["count"].iloc[-1])


def committed_ratio(scene: Scene) -> Observation:
    """Return the committed part of what was sent, from one block to another: below 1 what waits is growing.

    From the first block after the warm-up to the last block of the load: the transactions with code 0 in the blocks
    after the first, divided by the transactions sent in that time. Whole blocks at both edges, so that a full block
    more or less does not count, and those sent are counted, not expected, so that chance in their number does not
    either. By the time of sending: what the generator sent late it did not send yet.

    A block holds what was sent up to its proposal, which is up to a block's time later than its header's, because a
    header carries the time of the votes for the block before it. The interval is what counting those sent over a time
    that is later by up to so much makes of it.
    """
    if scene.window.is_empty:
        return Nothing(why="there was no load phase")
    window = steady(scene)
    if window.is_empty:
        return Nothing(why="the load was over before its warm-up was")
    start, end = window.intervals[0][0], window.intervals[-1][1]
    times = block_times(scene.run)
    inside = times[(times["at_s"] >= start) & (times["at_s"] < end)]
    ours = _own_transactions(scene)
    if ours.empty or len(inside) < _LEAST_BLOCKS:
        return Nothing(why=f"no transaction of this run is in {_LEAST_BLOCKS} blocks of the load after its warm-up")
    heights = inside["height"]
    counted = ours["height"].between(heights.iloc[0] + 1, heights.iloc[-1]) & (ours["code"] == 0)
    committed = int(counted.sum())
    first_at_s, last_at_s = float(inside["at_s"].iloc[0]), float(inside["at_s"].iloc[-1])
    block_s = (last_at_s - first_at_s) / (len(inside) - 1)
    sent_at_s = np.sort(_sent(scene)["sent_at_s"].to_numpy(float))
    shifts = np.linspace(0.0, min(block_s, end - last_at_s), _SHIFTS)
    counts = np.searchsorted(sent_at_s, last_at_s + shifts) - np.searchsorted(sent_at_s, first_at_s + shifts)
    if not counts.all():
        return Nothing(why="there was a time without a transaction sent")
    ratios = committed / counts
    resolution = "whole blocks, those sent counted up to a block's time later"
    found = measured(float(ratios[0]), float(ratios.min()), float(ratios.max()), committed, resolution)
    return Measurement(estimate=found)


def _sent(scene: Scene) -> pd.DataFrame:
    """Return the samples of transactions that were really sent to a node."""
    samples = scene.run.samples
    return samples[(samples["operation"] == "tx.submit") & (samples["error_kind"] != ErrorKind.NOT_SENT.value)]


def _own_transactions(scene: Scene) -> pd.DataFrame:
    """Return the rows of transactions that this run sent; others' traffic on the target is not ours to count."""
    transactions = scene.run.transactions
    return transactions[transactions["tx_hash"].isin(truth_table(scene.run)["tx_hash"].dropna())]


def failures(scene: Scene) -> Observation:
    """Return how many of the transactions that were tried did not end in a block with code 0.

    Back-pressure and what was never sent are left out; whatever else is not committed counts. The chain's books decide
    where the answer or the confirmation was not seen.
    """
    table = truth_table(scene.run)
    table = table[scene.window.contains(table["intended_at_s"])]
    committed = table["state"] == State.COMMITTED.value
    tried = table[committed | ~(table["state"].isin(EXCUSED) | table["error_kind"].isin(_EXCUSED))]
    if tried.empty:
        return Nothing(why="no transaction was tried in the window")
    failed = tried[tried["state"] != State.COMMITTED.value]
    return Counts(having=len(failed), total=len(tried), evidence=evidence_of(scene.run, failed))


_LEDGER = frozenset({Source.SAMPLES, Source.LOAD, Source.TRANSACTIONS, Source.BLOCKS})
INDICATORS = (
    Indicator(name="tx.throughput", title="committed transfers a second", sources=_LEDGER, observe=throughput),
    Indicator(name="tx.committed_ratio", title="committed of those sent", sources=_LEDGER, observe=committed_ratio),
    Indicator(name="tx.failure_ratio", title="transfers not committed with code 0", sources=_LEDGER, observe=failures),
)
