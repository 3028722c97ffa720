"""One devnet for all tests that only need a healthy target; each test leaves it as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet.lifecycle import RunningNetwork, bring_up
from devnet.network import NetworkSpec
from experiments.probes import nodes_answer, providers_answer
from target.control import DevnetControl, ProcessState
from tests.e2e.gameday_process import wait_until


@pytest.fixture(scope="session")
def network() -> Iterator[RunningNetwork]:
    """A running devnet that ends with the test session, however that ends."""
    running = bring_up(f"e2e-{os.getpid()}", NetworkSpec(accounts=300), print, owned=True)
    yield running
    running.close()


@pytest.fixture
def target(network: RunningNetwork) -> Iterator[Path]:
    """The shared devnet's Target file, all its parts well; afterwards everything runs and every link is clear."""
    path = str(network.network.target_file)
    wait_until(lambda: nodes_answer(path) and providers_answer(path), "a devnet that is well")
    yield network.network.target_file
    control = DevnetControl(network.record.socket)
    broken = [process.name for process in control.processes() if process.state is not ProcessState.RUNNING]
    links = [link for link in control.links() if not link.rule.is_clear]
    assert not broken
    assert not links


@pytest.fixture
def control(network: RunningNetwork) -> DevnetControl:
    """The shared devnet's control port."""
    return DevnetControl(network.record.socket)
