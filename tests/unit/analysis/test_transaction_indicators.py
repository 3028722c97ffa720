"""Throughput and failures, counted by hand from planted blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundle import ErrorKind
from tests.bundles import PART, Row, SyntheticRun, failed, healthy, sample
from tests.unit.analysis.scenes import counts, evidence, figures, is_nothing, observe


def planted(blocks: list[tuple[float, int]], *, others: int = 0, bad: int = 0) -> SyntheticRun:
    """Return a run with blocks at (seconds after the load's start, transfers of ours), one height after the other.

    Each block has `others` more transfers that somebody else sent, and `bad` of ours that failed in it.
    """
    run = healthy()
    run.samples[PART], run.transactions, run.blocks = [], [], []
    for place, (after, own) in enumerate(blocks):
        height = 100 + place
        at_s = run.load_start_at_s + after
        run.blocks += [
            {"node": node, "height": height, "header_time_at_s": at_s, "observed_at_s": at_s + 0.5}
            for node in ("validator-0", "validator-1")
        ]
        for number in range(own + others + bad):
            tx_hash = f"{height}-{number}"
            code = 0 if number < own + others else 5
            run.transactions.append(transaction(height, number, tx_hash, code))
            if not own <= number < own + others:
                run.rows.append(sample(run.load_start_at_s, "tx.submit", "TX", 5.0, tx_hash=tx_hash))
    return run


def transaction(height: int, index: int, tx_hash: str, code: int) -> Row:
    return {
        "height": height,
        "index": index,
        "tx_hash": tx_hash,
        "code": code,
        "codespace": "",
        "gas_wanted": 1,
        "gas_used": 1,
        "node": "validator-0",
        "observed_at_s": 0.0,
    }


def test_throughput_counts_the_blocks_of_the_load_without_its_warm_up(tmp_path: Path) -> None:
    """Warm-up ends 5 s after the start, the load 24 s after it: 19 s with 40 + 60 + 80 transfers in its blocks."""
    blocks = [(-1.0, 9), (4.99, 500), (5.0, 40), (12.0, 60), (23.99, 80), (24.0, 30), (25.0, 700)]
    run = planted(blocks)
    assert run.manifest.warm_up_s == 5
    value, low, high = figures(observe(run, tmp_path, "tx.throughput"))
    assert value == pytest.approx(180 / 19)
    # Without the first block of the window, which holds what was sent before; with the first block after it.
    assert low == pytest.approx((180 - 40) / 19)
    assert high == pytest.approx((180 + 30) / 19)


def test_a_backlog_that_falls_into_the_window_is_in_doubt(tmp_path: Path) -> None:
    """A chain that stood still during the warm-up commits everything at once; that is no throughput of the window."""
    blocks = [(-1.0, 9), (6.0, 900), (12.0, 50), (24.5, 50)]
    _, low, _ = figures(observe(planted(blocks), tmp_path, "tx.throughput"))
    assert low == pytest.approx(50 / 19)


def test_throughput_counts_neither_others_nor_what_failed(tmp_path: Path) -> None:
    blocks = [(4.0, 0), (10.0, 19), (20.0, 19), (24.5, 0)]
    run = planted(blocks, others=1000, bad=50)
    assert figures(observe(run, tmp_path, "tx.throughput"))[0] == pytest.approx(38 / 19)


def test_empty_blocks_are_a_throughput_of_zero(tmp_path: Path) -> None:
    """Nothing in the blocks of the window is a measurement, not the lack of one: transfers came before it."""
    value, low, _ = figures(observe(planted([(1.0, 10), (10.0, 0), (20.0, 0)]), tmp_path, "tx.throughput"))
    assert (value, low) == (0.0, 0.0)


def test_no_throughput_without_transactions_blocks_or_load(tmp_path: Path) -> None:
    without_transfers = planted([(10.0, 0)], others=5)
    assert is_nothing(observe(without_transfers, tmp_path / "a", "tx.throughput"))
    without_blocks = planted([(10.0, 5)])
    without_blocks.blocks = []
    assert is_nothing(observe(without_blocks, tmp_path / "b", "tx.throughput"))
    blocks_elsewhere = planted([(-3.0, 5), (30.0, 5)])
    assert is_nothing(observe(blocks_elsewhere, tmp_path / "c", "tx.throughput"))
    without_load = planted([(10.0, 5)])
    without_load.manifest = replace(without_load.manifest, phases=())
    assert is_nothing(observe(without_load, tmp_path / "d", "tx.throughput"))


def sending(run: SyntheticRun, moments: list[float]) -> SyntheticRun:
    """Return the run with its transactions sent at these moments, seconds after the load's start, in order."""
    for row, after in zip(run.rows, moments, strict=True):
        row["sent_at_s"] = run.load_start_at_s + after
    return run


def test_what_is_committed_is_held_against_what_was_sent_between_the_blocks(tmp_path: Path) -> None:
    """Blocks at 6, 8 and 10 s: the 3 + 4 after the first one, against the eight that were sent from 6 to 10 s."""
    run = sending(
        planted([(2.0, 5), (6.0, 2), (8.0, 3), (10.0, 4)]),
        [1.0] * 5 + [4.5, 5.5] + [6.0, 6.5, 7.0] + [7.5, 8.0, 9.0, 9.5],
    )
    run.rows.append(sample(run.load_start_at_s + 9.9, "tx.submit", "TX", 5.0, tx_hash="waits"))
    run.rows.append(sample(run.load_start_at_s + 9.9, "tx.submit", "TX", 5.0) | failed("fail", ErrorKind.NOT_SENT))
    value, low, high = figures(observe(run, tmp_path, "tx.committed_ratio"))
    assert value == pytest.approx(7 / 8)
    # Later by up to the two seconds of a block, that time holds as few as four sent, and never more than eight.
    assert (low, high) == pytest.approx((7 / 8, 7 / 4))


def test_a_chain_that_falls_behind_commits_less_than_is_sent(tmp_path: Path) -> None:
    """A hundred a second sent, eighty a block committed: 0.8, whatever the edges."""
    blocks = [(float(second), 80) for second in range(6, 24)]
    run = planted(blocks)
    run.rows.clear()
    for number in range(2400):
        in_block = f"{100 + number // 80}-{number % 80}"
        run.rows.append(sample(run.load_start_at_s + number / 100, "tx.submit", "TX", 5.0, tx_hash=in_block))
    value, low, high = figures(observe(run, tmp_path, "tx.committed_ratio"))
    assert value == pytest.approx(0.8)
    assert low == pytest.approx(0.8, abs=0.01)
    assert high == pytest.approx(0.8, abs=0.01)


def test_no_committed_ratio_without_three_blocks_or_anything_sent(tmp_path: Path) -> None:
    assert is_nothing(observe(planted([(6.0, 5), (12.0, 5)]), tmp_path / "a", "tx.committed_ratio"))
    assert is_nothing(observe(planted([(6.0, 5), (12.0, 5), (20.0, 5)]), tmp_path / "b", "tx.committed_ratio"))
    without_load = planted([(6.0, 5), (12.0, 5), (20.0, 5)])
    without_load.manifest = replace(without_load.manifest, phases=())
    assert is_nothing(observe(without_load, tmp_path / "c", "tx.committed_ratio"))


FATES = [
    # what the submission was told, what the chain has, whether it counts as tried, whether it counts as failed
    ({}, 0, True, False),
    ({}, 5, True, True),
    ({}, None, True, True),
    (failed("unknown", ErrorKind.TIMEOUT), 0, True, False),
    (failed("unknown", ErrorKind.BROKEN), None, True, True),
    (failed("fail", ErrorKind.CLIENT_ERROR, "insufficient funds"), None, True, True),
    (failed("fail", ErrorKind.SERVER_ERROR), None, True, True),
    (failed("fail", ErrorKind.REFUSED), None, True, True),
    (failed("fail", ErrorKind.BACK_PRESSURE, "mempool is full"), None, False, False),
    (failed("fail", ErrorKind.NOT_SENT, tx_hash=None), None, False, False),
]


@pytest.mark.parametrize(("told", "code", "is_tried", "is_failed"), FATES)
def test_what_counts_as_a_failed_transaction(
    tmp_path: Path, told: Row, code: int | None, is_tried: bool, is_failed: bool
) -> None:
    """Beside three that went well, one of each fate. The chain's books decide where the answer did not arrive."""
    run = planted([(2.0, 3)])
    at_s = run.load_start_at_s + 1
    run.rows.append(sample(at_s, "tx.submit", "TX", 5.0, tx_hash="odd") | told)
    if code is not None:
        run.transactions.append(transaction(100, 99, "odd", code))
    observation = observe(run, tmp_path, "tx.failure_ratio")
    assert counts(observation) == (int(is_failed), 3 + int(is_tried))
    assert evidence(observation) == ([(f"samples/{PART}.parquet", 3)] if is_failed else [])


def test_failures_count_by_the_intended_time(tmp_path: Path) -> None:
    run = planted([(2.0, 1)])
    for at_s in (run.load_start_at_s - 0.5, run.load_end_at_s):
        run.rows.append(sample(at_s, "tx.submit", "TX", 5.0, tx_hash="never included"))
    assert counts(observe(run, tmp_path, "tx.failure_ratio")) == (0, 1)


def test_no_failure_ratio_where_nothing_was_tried(tmp_path: Path) -> None:
    run = planted([(2.0, 0)])
    run.rows.append(sample(run.load_start_at_s, "tx.submit", "TX", 1.0) | failed("fail", ErrorKind.NOT_SENT))
    assert is_nothing(observe(run, tmp_path, "tx.failure_ratio"))
