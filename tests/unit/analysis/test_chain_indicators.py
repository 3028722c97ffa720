"""Block intervals and the longest time without a block, from planted blocks and planted halts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.budget import WindowName
from tests.bundles import NODES, START_AT_S, SyntheticRun, healthy
from tests.unit.analysis.scenes import evidence, figures, is_nothing, observe, values

RUN = WindowName.RUN


def planted(times: dict[int, float]) -> SyntheticRun:
    """Return a run whose blocks have these header times, seconds after the start, each seen by every node."""
    run = healthy()
    run.blocks = [
        {
            "node": node,
            "height": height,
            "header_time_at_s": START_AT_S + at,
            "observed_at_s": START_AT_S + at + 0.25 * (1 + place),
        }
        for height, at in times.items()
        for place, node in enumerate(NODES)
    ]
    return run


def test_intervals_are_the_differences_of_consecutive_header_times(tmp_path: Path) -> None:
    observation = observe(planted({7: 5.0, 8: 6.25, 9: 9.5, 10: 10.5}), tmp_path, "block.interval")
    assert values(observation) == pytest.approx([1250.0, 3250.0, 1000.0])
    # Four rows a height; the first to be seen stands for it. Longest first: of heights 9, 8 and 10.
    assert evidence(observation) == [("blocks.parquet", 4 * place) for place in (2, 1, 3)]


def test_a_height_that_was_not_seen_makes_no_interval(tmp_path: Path) -> None:
    observation = observe(planted({7: 5.0, 8: 6.0, 10: 8.5, 11: 10.0}), tmp_path, "block.interval")
    assert values(observation) == pytest.approx([1000.0, 1500.0])


def test_an_interval_has_both_ends_in_the_window(tmp_path: Path) -> None:
    """The load is [4, 28): the blocks at 3.5 and at 28 are outside."""
    observation = observe(planted({7: 3.5, 8: 4.0, 9: 27.0, 10: 28.0}), tmp_path, "block.interval")
    assert values(observation) == pytest.approx([23_000.0])


def test_one_block_makes_no_interval(tmp_path: Path) -> None:
    assert is_nothing(observe(planted({7: 5.0}), tmp_path / "one", "block.interval"))
    assert is_nothing(observe(planted({7: 5.0, 9: 6.0}), tmp_path / "apart", "block.interval"))
    assert is_nothing(observe(planted({}), tmp_path / "none", "block.interval"))


def test_the_longest_gap_of_a_regular_chain_is_its_block_time(tmp_path: Path) -> None:
    """Looks are a quarter of a second apart, and may be late by one at either end."""
    assert figures(observe(healthy(), tmp_path, "chain.longest_gap", RUN)) == pytest.approx((1.0, 0.75, 1.25))


def test_a_halt_is_the_longest_gap(tmp_path: Path) -> None:
    """No commit in [10, 17): the last one before is at 9."""
    run = healthy(halt=(10.0, 17.0))
    assert figures(observe(run, tmp_path, "chain.longest_gap", RUN))[0] == pytest.approx(17 - 9)


def test_a_halt_that_outlasts_the_run_is_open_to_the_last_look(tmp_path: Path) -> None:
    """The last commit is at 19 and seen a sixteenth of a second later; the watch goes on to the last look."""
    run = healthy(halt=(20.0, 1000.0), drain=1001.0)
    run.shape = replace(run.shape, drain=2.0)
    run.probes = [row for row in run.probes if row["at_s"] <= START_AT_S + 30.0]
    run.blocks = [row for row in run.blocks if row["observed_at_s"] <= START_AT_S + 30.0]
    assert figures(observe(run, tmp_path, "chain.longest_gap", RUN))[0] == pytest.approx(30.0 - 19.0625)


def test_a_halt_from_before_the_watch_is_open_to_the_first_look(tmp_path: Path) -> None:
    """The watch begins at -1; the first block that it sees is committed at 13."""
    run = healthy(halt=(-3.0, 12.0), faults=())
    first_seen = min(row["observed_at_s"] for row in run.blocks) - START_AT_S
    assert first_seen == 13.0625
    assert figures(observe(run, tmp_path, "chain.longest_gap", RUN))[0] == pytest.approx(13.0625 + 1)


def test_a_block_that_is_fetched_late_makes_no_gap(tmp_path: Path) -> None:
    """Height 20 was missed and fetched five seconds later: by then 21 had been seen, so the chain went on."""
    run = healthy(faults=())
    seen_first = {row["height"]: row["observed_at_s"] for row in run.blocks if row["node"] == NODES[0]}
    for row in run.blocks:
        if row["height"] == 20:
            row["observed_at_s"] += 5
    expected = seen_first[21] - seen_first[19]
    assert figures(observe(run, tmp_path, "chain.longest_gap", RUN))[0] == pytest.approx(expected)


def test_a_gap_counts_in_full_when_it_touches_the_window(tmp_path: Path) -> None:
    """The halt [1, 9) is mostly in the baseline; users of the load, from 4 on, went through the rest of it."""
    run = healthy(halt=(1.0, 9.0))
    assert figures(observe(run, tmp_path, "chain.longest_gap"))[0] == pytest.approx(9 - 0)


def test_a_gap_outside_the_window_does_not_count(tmp_path: Path) -> None:
    """The fault is disturbed time from 8 on; the halt in it is declared."""
    run = healthy(halt=(9.0, 12.0))
    observation = observe(run, tmp_path, "chain.longest_gap", WindowName.OUTSIDE_FAULTS)
    assert figures(observation)[0] == pytest.approx(1.0)


def test_no_gap_where_nobody_watched(tmp_path: Path) -> None:
    unwatched = healthy()
    unwatched.probes = []
    assert is_nothing(observe(unwatched, tmp_path / "a", "chain.longest_gap", RUN))
    without_blocks = healthy()
    without_blocks.blocks = []
    assert is_nothing(observe(without_blocks, tmp_path / "b", "chain.longest_gap", RUN))


def test_no_gap_in_a_window_that_never_came(tmp_path: Path) -> None:
    """A run without a load has no load without blocks: nothing was measured, and nothing is met."""
    run = healthy()
    run.manifest = replace(run.manifest, phases=run.manifest.phases[:1])
    assert is_nothing(observe(run, tmp_path, "chain.longest_gap"))
