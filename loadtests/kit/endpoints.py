"""Several endpoints for one service, as a client behind a load balancer sees them.

Round robin over those that work. An endpoint that cannot be connected to, does not answer in time, or answers with
a server error over HTTP, is left out for a few seconds, then tried with one request (passive health checks, as
HAProxy and NGINX have them).
A request that could not be connected goes to the next endpoint; one that was sent is never sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

EJECTION_S = 5.0


class Named(Protocol):
    """Anything that is an endpoint."""

    @property
    def name(self) -> str: ...


E = TypeVar("E", bound=Named)


class EndpointPool(Generic[E]):
    """Chooses endpoints. Raises ValueError when made of none."""

    def __init__(self, endpoints: Sequence[E], *, ejection_s: float = EJECTION_S) -> None:
        if not endpoints:
            raise ValueError("the target has no endpoint of this kind")
        self._endpoints = list(endpoints)
        self._ejection_s = ejection_s
        self._out_until_s: dict[str, float] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._endpoints)

    def choose(self) -> E:
        """Return the next endpoint that is not left out; the one that comes back first when all are."""
        now = time.monotonic()
        for _ in self._endpoints:
            endpoint = self._endpoints[self._turn % len(self._endpoints)]
            self._turn += 1
            if self._out_until_s.get(endpoint.name, 0.0) <= now:
                if endpoint.name in self._out_until_s:
                    # Back on trial: others keep away until this one request has ended.
                    self._out_until_s[endpoint.name] = now + self._ejection_s
                return endpoint
        return min(self._endpoints, key=lambda endpoint: self._out_until_s[endpoint.name])

    def worked(self, endpoint: E) -> None:
        """Take note that the endpoint answered."""
        self._out_until_s.pop(endpoint.name, None)

    def failed(self, endpoint: E) -> None:
        """Take note that the endpoint did not connect, or did not answer as it should: leave it out for a while."""
        self._out_until_s[endpoint.name] = time.monotonic() + self._ejection_s
