"""Undo verbs at the control port."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bundle import Undo
from experiments.undo import perform
from target.control import DevnetControl, Link, LinkMode, LinkRule
from target.errors import ControlError
from tests.unit.experiments.fake_net import FakeNet


@pytest.fixture
def control(net: FakeNet) -> DevnetControl:
    return DevnetControl(net.socket)


def test_start_starts_every_target(net: FakeNet, control: DevnetControl) -> None:
    for name in ("validator-1", "provider-0"):
        net.parts[name].kill()
    perform(Undo(verb="start", targets=("validator-1", "provider-0")), control)
    assert {part.state for part in net.parts.values()} == {"running"}
    perform(Undo(verb="start", targets=("validator-1", "provider-0")), control)  # again: no harm
    assert net.orders == ["start validator-1", "start provider-0"] * 2


def test_resume_resumes_every_target(net: FakeNet, control: DevnetControl) -> None:
    net.nodes["validator-1"].pause()
    perform(Undo(verb="resume", targets=("validator-1", "validator-2")), control)
    assert net.nodes["validator-1"].state == "running"
    assert net.orders == ["resume validator-1", "resume validator-2"]


def test_open_links_opens_what_touches_the_targets_and_nothing_else(net: FakeNet, control: DevnetControl) -> None:
    cut = LinkRule(mode=LinkMode.CUT)
    slow = LinkRule(latency_ms=5, rate_bytes_per_s=100)
    control.set_links(
        [
            Link(source="validator-0", destination="validator-3", rule=cut),
            Link(source="validator-3", destination="validator-1", rule=slow),
            Link(source="validator-1", destination="validator-2", rule=cut),
        ]
    )
    perform(Undo(verb="open_links", targets=("validator-3",)), control)
    left = {(link.source, link.destination) for link in control.links() if not link.rule.is_clear}
    assert left == {("validator-1", "validator-2")}


@pytest.mark.parametrize("verb", ["", "Start", "kill", "pause", "open links", "__class__"])
def test_an_unknown_verb_orders_nothing(net: FakeNet, control: DevnetControl, verb: str) -> None:
    with pytest.raises(ControlError) as caught:
        perform(Undo(verb=verb, targets=("validator-1",)), control)
    assert f"no undo is called {verb!r}; expected start, resume or open_links" in str(caught.value)
    assert net.orders == []


@pytest.mark.parametrize("verb", ["start", "resume"])
def test_every_target_is_tried_and_the_first_trouble_told(net: FakeNet, control: DevnetControl, verb: str) -> None:
    net.failing = {f"{verb} validator-0", f"{verb} validator-2"}
    targets = tuple(f"validator-{n}" for n in range(4))
    with pytest.raises(ControlError, match=f"cannot {verb} validator-0"):
        perform(Undo(verb=verb, targets=targets), control)
    assert net.orders == [f"{verb} {name}" for name in targets]


def test_a_target_that_is_gone_is_told(net: FakeNet, control: DevnetControl) -> None:
    with pytest.raises(ControlError, match="validator-9"):
        perform(Undo(verb="start", targets=("validator-9", "validator-1")), control)
    assert net.orders == ["start validator-9", "start validator-1"]


def test_no_control_port_is_told(net: FakeNet, control: DevnetControl) -> None:
    net.close_control()
    for verb in ("start", "resume", "open_links"):
        with pytest.raises(ControlError):
            perform(Undo(verb=verb, targets=("validator-1",)), control)


def test_a_verb_without_targets_does_nothing(net: FakeNet, control: DevnetControl) -> None:
    verbs: Iterable[str] = ("start", "resume")
    for verb in verbs:
        perform(Undo(verb=verb, targets=()), control)
    assert net.orders == []
