"""What stands before a handler: reading a request for authentication, and the lease check.

Handlers behind a guard take the request and the principal. A guard refuses with `Refused`; the caller picks the form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import unquote

from aiohttp import web

from devnet.provider.answers import Refused
from devnet.provider.auth import Authenticator, Incoming, Kind, Principal, Unauthenticated, is_identified

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SignedHandler = Callable[[web.Request, Principal], Awaitable[web.StreamResponse]]


class Guard:
    """Guards around one authenticator."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def principal(self, request: web.Request) -> Principal:
        """Whom the request acts for; Refused (401)."""
        incoming = await _incoming(request)
        try:
            return self._authenticator.authenticate(incoming)
        except Unauthenticated as problem:
            raise Refused(401, str(problem)) from problem

    async def lease_holder(self, request: web.Request) -> Principal:
        """The principal, if it may touch a deployment; Refused (401 or 403).

        The daemon's lease query is a no-op, so nobody can prove to hold a lease; insecure requests are not asked.
        """
        principal = await self.principal(request)
        if principal.kind is not Kind.INSECURE:
            raise Refused(403, "lease query unavailable")
        return principal

    def signed(self, handler: SignedHandler) -> Handler:
        """`handler` behind required authentication."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self.principal(request))

        return guarded

    def leased(self, handler: SignedHandler) -> Handler:
        """`handler` behind required authentication and the lease check."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await handler(request, await self.lease_holder(request))

        return guarded

    def optional(self, handler: Handler) -> Handler:
        """`handler`, behind authentication only for requests that name somebody."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if is_identified(_head(request)):
                await self.principal(request)
            return await handler(request)

        return guarded


def _head(request: web.Request) -> Incoming:
    """The request without its body."""
    # aiohttp normalizes the URL; signatures cover the path and query as they came.
    raw_path, _, raw_query = request.raw_path.partition("#")[0].partition("?")
    return Incoming(
        method=request.method,
        path=unquote(raw_path, errors="surrogateescape"),
        raw_query=raw_query,
        headers=request.headers,
        query=request.query,
    )


async def _incoming(request: web.Request) -> Incoming:
    """The request, with its body where a signature may cover it; aiohttp keeps the body for the handler."""
    head = _head(request)
    if not head.either("X-VE-Address", "ve_address"):
        return head
    return replace(head, body=await request.read())
