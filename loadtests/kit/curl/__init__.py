"""libcurl on gevent's hub: what needs HTTP/2, proxies, redirects or cookies, and gRPC over HTTP/2."""

from loadtests.kit.curl.client import CurlAnswer, CurlClient, HttpVersion
from loadtests.kit.curl.failures import BadAnswer, Broken, CurlFailed, NotConnected, TimedOut, TooLarge
from loadtests.kit.curl.multi import CurlMulti, shared_multi
from loadtests.kit.curl.transfer import Transfer

__all__ = [
    "BadAnswer",
    "Broken",
    "CurlAnswer",
    "CurlClient",
    "CurlFailed",
    "CurlMulti",
    "HttpVersion",
    "NotConnected",
    "TimedOut",
    "TooLarge",
    "Transfer",
    "shared_multi",
]
