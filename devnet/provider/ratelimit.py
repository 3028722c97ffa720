"""Requests per client in a fixed window, as `PortalRateLimiter` of the real daemon counts them.

Source: `pkg/provider_daemon/portal_middleware.go`. A window starts with a client's first request and lasts
`window_s`; it does not slide, so a client may send twice the limit around a boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

from devnet.provider.clock import Clock

REQUESTS_PER_WINDOW = 120
WINDOW_S = 60.0
# The real daemon never forgets a client. Here the memory has a bound that no test reaches by accident.
CLIENTS_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether one request may pass, and the three numbers that its answer carries."""

    allowed: bool
    limit: int
    remaining: int
    reset_at_s: int  # Unix seconds, the whole second in which the window ends

    @property
    def headers(self) -> dict[str, str]:
        """The `X-RateLimit-*` headers of the answer."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at_s),
        }


@dataclass(slots=True, kw_only=True)
class _Window:
    started_monotonic_s: float
    ends_at_s: float
    count: int = 0


class RateLimiter:
    """One fixed window for each client key; not safe across threads, since one event loop owns it."""

    def __init__(
        self,
        *,
        clock: Clock,
        limit: int = REQUESTS_PER_WINDOW,
        window_s: float = WINDOW_S,
        clients_max: int = CLIENTS_MAX,
    ) -> None:
        if limit <= 0 or window_s <= 0 or clients_max <= 0:
            raise ValueError("limit, window_s and clients_max must be more than 0")
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._clients_max = clients_max
        # Oldest window first: a renewed window is taken out and put in again at the end.
        self._windows: dict[str, _Window] = {}

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._windows)

    def admit(self, key: str) -> Decision:
        """The decision about one more request of `key`; a refused request is not counted."""
        now_s = self._clock.monotonic_s()
        window = self._windows.get(key)
        if window is None or now_s - window.started_monotonic_s >= self._window_s:
            self._windows.pop(key, None)
            self._forget(now_s)
            window = _Window(started_monotonic_s=now_s, ends_at_s=self._clock.wall_at_s() + self._window_s)
            self._windows[key] = window
        allowed = window.count < self._limit
        if allowed:
            window.count += 1
        return Decision(
            allowed=allowed,
            limit=self._limit,
            remaining=self._limit - window.count,
            reset_at_s=int(window.ends_at_s),
        )

    def _forget(self, now_s: float) -> None:
        """Drop windows that are over, and the oldest one where the memory is full."""
        while self._windows:
            key, oldest = next(iter(self._windows.items()))
            over = now_s - oldest.started_monotonic_s >= self._window_s
            if not over and len(self._windows) < self._clients_max:
                return
            del self._windows[key]
