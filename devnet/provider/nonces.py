"""Nonces of wallet signatures that were used already, so that a signed request passes once.

Source: `pkg/provider_daemon/auth/nonce_store.go`. In memory only: a restarted daemon has forgotten them all, and
accepts a replay until the signature is five minutes old. The real daemon does the same.
"""

from __future__ import annotations

from devnet.provider.clock import Clock

SWEEP_S = 60.0
# The real store has no bound; here the oldest nonce gives way.
NONCES_MAX = 200_000


class NonceStore:
    """Nonce keys with the Unix time until which each is refused."""

    def __init__(self, *, clock: Clock, nonces_max: int = NONCES_MAX) -> None:
        self._clock = clock
        self._nonces_max = nonces_max
        self._until_s: dict[str, float] = {}
        self._swept_s = clock.monotonic_s()

    def __len__(self) -> int:
        """How many nonces are remembered."""
        return len(self._until_s)

    def has_seen(self, key: str) -> bool:
        """True while `key` is marked and its time is not over."""
        until_s = self._until_s.get(key)
        return until_s is not None and self._clock.wall_at_s() <= until_s

    def mark_seen(self, key: str, *, until_s: float) -> None:
        """Refuse `key` until `until_s` (Unix seconds)."""
        if self._clock.monotonic_s() - self._swept_s >= SWEEP_S:
            now_s, self._swept_s = self._clock.wall_at_s(), self._clock.monotonic_s()
            self._until_s = {held: held_s for held, held_s in self._until_s.items() if now_s <= held_s}
        while len(self._until_s) >= self._nonces_max:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[key] = until_s
