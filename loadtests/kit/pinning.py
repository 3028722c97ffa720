"""Binds a load process to one processor core, so that its neighbours do not push it about."""

from __future__ import annotations

import os
from enum import StrEnum

from loadtests.kit.place import Place


class PinWish(StrEnum):
    """What `--pin` says."""

    AUTO = "auto"
    """Where each process of the load can have a core of its own."""
    YES = "yes"
    """Also where several have to share one."""
    NO = "no"


def pin(place: Place, wish: PinWish) -> int | None:
    """Bind this process to a core and return its number; None when it stays free to move.

    The core is chosen by the index, among those that the process may use. A load of one process is never bound by
    "auto": there is no neighbour to be kept apart from.
    """
    cores = sorted(os.sched_getaffinity(0))
    has_own = 1 < place.count <= len(cores) and not place.is_in_addition
    if wish is PinWish.NO or (wish is PinWish.AUTO and not has_own):
        return None
    core = cores[place.index % len(cores)]
    os.sched_setaffinity(0, {core})
    return core
