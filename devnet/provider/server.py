"""The HTTP server: every route with its guard, the rate limit before them, start and stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from devnet.provider import portal
from devnet.provider.answers import Refused, json_error, plain_error
from devnet.provider.auth import Authenticator
from devnet.provider.clock import SYSTEM_CLOCK, Clock
from devnet.provider.flags import Options
from devnet.provider.guards import Guard, Handler
from devnet.provider.ratelimit import RateLimiter
from devnet.provider.sessions import ShellSessions
from devnet.provider.stream import Streams, in_plain_text
from devnet.provider.vault import Vault
from devnet.provider.vault_routes import VaultRoutes

API = "/api/v1"
# The real daemon names no server. Here the header tells a probe that it does not talk to the real one.
SERVER_NAME = "provider-daemon-stand-in"
# The real daemon reads a body of any size. 10 MiB of payload is 14 MiB of base64, so no proper request comes near.
BODY_BYTES_MAX = 32 * 1024 * 1024
STOP_TIMEOUT_S = 0.5
BACKLOG = 1024

Route = tuple[str, str, Handler]


class CannotListen(Exception):
    """The address cannot be bound; the text is one sentence."""


def build_app(options: Options, clock: Clock = SYSTEM_CLOCK) -> web.Application:
    """The application, with its own vault, sessions, nonces and rate-limit windows."""
    authenticator = Authenticator(
        chain_id=options.chain_id, secret=options.auth_secret, allow_insecure=options.allow_insecure, clock=clock
    )
    guard = Guard(authenticator)
    sessions = ShellSessions(clock=clock, ttl_s=options.shell_session_ttl_s)
    streams = Streams(options=options, guard=guard, sessions=sessions)
    routes = [*_health_routes(), *_stream_routes(streams), *_portal_routes(guard)]
    if options.vault_enabled:
        routes += _vault_routes(guard, VaultRoutes(vault=Vault(clock=clock)))
    app = web.Application(middlewares=[_edge(RateLimiter(clock=clock))], client_max_size=BODY_BYTES_MAX)
    for method, path, handler in routes:
        app.router.add_route(method, path, handler)
    app.on_shutdown.append(streams.close_all)
    return app


async def start(options: Options, clock: Clock = SYSTEM_CLOCK) -> web.AppRunner:
    """A runner that accepts connections; its owner calls `cleanup`. CannotListen if the address cannot be bound."""
    runner = web.AppRunner(build_app(options, clock), access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    site = web.TCPSite(runner, options.listen_host or None, options.listen_port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as problem:
        await runner.cleanup()
        # asyncio wraps the reason in a sentence with a tuple in it; the last part is the system's own text.
        reason = (problem.strerror or str(problem)).rpartition(": ")[2]
        raise CannotListen(f"cannot listen on {options.listen_host}:{options.listen_port}: {reason}") from problem
    return runner


async def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then stop within a second; CannotListen if the address cannot be bound.

    `announce` gets one line with the address once connections are accepted.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = await start(options)
    try:
        host, port = runner.addresses[0][:2]
        announce(f"provider-daemon stand-in: portal API on http://{f'[{host}]' if ':' in host else host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()


async def show_health(_request: web.Request) -> web.StreamResponse:
    """200 `ok`: the process answers. It says nothing about the chain, in the real daemon either."""
    return web.Response(text="ok")


def _edge(limiter: RateLimiter) -> Middleware:
    """The middleware around every request: unknown paths, the rate limit, refusals, headers."""

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        unmatched = request.match_info.http_exception
        headers = {"Server": SERVER_NAME}
        if unmatched is not None:
            # The real router finds a route first; what has none is not counted.
            answer: web.StreamResponse = _unmatched_answer(unmatched.status)
        elif not request.path.startswith(f"{API}/"):
            answer = await _answered(request, handler)
        else:
            decision = limiter.admit(request.remote or "")
            headers.update(decision.headers)
            if decision.allowed:
                answer = await _answered(request, handler)
            else:
                answer = json_error(429, "rate limit exceeded")
        if not answer.prepared:  # A WebSocket has sent its headers long ago.
            answer.headers.update(headers)
        return answer

    return edge


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return json_error(refusal.status, refusal.text)
    except web.HTTPRequestEntityTooLarge:
        return json_error(413, "payload exceeds size limit")


def _unmatched_answer(status: int) -> web.Response:
    """404 as Go's mux writes it; 405 without a body."""
    return plain_error(404, "404 page not found") if status == 404 else web.Response(status=status)


