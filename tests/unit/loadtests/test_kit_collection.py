"""What is there when the load begins is not collected again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from loadtests.kit.collection import settle


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_a_full_collection_leaves_out_what_was_there() -> None:
    old = [[n] for n in range(1000)]
    settle()
    looked_at = {id(thing) for thing in gc.get_objects()}
    assert looked_at.isdisjoint(id(thing) for thing in old)
    assert gc.get_freeze_count() > 1000


def test_what_comes_later_is_still_collected() -> None:
    class Cycle:
        alive = 0

        def __init__(self) -> None:
            self.me = self
            Cycle.alive += 1

        def __del__(self) -> None:
            Cycle.alive -= 1

    settle()
    Cycle()
    assert Cycle.alive == 1
    gc.collect()
    assert Cycle.alive == 0


def test_collections_are_rarer() -> None:
    before = gc.get_threshold()
    settle()
    assert gc.get_threshold()[0] > 10 * before[0]
