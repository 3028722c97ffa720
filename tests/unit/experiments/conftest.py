"""One fake network a test, and patience in short pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import height_watch, lease, probes
from experiments.faults import network, process
from tests.unit.experiments.fake_net import FakeNet, fake_net


@pytest.fixture
def net(tmp_path: Path) -> Iterator[FakeNet]:
    """Four equal validators, one provider, a control port."""
    with fake_net(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a mute node for a moment only, and look again at once."""
    for module in (height_watch, network, process, probes):
        monkeypatch.setattr(module, "_ASK_LIMIT_S", 0.3)
    for looking in (lease, probes):
        monkeypatch.setattr(looking, "_LOOK_S", 0.01)
