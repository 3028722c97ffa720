"""Garbage collection that does not stop the load: what lives for the whole run is not looked through again and again.

A full collection goes through every object of the process and stops the hub meanwhile. By the time users begin, Locust,
its libraries and the derived accounts are hundreds of thousands of objects, and none of them will ever be garbage.
"""

from __future__ import annotations

import gc

_THRESHOLDS = (50_000, 20, 50)
"""CPython's own 700 (2,000 from 3.13) has the youngest generation looked through at every few dozen requests."""


def settle() -> None:
    """Take everything that is there now out of collection, and collect what comes less often.

    For the moment before the load begins: it collects once itself, which takes a while.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
