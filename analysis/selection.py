"""Select values by their rank, by group, from more numbers than memory holds.

Radix selection on the bits of the numbers (`sweep` turns them so that they order like the number). The first sweep
over the data counts, by group, how many images fall into each of some thousand buckets, and so finds the bucket that
each wanted rank is in. A later sweep keeps the images of these buckets alone and partitions them. A bucket that holds
too many to be kept is split into finer ones instead, down to a single image: so ties end, and memory is bounded
whatever the numbers are.

Nothing is approximated and nothing is drawn: a selected value is what a full sort would have at its rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.sweep import Codes, Images, Part, Places, Sweeper, image_of, value_of

Ints = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]
Found = dict[tuple[int, int], float]
"""The value by (group, rank); ranks count from 1."""

_MOST_BITS = 12
"""A split makes 4096 buckets at most."""
_FIRST_BITS = 44
"""Bits that the first sweep leaves out: its buckets are 1/256 of a power of two wide, under 0.4 %."""
_FIRST_LOW, _FIRST_HIGH = image_of(2.0**-6), image_of(2.0**18) - 1
"""What the first sweep tells apart: in milliseconds from 16 µs to 4 minutes. What is beyond falls into the bucket at
its end and is split later, so this is a matter of speed only."""
_FIRST_WIDTH = ((_FIRST_HIGH - _FIRST_LOW) >> _FIRST_BITS) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many rows a group has, and how many of them never ended."""

    rows: int
    never: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    """The images from `low` to `high` of one group: `count` of them, after `below` smaller ones."""

    group: int
    low: int
    high: int
    below: int
    count: int
    ranks: tuple[int, ...]
    """Wanted ranks in here, in the order of the whole group."""
    place: int
    """Where it is in the level that it is a bucket of."""


class _Level:
    """How a sweep divided each of its slots into `width` buckets, and which of these are the slots of the next."""

    def __init__(self, lows: list[int], shifts: list[int], width: int, *, slot_count: int) -> None:
        self.lows, self.shifts, self.width = np.array(lows, np.uint64), np.array(shifts, np.uint64), width
        self.heirs = np.full(slot_count * width, -1, np.int32)

    def places(self, slots: Slots, images: Images) -> Ints:
        """Return the bucket of each image, numbered through all slots."""
        buckets = (images - self.lows[slots]) >> self.shifts[slots]
        return buckets.view(np.int64) + slots.astype(np.int64) * self.width


def _first_places(codes: Codes, images: Images) -> Ints:
    """Return the bucket of each image in the first level: groups are its slots, all divided alike, with open ends."""
    buckets = np.clip(images, np.uint64(_FIRST_LOW), np.uint64(_FIRST_HIGH))
    buckets -= np.uint64(_FIRST_LOW)
    buckets >>= np.uint64(_FIRST_BITS)
    places = codes * _FIRST_WIDTH
    places += buckets.view(np.int64)
    return places


def _first_bounds(bucket: int) -> tuple[int, int]:
    """Return the lowest and the highest image of a bucket of the first level."""
    low = _FIRST_LOW + (bucket << _FIRST_BITS)
    high = low + (1 << _FIRST_BITS) - 1
    return low if bucket > 0 else 0, high if bucket < _FIRST_WIDTH - 1 else (1 << 64) - 1


class _Census:
    """First sweep: rows by place, and what never ended by group."""

    def __init__(self) -> None:
        self.counts = np.zeros(0, np.int64)
        self.never = np.zeros(0, np.int64)

    def visit(self, places: Places, images: Images) -> None:
        self.counts = _sum(self.counts, np.bincount(places))

    def miss(self, codes: Codes) -> None:
        self.never = _sum(self.never, np.bincount(codes))


class _Sieve:
    """Later sweeps: down the levels to the slots that are open; some are kept whole, the others are counted finer."""

    def __init__(self, levels: list[_Level], finer: _Level, whole_count: int) -> None:
        self._levels, self._finer, self._whole_count = levels, finer, whole_count
        self.kept: list[tuple[Slots, Images]] = []
        self.counts = np.zeros(len(finer.heirs), np.int64)

    def visit(self, places: Places, images: Images) -> None:
        slots, images = _heirs(self._levels[0], places, images)
        for level in self._levels[1:]:
            slots, images = _heirs(level, level.places(slots, images), images)
        whole = slots < self._whole_count
        if whole.any():
            self.kept.append((slots[whole], images[whole]))
        if not whole.all():
            finer_places = self._finer.places(slots[~whole] - np.int32(self._whole_count), images[~whole])
            self.counts += np.bincount(finer_places, minlength=len(self.counts))

    def miss(self, codes: Codes) -> None:
        """Nothing: a rank among what never ended needs no search."""


def _heirs(level: _Level, places: Places, images: Images) -> tuple[Slots, Images]:
    """Return slots and images of the rows that go on to the next level."""
    heirs = level.heirs[places]
    wanted = np.flatnonzero(heirs >= 0)
    return heirs[wanted], images[wanted]


