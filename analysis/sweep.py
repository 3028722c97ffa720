"""Read numbers piece by piece, in threads, each as a whole number that orders as it does.

No meaning: what the pieces are shown for is `selection`'s.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
"""The group of each row, from 0."""
Images = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64] | npt.NDArray[np.int32]
"""The place of each row in some numbering of groups and buckets."""
Part = Callable[[], Iterable[tuple[Codes, Floats]]]
"""A part of the data that can be read again, independently of other parts, in pieces that fit a processor's cache.
A number that is NaN or +infinity is one that never ended."""

_SIGN = 1 << 63


def images_of(values: Floats) -> Images:
    """Return whole numbers that order as the values do, NaN left out; -0.0 comes before 0.0."""
    bits = values.view(np.int64)
    turned = bits >> 63  # all ones for a negative number, whose bits order backwards
    turned |= np.int64(-_SIGN)
    turned ^= bits
    return turned.view(np.uint64)


def image_of(value: float) -> int:
    """Return the image of one number."""
    return int(images_of(np.array([value]))[0])


def value_of(image: int) -> float:
    """Return the number that has this image."""
    bits = image ^ _SIGN if image & _SIGN else ~image & (2 * _SIGN - 1)
    return float(np.uint64(bits).view(np.float64))


class Visitor(Protocol):
    """What looks at pieces, in one thread."""

    def visit(self, places: Places, images: Images) -> None:
        """Look at numbers that ended: the place and the image of each."""

    def miss(self, codes: Codes) -> None:
        """Take note of numbers that never ended; called in the first sweep only."""


V = TypeVar("V", bound=Visitor)


class Sweeper:
    """Shows all numbers to visitors, as often as asked. Remembers the first rows, so that they are read only once."""

    def __init__(self, parts: Sequence[Part], place: Callable[[Codes, Images], Codes], *, room: int, threads: int):
        """`place` numbers rows; `room` is how many rows may be remembered, 12 bytes each."""
        self._parts, self._place, self._room, self._threads = parts, place, room, threads
        self._lock = threading.Lock()
        self._remembered: dict[int, list[tuple[npt.NDArray[np.int32], Images]]] = {}

    def sweep(self, new_visitor: Callable[[], V]) -> list[V]:
        """Show every piece to one of the visitors, one visitor a thread, and return these."""
        waiting = deque(range(len(self._parts)))

        def work(visitor: V) -> V:
            try:
                while waiting:
                    try:
                        number = waiting.popleft()
                    except IndexError:  # another thread took the last one
                        break
                    self._show(number, visitor)
            except BaseException:
                waiting.clear()  # the others need not go on
                raise
            return visitor

        visitors = [new_visitor() for _ in range(max(1, min(self._threads, len(self._parts))))]
        if len(visitors) == 1:
            return [work(visitors[0])]
        with ThreadPoolExecutor(len(visitors)) as pool:
            return list(pool.map(work, visitors))

    def _show(self, number: int, visitor: Visitor) -> None:
        if number in self._remembered:
            for short_places, images in self._remembered[number]:
                visitor.visit(short_places, images)
            return
        pieces: list[tuple[npt.NDArray[np.int32], Images]] = []
        taken, fits = 0, True
        for codes, values in self._parts[number]():
            ended = values < np.inf  # neither infinite nor NaN
            if not ended.all():
                visitor.miss(codes[~ended])
                codes, values = codes[ended], values[ended]
            images = images_of(values)
            places = self._place(codes, images)
            visitor.visit(places, images)
            fits = fits and self._take(len(values))
            if fits:
                taken += len(values)
                pieces.append((places.astype(np.int32), images))
            elif taken:
                pieces.clear()
                self._take(-taken)
                taken = 0
        if fits:
            self._remembered[number] = pieces

    def _take(self, rows: int) -> bool:
        """Return whether there was room for the rows, which is taken then."""
        with self._lock:
            if rows > self._room:
                return False
            self._room -= rows
            return True
