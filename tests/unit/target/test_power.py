"""Voting power: what a chain survives, at the exact border."""

from __future__ import annotations

import pytest

from target.power import VotingPower

FOUR = VotingPower(by_node={"a": 10, "b": 10, "c": 10, "d": 10})


@pytest.mark.parametrize(
    ("lost", "survives"),
    [([], True), (["a"], True), (["a", "b"], False), (["a", "a"], True), (["x", "y"], True), (["a", "x"], True)],
)
def test_four_equal_validators_survive_one(lost: list[str], survives: bool) -> None:
    """Named twice is lost once; a node that does not validate costs nothing."""
    assert FOUR.survives_losing(lost) is survives


def test_exactly_two_thirds_are_not_enough() -> None:
    """CometBFT needs more than two thirds: two of three equal validators commit nothing."""
    assert not VotingPower(by_node={"a": 1, "b": 1, "c": 1}).survives_losing(["a"])
    assert VotingPower(by_node={"a": 1, "b": 1, "c": 1, "d": 1}).survives_losing(["a"])
    assert VotingPower(by_node={"a": 333, "b": 667}).survives_losing(["a"])
    assert not VotingPower(by_node={"a": 334, "b": 666}).survives_losing(["a"])


def test_power_that_nobody_of_ours_holds_counts_for_the_whole() -> None:
    """A target may know only some of the validators."""
    power = VotingPower(by_node={"a": 10}, unknown=30)
    assert power.total == 40
    assert power.survives_losing(["a"])
    assert not VotingPower(by_node={"a": 20}, unknown=20).survives_losing(["a"])


def test_chain_without_power_survives_nothing() -> None:
    """Nobody can commit a block."""
    assert not VotingPower(by_node={}).survives_losing([])
    assert VotingPower(by_node={}).describe_loss(["a"]) == "0 of 0 voting power (0.0 %)"


def test_loss_in_words() -> None:
    """For a guard's refusal."""
    assert FOUR.describe_loss(["a", "b"]) == "20 of 40 voting power (50.0 %)"
    assert VotingPower(by_node={"a": 1, "b": 2}).describe_loss(["a"]) == "1 of 3 voting power (33.3 %)"