def _health_routes() -> list[Route]:
    return [("GET", "/health", show_health), ("GET", f"{API}/health", show_health)]


def _stream_routes(streams: Streams) -> list[Route]:
    deployment = "/deployments/{deployment_id}"
    return [
        (method, f"{prefix}{deployment}/{path}", in_plain_text(handler))
        for prefix in ("", API)
        for method, path, handler in (
            ("GET", "logs", streams.logs),
            ("POST", "shell/session", streams.issue_session),
            ("GET", "shell", streams.shell),
        )
    ]


def _show_provider(name: str) -> Handler:
    async def show(_request: web.Request) -> web.StreamResponse:
        return portal.provider_answer(name)

    return show


def _portal_routes(guard: Guard) -> list[Route]:
    organization = f"{API}/organizations/{{organization_id}}"
    ticket = f"{API}/tickets/{{ticket_id}}"
    deployment = f"{API}/deployments/{{deployment_id}}"
    return [
        *(("GET", f"{API}/provider/{name}", guard.optional(_show_provider(name))) for name in portal.PROVIDER_ANSWERS),
        ("GET", f"{API}/organizations", guard.signed(portal.list_nothing)),
        ("GET", organization, guard.signed(portal.show_organization)),
        ("GET", f"{organization}/members", guard.signed(portal.list_nothing)),
        ("POST", f"{organization}/invite", guard.signed(portal.invite_member)),
        ("DELETE", f"{organization}/members/{{address}}", guard.signed(portal.remove_member)),
        ("GET", f"{API}/tickets", guard.signed(portal.list_nothing)),
        ("POST", f"{API}/tickets", guard.signed(portal.create_ticket)),
        ("GET", ticket, guard.signed(portal.show_ticket)),
        ("PATCH", ticket, guard.signed(portal.update_ticket)),
        ("POST", f"{ticket}/comments", guard.signed(portal.comment_on_ticket)),
        ("GET", f"{API}/invoices", guard.signed(portal.list_invoices)),
        ("GET", f"{API}/invoices/{{invoice_id}}", guard.signed(portal.show_invoice)),
        ("GET", f"{API}/usage", guard.signed(portal.show_usage)),
        ("GET", f"{API}/usage/history", guard.signed(portal.show_series)),
        ("GET", f"{deployment}/metrics", guard.leased(portal.show_deployment_metrics)),
        ("GET", f"{deployment}/metrics/history", guard.leased(portal.show_series)),
        ("GET", f"{deployment}/events", guard.leased(portal.list_events)),
        ("POST", f"{deployment}/actions", guard.leased(portal.act_on_deployment)),
        ("GET", f"{API}/metrics/aggregate", guard.signed(portal.show_series)),
    ]


def _vault_routes(guard: Guard, vault: VaultRoutes) -> list[Route]:
    blob = f"{API}/vault/blobs/{{blob_id}}"
    return [
        ("POST", f"{API}/vault/blobs", guard.signed(vault.upload)),
        ("GET", blob, guard.signed(vault.read)),
        ("GET", f"{blob}/metadata", guard.signed(vault.metadata)),
        ("DELETE", blob, guard.signed(vault.delete)),
        ("GET", f"{API}/vault/keys", guard.signed(vault.keys)),
        ("GET", f"{API}/vault/keys/{{key_id}}", guard.signed(vault.key)),
        ("GET", f"{API}/vault/audit", guard.signed(vault.audit)),
    ]
