"""Signals and the deadline: when they raise, and when they must not."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from gamedays.interruption import DeadlinePassed, Interrupted, Interruption, PartFailed, StopRun

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give pytest its handlers back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def interruption(said: list[str]) -> Interruption:
    listening = Interruption(said.append)
    listening.listen()
    return listening


def _step(number: signal.Signals, reached: list[str]) -> None:
    """A step of a run, in the middle of which a signal comes."""
    reached.append("before the signal")
    signal.raise_signal(number)
    reached.append("after the signal")


@pytest.mark.parametrize("number", SIGNALS)
def test_before_anything_is_broken_a_signal_raises_at_once(
    interruption: Interruption, said: list[str], number: signal.Signals
) -> None:
    reached: list[str] = []
    with pytest.raises(Interrupted, match=f"stopped by {number.name}"):
        _step(number, reached)
    assert reached == ["before the signal"]
    assert said == []


@pytest.mark.parametrize("number", SIGNALS)
def test_afterwards_a_step_is_finished_and_it_raises_where_the_run_waits(
    interruption: Interruption, number: signal.Signals
) -> None:
    interruption.careful()
    reached: list[str] = []
    _step(number, reached)
    assert reached == ["before the signal", "after the signal"]
    with pytest.raises(Interrupted, match=number.name):
        interruption.check()
    with pytest.raises(Interrupted):
        interruption.wait_until(lambda: False)


def test_a_signal_that_came_before_raises_when_it_gets_careful(interruption: Interruption) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        interruption.careful()


def test_a_wait_that_is_over_already_asks_nobody(interruption: Interruption) -> None:
    interruption.careful()
    signal.raise_signal(signal.SIGINT)
    assert interruption.wait_until(lambda: True) is True


def test_a_signal_during_a_wait_ends_it(interruption: Interruption) -> None:
    interruption.careful()
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            signal.raise_signal(signal.SIGTERM)
        return False

    with pytest.raises(Interrupted):
        interruption.wait_until(look)
    assert looks == 3


def test_a_wait_has_a_limit(interruption: Interruption) -> None:
    assert interruption.wait_until(lambda: False, limit_s=0.01) is False
    answers = iter([False, False, True])
    assert interruption.wait_until(lambda: next(answers), limit_s=30) is True


def test_trouble_in_what_is_waited_for_goes_through(interruption: Interruption) -> None:
    def fail() -> bool:
        raise PartFailed("the load did not start")

    with pytest.raises(PartFailed, match="the load did not start"):
        interruption.wait_until(fail)


def test_patience_is_asked_for_once(interruption: Interruption, said: list[str]) -> None:
    interruption.careful()
    for _ in range(5):
        signal.raise_signal(signal.SIGINT)
    assert len(said) == 1
    assert "please wait" in said[0]
    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        interruption.check()


def test_a_deadline_raises_where_the_run_waits(interruption: Interruption) -> None:
    interruption.careful()
    interruption.check()
    interruption.set_deadline(3600)
    interruption.check()
    interruption.set_deadline(0)
    end = time.monotonic() + 1e-6
    while time.monotonic() < end:
        continue
    with pytest.raises(DeadlinePassed, match="time limit has passed"):
        interruption.check()
    with pytest.raises(DeadlinePassed):
        interruption.wait_until(lambda: False)


def test_of_a_signal_and_the_deadline_the_signal_is_told(interruption: Interruption) -> None:
    interruption.careful()
    interruption.set_deadline(-1)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        interruption.check()


def test_after_the_finish_nothing_interrupts(interruption: Interruption, said: list[str]) -> None:
    interruption.set_deadline(-1)
    interruption.finish()
    for number in SIGNALS:
        signal.raise_signal(number)
    interruption.check()
    assert interruption.wait_until(lambda: False, limit_s=0.01) is False
    assert len(said) == 1


def test_a_signal_before_the_finish_is_no_longer_raised_after_it(interruption: Interruption) -> None:
    interruption.careful()
    signal.raise_signal(signal.SIGINT)
    interruption.finish()
    interruption.check()


def test_ignored_signals_are_ignored(interruption: Interruption, said: list[str]) -> None:
    Interruption.ignore()
    for number in SIGNALS:
        signal.raise_signal(number)
    interruption.check()
    assert said == []


def test_every_kind_stops_the_run() -> None:
    for kind in (Interrupted, DeadlinePassed, PartFailed):
        assert issubclass(kind, StopRun)
        assert not issubclass(kind, KeyboardInterrupt)


def test_a_signal_that_came_while_one_run_finished_keeps_the_next_from_beginning(interruption: Interruption) -> None:
    interruption.careful()
    interruption.finish()
    signal.raise_signal(signal.SIGINT)
    interruption.check()
    with pytest.raises(Interrupted, match="SIGINT"):
        interruption.go_on()


def test_the_next_run_has_no_deadline_of_the_last(interruption: Interruption) -> None:
    interruption.careful()
    interruption.set_deadline(-1.0)
    interruption.finish()
    interruption.go_on()
    interruption.check()
