"""Every route of the portal API that has nothing to remember: status, form and field names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devnet.provider.auth import hmac_message, hmac_signature
from devnet.provider.embedded import Address, ManualClock, embedded, options_for

SECRET = "portal secret"
RANGE = "start=2026-02-15T00:00:00Z&end=2026-02-15T01:00:00Z"
NO_PRICE = {"unit": "", "price": "", "interval": ""}
ZERO_TIME = "0001-01-01T00:00:00Z"
TICKET = {"deployment_id": "1", "subject": "s", "description": "d", "category": "technical", "priority": "low"}


@pytest.fixture(scope="module")
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def running(time: ManualClock) -> Iterator[Address]:
    with embedded(clock=time.clock) as address:
        yield address


@pytest.fixture
def portal(running: Address, time: ManualClock) -> Address:
    time.advance(60)  # A fresh window for each test, so that none is refused for the others' requests.
    return running


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_health_is_plain_ok(portal: Address, path: str) -> None:
    answer = portal.call("GET", path)
    assert (answer.status, answer.text) == (200, "ok")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Server"] == "provider-daemon-stand-in"


@pytest.mark.parametrize("path", ["/ready", "/metrics", "/status", "/", "/api/v1", "/api/v1/deployments", "/health/"])
def test_unknown_paths_are_404(portal: Address, path: str) -> None:
    answer = portal.call("GET", path)
    assert (answer.status, answer.text) == (404, "404 page not found\n")


@pytest.mark.parametrize(("method", "path"), [("POST", "/health"), ("HEAD", "/health"), ("PUT", "/api/v1/tickets")])
def test_wrong_methods_are_405_without_a_body(portal: Address, method: str, path: str) -> None:
    answer = portal.call(method, path)
    assert (answer.status, answer.body) == (405, b"")


EMPTY_ANSWERS: list[tuple[str, Any]] = [
    (
        "/api/v1/provider/info",
        {
            "address": "",
            "name": "",
            "version": "",
            "chain_id": "",
            "region": "",
            "endpoints": {"rest": "", "websocket": ""},
        },
    ),
    (
        "/api/v1/provider/pricing",
        {"currency": "", "cpu": NO_PRICE, "memory": NO_PRICE, "storage": NO_PRICE, "gpu": NO_PRICE},
    ),
    ("/api/v1/provider/capacity", {"cpu_cores": 0, "memory_gb": 0, "storage_gb": 0, "gpu_units": 0}),
    ("/api/v1/provider/attributes", {"attributes": None}),
    ("/api/v1/organizations", []),
    ("/api/v1/organizations/o1/members", []),
    ("/api/v1/tickets", []),
    ("/api/v1/invoices", {"invoices": []}),
    ("/api/v1/usage", {"period": {"start": ZERO_TIME, "end": ZERO_TIME}, "total_cost": "", "currency": ""}),
    (f"/api/v1/usage/history?{RANGE}&interval=1h", {"series": []}),
    (f"/api/v1/metrics/aggregate?{RANGE}", {"series": []}),
    (f"/api/v1/deployments/d1/metrics/history?{RANGE}", {"series": []}),
    ("/api/v1/deployments/d1/events", {"events": []}),
]


@pytest.mark.parametrize(("path", "content"), EMPTY_ANSWERS)
def test_data_is_empty(portal: Address, path: str, content: Any) -> None:
    answer = portal.call("GET", path)
    assert (answer.status, answer.json) == (200, content)
    assert answer.headers["Content-Type"] == "application/json"


REFUSALS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/api/v1/organizations/o1", None, 404, "organization not found"),
    (
        "POST",
        "/api/v1/organizations/o1/invite",
        {"address": "ve1x", "role": "admin"},
        403,
        "not authorized to invite members",
    ),
    ("DELETE", "/api/v1/organizations/o1/members/ve1x", None, 403, "not authorized to remove members"),
    ("GET", "/api/v1/tickets/t1", None, 404, "ticket not found"),
    ("POST", "/api/v1/tickets", TICKET, 500, "ticket creation not supported"),
    ("POST", "/api/v1/tickets", {"subject": "s"}, 400, "deployment_id, subject, and description are required"),
    ("POST", "/api/v1/tickets", {"deployment_id": 1}, 400, "invalid request body"),
    ("POST", "/api/v1/tickets", b"{", 400, "invalid request body"),
    ("POST", "/api/v1/tickets", b"", 400, "invalid request body"),
    ("POST", "/api/v1/tickets", [], 400, "invalid request body"),
    ("PATCH", "/api/v1/tickets/t1", {"status": "open"}, 500, "ticket updates not supported"),
    ("PATCH", "/api/v1/tickets/t1", {"status": 1}, 400, "invalid request body"),
    ("POST", "/api/v1/tickets/t1/comments", {"message": "m"}, 500, "ticket comments not supported"),
    ("POST", "/api/v1/tickets/t1/comments", b"null", 400, "message is required"),
    ("GET", "/api/v1/invoices/i1", None, 404, "invoice not found"),
    ("GET", "/api/v1/deployments/d1/metrics", None, 404, "deployment not found"),
    (
        "POST",
        "/api/v1/deployments/d1/actions",
        {"action": "Start"},
        403,
        "consent not granted for lifecycle action start",
    ),
    ("POST", "/api/v1/deployments/d1/actions", {"action": " "}, 400, "action required"),
    ("POST", "/api/v1/deployments/d1/actions", b"no", 400, "invalid request body"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "error"), REFUSALS)
def test_refusals_are_json(portal: Address, method: str, path: str, body: Any, status: int, error: str) -> None:
    answer = portal.call(method, path, body=body)
    assert (answer.status, answer.json) == (status, {"error": error})
    assert answer.headers["Content-Type"] == "application/json"


SERIES = ["/api/v1/usage/history", "/api/v1/metrics/aggregate", "/api/v1/deployments/d1/metrics/history"]
BAD_RANGES = [
    ("", "start and end are required"),
    ("start=2026-02-15T00:00:00Z", "start and end are required"),
    ("start=x&end=2026-02-15T00:00:00Z", "invalid start time"),
    ("start=2026-02-15T00:00:00Z&end=tomorrow", "invalid end time"),
    ("start=2026-02-15T00:00:00+01:00&end=2026-02-15T00:00:00Z", "invalid start time"),  # "+" means a space in a query
    ("start=2026-02-15T01:00:00Z&end=2026-02-15T00:00:00Z", "end must be after start"),
    (f"{RANGE}&interval=1", "invalid interval"),
    (f"{RANGE}&interval=-5m", "interval must be positive"),
]


@pytest.mark.parametrize("path", SERIES)
@pytest.mark.parametrize(("query", "error"), BAD_RANGES)
def test_series_need_a_time_range(portal: Address, path: str, query: str, error: str) -> None:
    answer = portal.call("GET", f"{path}?{query}")
    assert (answer.status, answer.json) == (400, {"error": error})


def test_a_range_of_no_length_is_proper(portal: Address) -> None:
    instant = "start=2026-02-15T00:00:00Z&end=2026-02-15T01:00:00%2B01:00"
    assert portal.call("GET", f"/api/v1/usage/history?{instant}").status == 200


LEASED: list[tuple[str, str, int]] = [
    ("GET", "/api/v1/deployments/d1/metrics", 404),
    ("GET", "/api/v1/deployments/d1/metrics/history", 400),
    ("GET", "/api/v1/deployments/d1/events", 200),
    ("POST", "/api/v1/deployments/d1/actions", 400),
]


@pytest.mark.parametrize(("method", "path", "insecure_status"), LEASED)
def test_a_principal_that_proved_itself_holds_no_lease(method: str, path: str, insecure_status: int) -> None:
    time = ManualClock()
    with embedded(options_for(portal_auth_secret=SECRET), time.clock) as portal:
        timestamp = str(int(time.wall_at_s))
        message = hmac_message(method=method, path=path, raw_query="", principal="alice", timestamp=timestamp)
        headers = {
            "X-VE-Principal": "alice",
            "X-VE-Timestamp": timestamp,
            "X-VE-Signature": hmac_signature(SECRET, message),
        }
        proved = portal.call(method, path, headers=headers)
        assert (proved.status, proved.json) == (403, {"error": "lease query unavailable"})
        assert portal.call(method, path).status == insecure_status


def test_the_chain_is_never_asked(portal: Address) -> None:
    # No node listens on the default address of these options, and health says ok all the same.
    assert portal.call("GET", "/health").text == "ok"


def test_a_disabled_vault_has_no_routes() -> None:
    with embedded(options_for(vault_enabled="false")) as portal:
        assert portal.call("POST", "/api/v1/vault/blobs", body={}).status == 404
        assert portal.call("GET", "/api/v1/vault/keys?scope=market").status == 404