def _sum(one: Ints, other: Ints) -> Ints:
    """Return the sum of two counts, the shorter one filled up with zeros; changes the longer one."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer[: len(shorter)] += shorter
    return longer


class Selection:
    """Counts rows by group, then answers which value has which rank."""

    def __init__(self, parts: Sequence[Part], *, held: int, threads: int) -> None:
        """`held` bounds the numbers in memory: as many are remembered, 12 bytes each, a quarter may be kept, 32 each.

        Counters need 50 kB a group and thread, and 8 bytes for each number that may be kept.
        """
        self._sweeper = Sweeper(parts, _first_places, room=held, threads=threads)
        self._most_kept = max(1, held // 4)
        self._counts = np.zeros((0, _FIRST_WIDTH), np.int64)
        self._counted: tuple[Counted, ...] = ()

    def count(self, group_count: Callable[[], int]) -> tuple[Counted, ...]:
        """Return what each group has; `group_count` is asked when all parts were read."""
        visitors = self._sweeper.sweep(_Census)
        groups = group_count()
        counts, never = np.zeros(groups * _FIRST_WIDTH, np.int64), np.zeros(groups, np.int64)
        for visitor in visitors:
            counts, never = _sum(counts, visitor.counts), _sum(never, visitor.never)
        self._counts = counts.reshape(groups, _FIRST_WIDTH)
        rows = self._counts.sum(axis=1) + never
        self._counted = tuple(Counted(rows=int(n), never=int(m)) for n, m in zip(rows, never, strict=True))
        return self._counted

    def select(self, wanted: Mapping[int, Iterable[int]]) -> Found:
        """Return the values at the wanted ranks of the groups. Needs `count` before."""
        found: Found = {}
        buckets: list[_Bucket] = []
        for group, ranks in wanted.items():
            ended = self._counted[group].rows - self._counted[group].never
            found |= {(group, rank): np.inf for rank in ranks if rank > ended}
            inside = sorted({rank for rank in ranks if rank <= ended})
            for bucket, below, count, here in _locate(self._counts[group], 0, inside):
                low, high = _first_bounds(bucket)
                place = group * _FIRST_WIDTH + bucket
                buckets.append(
                    _Bucket(group=group, low=low, high=high, below=below, count=count, ranks=here, place=place)
                )
        levels = [_Level([], [], _FIRST_WIDTH, slot_count=len(self._counted))]
        while buckets:
            buckets = self._refine(levels, buckets, found)
        return found

    def _refine(self, levels: list[_Level], buckets: list[_Bucket], found: Found) -> list[_Bucket]:
        """Sweep once; put what is decided into `found`, add a level and return its buckets that are still open."""
        whole, split = _divide(buckets, self._most_kept)
        heirs = levels[-1].heirs
        heirs[[bucket.place for bucket in whole + split]] = np.arange(len(buckets), dtype=np.int32)
        finer = _finer(split, self._most_kept)
        sieves = self._sweeper.sweep(lambda: _Sieve(levels, finer, len(whole)))
        _decide(whole, [piece for sieve in sieves for piece in sieve.kept], found)
        heirs -= len(whole)  # what is decided is not looked at again
        np.maximum(heirs, -1, out=heirs)
        levels.append(finer)
        return list(_descend(finer, split, np.sum([sieve.counts for sieve in sieves], axis=0), found))


def _locate(counts: Ints, below: int, ranks: Sequence[int]) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield each bucket that holds a rank: its number, how many are below it, how many are in it, its ranks."""
    reached = np.cumsum(counts) + below
    places = np.searchsorted(reached, ranks, side="left")
    for place in np.unique(places):
        here = tuple(rank for rank, other in zip(ranks, places, strict=True) if other == place)
        yield int(place), int(reached[place] - counts[place]), int(counts[place]), here


def _divide(buckets: list[_Bucket], most: int) -> tuple[list[_Bucket], list[_Bucket]]:
    """Return the buckets that can be kept together, and those that have to be split."""
    order = sorted(buckets, key=lambda bucket: bucket.count)
    fit = int(np.searchsorted(np.cumsum([bucket.count for bucket in order]), most, side="right"))
    return order[:fit], order[fit:]


def _finer(buckets: list[_Bucket], most: int) -> _Level:
    """Return the level that splits these buckets: into no more than `most` together, but at least into halves."""
    bits = min(_MOST_BITS, max(1, (most // max(1, len(buckets))).bit_length() - 1))
    shifts = [max(0, (bucket.high - bucket.low).bit_length() - bits) for bucket in buckets]
    return _Level([bucket.low for bucket in buckets], shifts, 1 << bits, slot_count=len(buckets))


def _decide(buckets: list[_Bucket], kept: list[tuple[Slots, Images]], found: Found) -> None:
    """Put the values at the ranks of buckets that were kept whole into `found`."""
    if not buckets:
        return
    slots = np.concatenate([piece for piece, _ in kept])
    images = np.concatenate([piece for _, piece in kept])
    kept.clear()
    # Sixteen bits are sorted by radix, which is several times faster.
    images = images[np.argsort(slots.astype(np.uint16) if len(buckets) < 1 << 16 else slots, kind="stable")]
    start = 0
    for bucket in buckets:
        places = [rank - bucket.below - 1 for rank in bucket.ranks]
        ordered = np.partition(images[start : start + bucket.count], places)
        found |= {(bucket.group, r): value_of(int(ordered[n])) for r, n in zip(bucket.ranks, places, strict=True)}
        start += bucket.count


def _descend(level: _Level, parents: list[_Bucket], counts: Ints, found: Found) -> Iterator[_Bucket]:
    """Yield the buckets of a counted level that hold ranks; those of one image are decided, all in them being equal."""
    for slot, parent in enumerate(parents):
        shift, start = int(level.shifts[slot]), slot * level.width
        for bucket, below, count, ranks in _locate(counts[start : start + level.width], parent.below, parent.ranks):
            low, place = parent.low + (bucket << shift), start + bucket
            if shift == 0:
                found |= {(parent.group, rank): value_of(low) for rank in ranks}
                continue
            high = low + (1 << shift) - 1
            yield _Bucket(group=parent.group, low=low, high=high, below=below, count=count, ranks=ranks, place=place)
