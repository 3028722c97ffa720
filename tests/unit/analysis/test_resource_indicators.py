"""Memory and CPU, from planted rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.budget import WindowName
from analysis.indicator import Distribution, estimate
from tests.bundles import NODES, PROVIDER, SyntheticRun, healthy
from tests.unit.analysis.scenes import figures, is_nothing, observe, values


def planted(*rows: tuple[str, int, float, float, int]) -> SyntheticRun:
    """Return a run with these resources: (process, pid, seconds after the load's start, CPU seconds, bytes)."""
    run = healthy()
    run.resources = [
        {"at_s": run.load_start_at_s + after, "process": name, "pid": pid, "rss_bytes": size, "cpu_s": cpu_s}
        for name, pid, after, cpu_s, size in rows
    ]
    return run


def test_memory_is_of_the_kind_that_was_asked_for_in_gigabytes(tmp_path: Path) -> None:
    run = planted(
        (NODES[0], 1, 0, 0, 2_500_000_000),
        (NODES[1], 2, 1, 0, 1_000_000),
        (PROVIDER, 3, 1, 0, 40_000_000_000),
        ("load local", 4, 1, 0, 90_000_000_000),
        (NODES[0], 1, 24.0, 0, 70_000_000_000),  # the load has ended
    )
    of_nodes = observe(run, tmp_path / "nodes", "node.memory")
    assert values(of_nodes) == [2.5, 0.001]
    assert isinstance(of_nodes, Distribution)
    assert estimate(of_nodes, "max").value == 2.5
    assert values(observe(run, tmp_path / "provider", "provider.memory")) == [40.0]


def test_cpu_is_the_average_of_the_busiest(tmp_path: Path) -> None:
    run = planted(
        (NODES[0], 1, 0, 100.0, 1),
        (NODES[0], 1, 4, 101.0, 1),
        (NODES[0], 1, 10, 105.0, 1),
        (NODES[1], 2, 0, 0.0, 1),
        (NODES[1], 2, 10, 8.0, 1),
        (PROVIDER, 3, 0, 0.0, 1),
        (PROVIDER, 3, 10, 90.0, 1),
    )
    assert figures(observe(run, tmp_path / "nodes", "node.cpu")) == pytest.approx((0.8, 0.8, 0.8))
    assert figures(observe(run, tmp_path / "provider", "provider.cpu"))[0] == pytest.approx(9.0)


def test_a_restart_begins_a_new_count(tmp_path: Path) -> None:
    """10 s with 2 s of CPU, then another process for 5 s with 4: 6 s in 15, and never less than nothing."""
    run = planted(
        (NODES[0], 1, 0, 50.0, 1),
        (NODES[0], 1, 10, 52.0, 1),
        (NODES[0], 9, 15, 0.5, 1),
        (NODES[0], 9, 20, 4.5, 1),
    )
    assert figures(observe(run, tmp_path, "node.cpu"))[0] == pytest.approx(6 / 15)


def test_one_look_at_a_process_tells_no_cpu(tmp_path: Path) -> None:
    assert is_nothing(observe(planted((NODES[0], 1, 0, 50.0, 1)), tmp_path, "node.cpu"))


@pytest.mark.parametrize("indicator", ["node.memory", "node.cpu", "provider.memory", "provider.cpu"])
def test_processes_on_other_machines_are_nothing(tmp_path: Path, indicator: str) -> None:
    run = planted(("load local", 4, 1, 0, 9), ("load local", 4, 2, 1, 9))
    assert is_nothing(observe(run, tmp_path, indicator, WindowName.RUN))
