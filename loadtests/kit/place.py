"""Which of how many load processes this one is, and what of the whole load is therefore its own.

Everything that must not be there twice is shared out by the index: accounts, arrivals, the numbers of users. What all
processes do together is then the same for any number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of one process among those that share a load."""

    index: int = 0
    """From 0. One that is not below `count` came in addition: nothing is its own."""
    count: int = 1

    @property
    def is_in_addition(self) -> bool:
        return self.index >= self.count

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items of this process: each n-th. Those of all processes are all items, each once."""
        return [] if self.is_in_addition else list(items[self.index :: self.count])

    def user_number(self, nth: int) -> int:
        """Return the number, from 1, among all users of the n-th user (from 1) of this process.

        No two users of a run have the same, unless a process came in addition.
        """
        return (nth - 1) * self.count + self.index + 1
