"""The vault over HTTP, and the bounds of its memory."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from devnet.provider.auth import hmac_message, hmac_signature
from devnet.provider.embedded import Address, Answer, ManualClock, embedded, options_for
from devnet.provider.vault import PAYLOAD_BYTES_MAX, Upload, Vault, VaultBroken
from devnet.provider.vault_audit import AuditEvent, AuditFilter, AuditTrail
from devnet.provider.vault_keys import Scope, new_key, seal, unseal

SECRET = "portal secret"
BLOBS = "/api/v1/vault/blobs"
CONTENT = b"twelve bytes"


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def portal(time: ManualClock) -> Iterator[Address]:
    with embedded(options_for(portal_auth_secret=SECRET), time.clock) as address:
        yield address


def upload(portal: Address, content: bytes = CONTENT, **fields: Any) -> Answer:
    body = {"scope": "market", "payload_base64": base64.b64encode(content).decode()} | fields
    return portal.call("POST", BLOBS, body=body)


def uploaded_id(portal: Address, **fields: Any) -> str:
    answer = upload(portal, **fields)
    assert answer.status == 201
    return str(answer.json["metadata"]["id"])


def as_bob(time: ManualClock, method: str, path: str, query: str = "") -> dict[str, str]:
    """Headers of a request by another principal."""
    timestamp = str(int(time.wall_at_s))
    message = hmac_message(method=method, path=path, raw_query=query, principal="bob", timestamp=timestamp)
    return {"X-VE-Principal": "bob", "X-VE-Timestamp": timestamp, "X-VE-Signature": hmac_signature(SECRET, message)}


def test_a_blob_is_stored_read_and_deleted(portal: Address) -> None:
    created = upload(portal)
    assert created.status == 201
    metadata = created.json["metadata"]
    assert metadata == {
        "id": metadata["id"],
        "scope": "market",
        "key_id": metadata["key_id"],
        "key_version": 1,
        "content_hash": hashlib.sha256(CONTENT).hexdigest(),
        "size": len(CONTENT),
        "encrypted_size": len(CONTENT) + 28,
        "owner": "dev",
        "created_at": "2025-06-15T15:06:40Z",
        "backend": "memory",
    }
    path = f"{BLOBS}/{metadata['id']}"

    read = portal.call("GET", path)
    assert (read.status, read.json) == (
        200,
        {"data_base64": base64.b64encode(CONTENT).decode(), "metadata": metadata},
    )
    described = portal.call("GET", f"{path}/metadata")
    assert (described.status, described.json) == (200, metadata)

    deleted = portal.call("DELETE", path)
    assert (deleted.status, deleted.body) == (204, b"")
    for method, gone in (("GET", path), ("GET", f"{path}/metadata"), ("DELETE", path)):
        answer = portal.call(method, gone)
        assert (answer.status, answer.json) == (404, {"error": "blob not found"})


def test_optional_fields_come_back(portal: Address) -> None:
    given: dict[str, Any] = {
        "org_id": "o1",
        "retention_policy": "keep",
        "expires_at": "2030-01-01T00:00:00+02:00",
        "tags": {"colour": "red"},
    }
    metadata = upload(portal, **given).json["metadata"]
    assert {key: metadata[key] for key in given} == given


def test_content_base64_is_the_other_name(portal: Address) -> None:
    answer = portal.call("POST", BLOBS, body={"scope": " VEID ", "content_base64": "QQ=="})
    assert (answer.status, answer.json["metadata"]["scope"]) == (201, "veid")


def test_equal_contents_are_two_blobs(portal: Address) -> None:
    assert uploaded_id(portal) != uploaded_id(portal)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"scope": "market", "payload_base64": "bad@@@"}, 400, "invalid payload_base64"),
        ({"scope": "market", "payload_base64": "QQ"}, 400, "invalid payload_base64"),
        ({"scope": "market", "payload_base64": ""}, 400, "invalid payload_base64"),
        ({"scope": "market"}, 400, "invalid payload_base64"),
        ({"scope": "market", "payload_base64": 7}, 400, "invalid request body"),
        ({"scope": "market", "payload_base64": "QQ==", "tags": {"a": 1}}, 400, "invalid request body"),
        ({"scope": "market", "payload_base64": "QQ==", "recipients": "bob"}, 400, "invalid request body"),
        ({"scope": "market", "payload_base64": "QQ==", "expires_at": "soon"}, 400, "invalid expires_at"),
        (
            {"scope": "market", "payload_base64": "QQ==", "recipients": [{"public_key_base64": "@"}]},
            400,
            "invalid recipient public key",
        ),
        (b"{", 400, "invalid request body"),
        ({"scope": "secret", "payload_base64": "QQ=="}, 403, "invalid scope"),
        ({"payload_base64": "QQ=="}, 403, "invalid scope"),
        ({"scope": "audit", "payload_base64": "QQ=="}, 403, "Authorize: org required: unauthorized access"),
        (
            {"scope": "audit", "payload_base64": "QQ==", "org_id": "o1"},
            403,
            "Authorize: org membership required: unauthorized access",
        ),
    ],
)
def test_bad_uploads_are_refused(portal: Address, body: Any, status: int, error: str) -> None:
    answer = portal.call("POST", BLOBS, body=body)
    assert (answer.status, answer.json) == (status, {"error": error})


def test_ten_mebibytes_pass_and_one_byte_more_does_not(portal: Address) -> None:
    assert upload(portal, bytes(PAYLOAD_BYTES_MAX)).status == 201
    too_large = upload(portal, bytes(PAYLOAD_BYTES_MAX + 1))
    assert (too_large.status, too_large.json) == (413, {"error": "payload exceeds size limit"})


def test_a_body_beyond_all_reason_is_413_before_it_is_parsed(portal: Address) -> None:
    answer = portal.call("POST", BLOBS, body=b" " * (33 * 1024 * 1024))
    assert (answer.status, answer.json) == (413, {"error": "payload exceeds size limit"})


def test_another_principal_may_do_nothing(portal: Address, time: ManualClock) -> None:
    path = f"{BLOBS}/{uploaded_id(portal)}"
    for method, target in (("GET", path), ("GET", f"{path}/metadata"), ("DELETE", path)):
        answer = portal.call(method, target, headers=as_bob(time, method, target))
        assert (answer.status, answer.json) == (403, {"error": "Authorize: org required: unauthorized access"})
    assert portal.call("GET", path).status == 200


@pytest.mark.parametrize(("claimed", "reason"), [("", "org membership required"), ("o2", "org mismatch")])
def test_an_organization_does_not_help(portal: Address, time: ManualClock, claimed: str, reason: str) -> None:
    path = f"{BLOBS}/{uploaded_id(portal, org_id='o1')}"
    query = f"org_id={claimed}"
    answer = portal.call("GET", f"{path}?{query}", headers=as_bob(time, "GET", path, query))
    assert (answer.status, answer.json) == (403, {"error": f"Authorize: {reason}: unauthorized access"})


def test_an_expired_blob_has_metadata_but_no_content(portal: Address, time: ManualClock) -> None:
    blob_id = uploaded_id(portal, expires_at="2025-06-15T15:06:41Z")
    time.advance(1)
    assert portal.call("GET", f"{BLOBS}/{blob_id}").status == 200
    time.advance(1)
    expired = portal.call("GET", f"{BLOBS}/{blob_id}")
    assert (expired.status, expired.json) == (500, {"error": f"Retrieve: {blob_id}: blob expired"})
    assert portal.call("GET", f"{BLOBS}/{blob_id}/metadata").status == 200


def test_keys_are_listed_by_scope(portal: Address) -> None:
    listed = portal.call("GET", "/api/v1/vault/keys?scope=support")
    assert listed.status == 200
    (key,) = listed.json
    at = "2025-06-15T15:06:40Z"
    assert key == {
        "id": key["id"],
        "scope": "support",
        "version": 1,
        "status": "active",
        "created_at": at,
        "activated_at": at,
    }
    one = portal.call("GET", f"/api/v1/vault/keys/{key['id']}?scope=support")
    assert (one.status, one.json) == (200, key)
    assert upload(portal, scope="support").json["metadata"]["key_id"] == key["id"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("keys", 403, "invalid scope"),
        ("keys?scope=secret", 403, "invalid scope"),
        ("keys/k1", 403, "invalid scope"),
        ("keys?scope=audit", 403, "Authorize: org required: unauthorized access"),
        ("keys/k1?scope=veid", 500, "GetKeyMetadata: key not found: key k1 not found for scope veid"),
        ("audit", 403, "org_id required"),
        ("audit?requester=bob", 403, "org_id required"),
        ("audit?org_id=o1", 403, "not authorized for organization"),
        ("audit?requester=dev&start=x", 400, "invalid start"),
        ("audit?requester=dev&end=1.5", 400, "invalid end"),
        ("audit?requester=dev&limit=ten", 400, "invalid limit"),
    ],
)
def test_other_vault_refusals(portal: Address, path: str, status: int, error: str) -> None:
    answer = portal.call("GET", f"/api/v1/vault/{path}")
    assert (answer.status, answer.json) == (status, {"error": error})


def test_a_principal_sees_its_own_events(portal: Address, time: ManualClock) -> None:
    blob_id = uploaded_id(portal)
    portal.call("GET", f"{BLOBS}/{blob_id}?purpose=test&reason=why")
    portal.call("GET", f"{BLOBS}/{blob_id}", headers=as_bob(time, "GET", f"{BLOBS}/{blob_id}"))
    portal.call("DELETE", f"{BLOBS}/{blob_id}")
    portal.call("DELETE", f"{BLOBS}/{blob_id}")

    events = portal.call("GET", "/api/v1/vault/audit?requester=dev").json["events"]
    assert [(event["event_type"], event["success"]) for event in events] == [
        ("upload", True),
        ("read", True),
        ("delete", True),
        ("delete", False),
    ]
    assert events[0]["metadata"] == {"size": str(len(CONTENT))}
    assert events[1]["metadata"] == {"purpose": "test", "reason": "why"}
    assert events[3]["error"] == f"GetMetadata: {blob_id}: blob not found"
    assert "previous_hash" not in events[0]
    assert events[1]["previous_hash"] == events[0]["hash"]
    first = portal.call("GET", f"/api/v1/vault/audit?requester=dev&limit=1&blob_id={blob_id}").json["events"]
    assert first == events[:1]
    later = portal.call("GET", f"/api/v1/vault/audit?requester=dev&start={int(time.wall_at_s) + 1}")
    assert later.json == {"events": []}


def test_the_store_has_a_bound(time: ManualClock) -> None:
    vault = Vault(clock=time.clock, store_bytes_max=100)
    small = Upload(scope=Scope.MARKET, payload=bytes(40), owner="dev")
    first = vault.upload(small)
    with pytest.raises(VaultBroken, match="storage backend error"):
        vault.upload(small)
    vault.delete(first.id, "dev")
    vault.upload(small)


def test_the_trail_has_a_bound_and_keeps_its_chain(time: ManualClock) -> None:
    trail = AuditTrail(clock=time.clock, events_max=3)
    for number in range(5):
        trail.append(AuditEvent(event_type="read", blob_id=str(number), scope="market", requester="dev"))
    kept = trail.find(AuditFilter())
    assert [event.blob_id for event in kept] == ["2", "3", "4"]
    assert kept[1].previous_hash == kept[0].hash


def test_a_changed_bit_is_noticed(time: ManualClock) -> None:
    key = new_key(Scope.VEID, time.wall_at_s)
    sealed = seal(key, CONTENT)
    assert CONTENT not in sealed
    assert unseal(key, sealed) == CONTENT
    with pytest.raises(ValueError):
        unseal(key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
