"""Tokens for the shell: issued for one principal and one deployment, good until they expire.

Source: ShellSessionManager in `pkg/provider_daemon/portal_api.go`. In memory only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from devnet.provider.clock import Clock

# The real daemon keeps expired sessions for ever; here they go first, and then the oldest.
SESSIONS_MAX = 10_000
TOKEN_BYTES = 32


class SessionRefused(Exception):
    """The token does not open this shell; the text is the daemon's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellSession:
    """One issued token."""

    token: str
    deployment_id: str
    principal: str
    expires_at_s: float


class ShellSessions:
    """All sessions of one daemon."""

    def __init__(self, *, clock: Clock, ttl_s: float, sessions_max: int = SESSIONS_MAX) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._sessions_max = sessions_max
        # Every session lives equally long, so the first one is the next to expire.
        self._sessions: dict[str, ShellSession] = {}

    def issue(self, deployment_id: str, principal: str) -> ShellSession:
        """A new session with a random token."""
        self._forget()
        session = ShellSession(
            token=secrets.token_hex(TOKEN_BYTES),
            deployment_id=deployment_id,
            principal=principal,
            expires_at_s=self._clock.wall_at_s() + self._ttl_s,
        )
        self._sessions[session.token] = session
        return session

    def check(self, token: str, deployment_id: str, principal: str) -> ShellSession:
        """The session that `token` opens; SessionRefused if it is unknown, another's, or over."""
        session = self._sessions.get(token)
        if session is None:
            raise SessionRefused("invalid session token")
        if session.principal != principal:
            raise SessionRefused("session principal mismatch")
        if session.deployment_id != deployment_id:
            raise SessionRefused("session deployment mismatch")
        if self.is_over(session):
            raise SessionRefused("session expired")
        return session

    def is_over(self, session: ShellSession) -> bool:
        """True once the session's time has passed."""
        return self._clock.wall_at_s() > session.expires_at_s

    def _forget(self) -> None:
        while self._sessions:
            token, oldest = next(iter(self._sessions.items()))
            if not self.is_over(oldest) and len(self._sessions) < self._sessions_max:
                return
            del self._sessions[token]
