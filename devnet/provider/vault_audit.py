"""The vault's audit trail: who did what to which blob, each event chained to the one before by its hash.

Source: `pkg/data_vault/audit_logger.go`. In memory only.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from devnet.provider.canonical import go_json
from devnet.provider.clock import Clock
from devnet.provider.gotext import format_rfc3339

# The real trail grows without end; here the oldest events give way.
EVENTS_MAX = 10_000
_OMITTED_WHEN_EMPTY = frozenset({"org_id", "error", "previous_hash", "hash", "metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One access; `event_type` is upload, read, metadata or delete. `at_s` is Unix seconds."""

    event_type: str
    blob_id: str
    scope: str
    requester: str
    org_id: str = ""
    success: bool = True
    error: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    at_s: float = 0.0
    id: str = ""
    previous_hash: str = ""
    hash: str = ""

    def as_json(self) -> dict[str, Any]:
        """The event under its JSON names, empty optional ones left out."""
        named = asdict(self)
        named["timestamp"] = format_rfc3339(named.pop("at_s"))
        return {key: value for key, value in named.items() if value or key not in _OMITTED_WHEN_EMPTY}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events to return; empty fields match everything, times are whole Unix seconds, both ends included."""

    blob_id: str = ""
    scope: str = ""
    requester: str = ""
    org_id: str = ""
    start_s: int | None = None
    end_s: int | None = None
    limit: int = 0  # 0 or less: no limit

    def matches(self, event: AuditEvent) -> bool:
        """True if `event` passes every field that is set."""
        second = int(event.at_s)
        return (
            self.blob_id in ("", event.blob_id)
            and self.scope in ("", event.scope)
            and self.requester in ("", event.requester)
            and self.org_id in ("", event.org_id)
            and (self.start_s is None or second >= self.start_s)
            and (self.end_s is None or second <= self.end_s)
        )


class AuditTrail:
    """Events in the order in which they happened."""

    def __init__(self, *, clock: Clock, events_max: int = EVENTS_MAX) -> None:
        self._clock = clock
        self._events: deque[AuditEvent] = deque(maxlen=events_max)
        self._last_hash = ""

    def append(self, event: AuditEvent) -> None:
        """Add `event` with its time, its identifier and its place in the chain."""
        at_s = self._clock.wall_at_s()
        named = f"{event.event_type}:{event.blob_id}:{event.requester}:{format_rfc3339(at_s)}"
        identified = replace(
            event,
            at_s=at_s,
            # A principal or a path may hold bytes that are not UTF-8.
            id=hashlib.sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:16],
            previous_hash=self._last_hash,
        )
        self._last_hash = hashlib.sha256(go_json(identified.as_json())).hexdigest()
        self._events.append(replace(identified, hash=self._last_hash))

    def find(self, wanted: AuditFilter) -> list[AuditEvent]:
        """The oldest events that match, at most `wanted.limit` of them."""
        found = [event for event in self._events if wanted.matches(event)]
        return found[: wanted.limit] if wanted.limit > 0 else found
