"""Is each endpoint up, several times a second: nodes, the API, providers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from bundle import TableWriter
from observers.observer import ticks
from target.errors import TargetError
from target.http import HttpClient
from target.rpc import RpcClient
from target.target import Api, Node, Provider

PROBE_LIMIT_S = 1.0
"""A health check that takes longer has failed."""
_SLOW_PERIOD_S = 1.0  # peers and mempool


class EndpointHealth:
    """Watches one URL: 200 within a second is healthy."""

    def __init__(self, name: str, kind: str, url: str, path: str, probes: TableWriter, period_s: float) -> None:
        self.name = f"health of {name}"
        self._endpoint, self._kind, self._path = name, kind, path
        self._client = HttpClient(url, timeout_s=PROBE_LIMIT_S)
        self._probes, self._period_s = probes, period_s

    def run(self, stop: threading.Event) -> None:
        for at_s in ticks(stop, self._period_s):
            start, detail, healthy = time.monotonic(), None, False
            try:
                answer = self._client.get(self._path)
                healthy = answer.status == 200
                detail = None if healthy else f"HTTP {answer.status}"
            except TargetError as error:
                detail = error.why
            self._probes.append(
                at_s=at_s,
                endpoint=self._endpoint,
                kind=self._kind,
                probe="health",
                ok=healthy,
                latency_ms=(time.monotonic() - start) * 1000,
                detail=detail,
            )


class NodeStatusWatch:
    """Watches what a node says of itself: height and catching up often, peers and mempool once a second."""

    def __init__(self, node: Node, probes: TableWriter, period_s: float) -> None:
        self.name = f"status of {node.name}"
        self._node = node
        self._rpc = RpcClient(node.rpc_url, timeout_s=PROBE_LIMIT_S)
        self._probes, self._period_s = probes, period_s

    def run(self, stop: threading.Event) -> None:
        slow_due = time.monotonic()
        for at_s in ticks(stop, self._period_s):
            self._record(at_s, "status", self._status)
            if time.monotonic() >= slow_due:
                slow_due = time.monotonic() + _SLOW_PERIOD_S
                self._record(time.time(), "peers", self._peers)

    def _status(self) -> dict[str, Any]:
        status = self._rpc.status()
        return {"height": status.height, "catching_up": status.catching_up}

    def _peers(self) -> dict[str, Any]:
        return {"peers": self._rpc.peer_count(), "mempool_txs": self._rpc.mempool_count()}

    def _record(self, at_s: float, probe: str, ask: Callable[[], dict[str, Any]]) -> None:
        start = time.monotonic()
        row: dict[str, Any] = {}
        detail = None
        try:
            row = ask()
        except TargetError as error:
            detail = error.why
        self._probes.append(
            at_s=at_s,
            endpoint=self._node.name,
            kind="node",
            probe=probe,
            ok=detail is None,
            latency_ms=(time.monotonic() - start) * 1000,
            detail=detail,
            **row,
        )


def node_health(node: Node, probes: TableWriter, period_s: float) -> EndpointHealth:
    """Return the watch over a node's `/health`, which is SLI-NODE-001's definition of up."""
    return EndpointHealth(node.name, "node", node.rpc_url, "/health", probes, period_s)


def api_health(api: Api, probes: TableWriter, period_s: float) -> EndpointHealth | None:
    """Return the watch over an API entrance; None when it has no REST."""
    if api.rest_url is None:
        return None
    return EndpointHealth(api.name, "api", api.rest_url, "/cosmos/base/tendermint/v1beta1/node_info", probes, period_s)


def provider_health(provider: Provider, probes: TableWriter, period_s: float) -> EndpointHealth:
    """Return the watch over a provider's `/health`."""
    return EndpointHealth(provider.name, "provider", provider.url, "/health", probes, period_s)
