"""Where URLs lead: the connections of each origin, and what to ask it for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from loadtests.kit.wire import CONNECT_LIMIT_S, CONNECTIONS_MAX, ConnectionPool

KEPT_MAX = 4096
_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"  # what may stand in a URL, and % for what was quoted before


@dataclass(frozen=True, slots=True)
class Place:
    """One URL taken apart."""

    url: str
    endpoint: str
    """Host and port as written: the sample's endpoint."""
    target: str
    """Path and query, with everything else than visible ASCII quoted."""
    pool: ConnectionPool


class Origins:
    """Connections by origin, made when first used. Users may share one; it belongs to one thread."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        connect_limit_s: float = CONNECT_LIMIT_S,
    ) -> None:
        """`connections_max` counts for each origin. Without `tls` certificates are verified."""
        self._tls = tls
        self._connect_limit_s = connect_limit_s
        self._connections_max = connections_max
        self._pools: dict[tuple[str, str], ConnectionPool] = {}
        self._places: dict[str, Place] = {}

    def place(self, url: str) -> Place:
        """Return where a URL leads. Raises ValueError for one that is none of http or https."""
        return self._places.get(url) or self._take_apart(url)

    def _take_apart(self, url: str) -> Place:
        parts = urlsplit(url)
        endpoint = parts.netloc.rpartition("@")[2]
        origin = (parts.scheme, endpoint)
        if origin not in self._pools:
            self._pools[origin] = ConnectionPool(
                f"{parts.scheme}://{endpoint}",
                tls=self._tls,
                connections_max=self._connections_max,
                connect_limit_s=self._connect_limit_s,
            )
        query = f"?{parts.query}" if parts.query else ""
        target = quote((parts.path or "/") + query, safe=_AS_IT_IS)
        if len(self._places) >= KEPT_MAX:
            self._places.clear()
        whole = parts._replace(fragment="").geturl()
        place = self._places[url] = Place(whole, endpoint, target, self._pools[origin])
        return place

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
