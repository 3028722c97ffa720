"""The routes whose data would come from the chain, over the daemon's no-op chain query: empty, missing or refused.

Source: `pkg/provider_daemon/portal_*.go` with `NoopChainQuery` (portal_chain_query.go). Each handler takes the
request and the authenticated principal.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from devnet.provider.answers import Refused, json_answer
from devnet.provider.auth import Principal
from devnet.provider.bodies import decode_object
from devnet.provider.gotext import ZERO_TIME, parse_duration_s, parse_rfc3339

_NO_PRICE = {"unit": "", "price": "", "interval": ""}
# Zero values of the Go structs; a nil map is null.
PROVIDER_ANSWERS: dict[str, dict[str, Any]] = {
    "info": {
        "address": "",
        "name": "",
        "version": "",
        "chain_id": "",
        "region": "",
        "endpoints": {"rest": "", "websocket": ""},
    },
    "pricing": {"currency": "", "cpu": _NO_PRICE, "memory": _NO_PRICE, "storage": _NO_PRICE, "gpu": _NO_PRICE},
    "capacity": {"cpu_cores": 0, "memory_gb": 0, "storage_gb": 0, "gpu_units": 0},
    "attributes": {"attributes": None},
}
NO_USAGE = {"period": {"start": ZERO_TIME, "end": ZERO_TIME}, "total_cost": "", "currency": ""}


async def list_nothing(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """200 with an empty list: organizations, members, tickets."""
    return json_answer([])


async def list_invoices(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """200 with no invoices and no cursor."""
    return json_answer({"invoices": []})


async def list_events(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """200 with no events and no cursor."""
    return json_answer({"events": []})


async def show_organization(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """404."""
    raise Refused(404, "organization not found")


async def show_ticket(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """404."""
    raise Refused(404, "ticket not found")


async def show_invoice(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """404."""
    raise Refused(404, "invoice not found")


async def show_deployment_metrics(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """404."""
    raise Refused(404, "deployment not found")


async def show_usage(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """200 with a summary of nothing."""
    return json_answer(NO_USAGE)


async def show_series(request: web.Request, _principal: Principal) -> web.StreamResponse:
    """200 with an empty series: usage, metrics of a deployment, metrics of all; 400 without a proper time range."""
    check_time_range(request)
    return json_answer({"series": []})


async def invite_member(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """403 before the body is read: nobody administers an organization that the chain query does not know."""
    raise Refused(403, "not authorized to invite members")


async def remove_member(_request: web.Request, _principal: Principal) -> web.StreamResponse:
    """403, for the same reason."""
    raise Refused(403, "not authorized to remove members")


async def create_ticket(request: web.Request, _principal: Principal) -> web.StreamResponse:
    """500 for a proper ticket, 400 for any other."""
    fields = decode_object(await request.read())
    needed = [fields.text(key) for key in ("deployment_id", "subject", "description")]
    for key in ("category", "priority"):
        fields.text(key)
    if not all(needed):
        raise Refused(400, "deployment_id, subject, and description are required")
    raise Refused(500, "ticket creation not supported")


async def update_ticket(request: web.Request, _principal: Principal) -> web.StreamResponse:
    """500 for a proper change, 400 for any other."""
    fields = decode_object(await request.read())
    for key in ("status", "priority"):
        fields.text(key)
    raise Refused(500, "ticket updates not supported")


async def comment_on_ticket(request: web.Request, _principal: Principal) -> web.StreamResponse:
    """500 for a proper comment, 400 for any other."""
    if not decode_object(await request.read()).text("message"):
        raise Refused(400, "message is required")
    raise Refused(500, "ticket comments not supported")


async def act_on_deployment(request: web.Request, _principal: Principal) -> web.StreamResponse:
    """403 for any named action, since nobody has given consent; 400 without one."""
    action = decode_object(await request.read()).text("action").strip().lower()
    if not action:
        raise Refused(400, "action required")
    raise Refused(403, f"consent not granted for lifecycle action {action}")


def provider_answer(name: str) -> web.Response:
    """200 with the empty values of `info`, `pricing`, `capacity` or `attributes`."""
    return json_answer(PROVIDER_ANSWERS[name])


def check_time_range(request: web.Request) -> None:
    """Return if `start`, `end` and the optional `interval` are proper, else Refused (400)."""
    start_text, end_text = (request.query.get(name, "").strip() for name in ("start", "end"))
    if not (start_text and end_text):
        raise Refused(400, "start and end are required")
    try:
        start = parse_rfc3339(start_text)
    except ValueError as problem:
        raise Refused(400, "invalid start time") from problem
    try:
        end = parse_rfc3339(end_text)
    except ValueError as problem:
        raise Refused(400, "invalid end time") from problem
    if end < start:
        raise Refused(400, "end must be after start")
    interval_text = request.query.get("interval", "").strip()
    if not interval_text:
        return
    try:
        interval_s = parse_duration_s(interval_text)
    except ValueError as problem:
        raise Refused(400, "invalid interval") from problem
    if interval_s <= 0:
        raise Refused(400, "interval must be positive")
