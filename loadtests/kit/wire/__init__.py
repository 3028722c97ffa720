"""HTTP/1.1 and TLS straight on gevent's hub: what the load clients send their requests with.

No redirects, cookies, proxies, compression or HTTP/2; `loadtests.kit.client` adds the first two and decompression.
"""

from loadtests.kit.wire.answers import Answer
from loadtests.kit.wire.errors import BadAnswer, Broken, NotConnected, TimedOut, TooLarge, WireError
from loadtests.kit.wire.headers import Headers
from loadtests.kit.wire.pool import CONNECT_LIMIT_S, CONNECTIONS_MAX, REQUEST_LIMIT_S, ConnectionPool

__all__ = [
    "CONNECTIONS_MAX",
    "CONNECT_LIMIT_S",
    "REQUEST_LIMIT_S",
    "Answer",
    "BadAnswer",
    "Broken",
    "ConnectionPool",
    "Headers",
    "NotConnected",
    "TimedOut",
    "TooLarge",
    "WireError",
]
