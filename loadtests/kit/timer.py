"""A timer on the hub, exact to some ten microseconds.

The event loop's own timers are rounded to a millisecond. A timerfd (Linux, timerfd_create(2)) is a file that becomes
readable at a time, and the loop watches files without rounding.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

import gevent

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_READ = 1
_LEAST_NS = 1
"""A time of 0 would disarm the timer."""


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


_libc = ctypes.CDLL(None, use_errno=True)


class HubTimer:
    """Calls `due` on the hub when the time has come. `due` must not wait for anything."""

    def __init__(self, due: Callable[[], None]) -> None:
        """Raises OSError when the system gives no timer."""
        self._due = due
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _TimerSpec()
        self._pointer = ctypes.byref(self._spec)
        self._watcher = gevent.get_hub().loop.io(self._file, _READ)
        self._watcher.start(self._fired)

    def at(self, monotonic_s: float) -> None:
        """Fire once at this time of `time.monotonic()`; at once when that has passed. Replaces the time set before."""
        self._set(max(int(monotonic_s * 1e9), _LEAST_NS))

    def stop(self) -> None:
        """Do not fire any more until a time is set again."""
        self._set(0)

    def close(self) -> None:
        """End the timer for good."""
        if self._file >= 0:
            self._watcher.stop()
            self._watcher.close()
            os.close(self._file)
            self._file = -1

    def _set(self, at_ns: int) -> None:
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(at_ns, 1_000_000_000)
        if _libc.timerfd_settime(self._file, _TFD_TIMER_ABSTIME, self._pointer, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _fired(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return  # set to a later time meanwhile
        self._due()


def monotonic_to_unix_s() -> float:
    """Return what has to be added to `time.monotonic()` for Unix time, as of now."""
    return time.time() - time.monotonic()
