"""The three ways to authenticate, each good and bad, over HTTP with a clock that stands still."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest
from coincurve import PrivateKey

from devnet.provider.auth import (
    address_of,
    body_hash,
    hmac_message,
    hmac_signature,
    request_data,
    sign_doc,
)
from devnet.provider.embedded import Address, Answer, ManualClock, embedded, options_for
from devnet.provider.nonces import NonceStore

CHAIN = "virtengine-devnet-1"
SECRET = "portal secret"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = PrivateKey(bytes(31) + b"\x01")
OTHER_KEY = PrivateKey(bytes(31) + b"\x02")


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def strict(time: ManualClock) -> Iterator[Address]:
    """A stand-in that lets nobody in without proof."""
    options = options_for(portal_allow_insecure="false", portal_auth_secret=SECRET, chain_id=CHAIN)
    with embedded(options, time.clock) as address:
        yield address


# What is signed


def test_the_signed_data_has_five_keys_in_this_order() -> None:
    data = request_data(method="post", path="/api/v1/tickets", timestamp_ms=1750000000000, nonce="n1", body_hash="ab")
    assert data == (
        b'{"method":"POST","path":"/api/v1/tickets","timestamp":1750000000000,"nonce":"n1","body_hash":"ab"}'
    )


def test_the_sign_document_is_adr36_with_sorted_keys() -> None:
    assert sign_doc(chain_id="c-1", address="ve1x", data=b"{}") == (
        b'{"account_number":"0","chain_id":"c-1","fee":{"amount":[],"gas":"0"},"memo":"",'
        b'"msgs":[{"type":"sign/MsgSignData","value":{"data":"e30=","signer":"ve1x"}}],"sequence":"0"}'
    )


def test_the_hmac_message_is_five_lines() -> None:
    message = hmac_message(method="GET", path="/p", raw_query="a=%20b", principal="alice", timestamp="17")
    assert message == b"GET\n/p\na=%20b\nalice\n17"
    assert hmac_signature("s", message) == hmac.new(b"s", message, hashlib.sha256).hexdigest()


# Wallet


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A wallet's request; what is claimed may be changed after signing."""

    at_s: float
    method: str = "GET"
    path: str = "/api/v1/tickets"
    body: bytes = b""
    nonce: str = "0123456789abcdef"
    key: PrivateKey = field(default=KEY, repr=False)
    chain_id: str = CHAIN

    def headers(self) -> dict[str, str]:
        """The five headers, properly signed."""
        timestamp_ms = round(self.at_s * 1000)
        public_key = self.key.public_key.format(compressed=True)
        address = address_of(public_key)
        data = request_data(
            method=self.method,
            path=self.path,
            timestamp_ms=timestamp_ms,
            nonce=self.nonce,
            body_hash=body_hash(self.body),
        )
        document = sign_doc(chain_id=self.chain_id, address=address, data=data)
        signature = self.key.sign_recoverable(document)[:64]
        return {
            "X-VE-Address": address,
            "X-VE-Timestamp": str(timestamp_ms),
            "X-VE-Nonce": self.nonce,
            "X-VE-Signature": base64.b64encode(signature).decode(),
            "X-VE-PubKey": base64.b64encode(public_key).decode(),
        }

    def send(self, portal: Address, **changed: str) -> Answer:
        """The answer to the request with some headers changed after signing; names with underscores for dashes."""
        headers = self.headers() | {name.replace("_", "-"): value for name, value in changed.items()}
        return portal.call(self.method, self.path, body=self.body or None, headers=headers)


@pytest.fixture
def signed(time: ManualClock) -> Signed:
    return Signed(at_s=time.wall_at_s)


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and error text."""
    return answer.status, answer.json["error"]


def test_a_wallet_request_passes(strict: Address, signed: Signed) -> None:
    answer = signed.send(strict)
    assert (answer.status, answer.json) == (200, [])


def test_a_wallet_signs_its_body(strict: Address, signed: Signed) -> None:
    body = b'{ "description":"d <b>", "deployment_id":"1","subject":"s", "x":1.50 }'
    posted = replace(signed, method="POST", body=body)
    assert refusal(posted.send(strict)) == (500, "ticket creation not supported")


def test_layout_of_a_json_body_is_not_signed(strict: Address, signed: Signed) -> None:
    posted = replace(signed, method="POST", body=b'{"message":"m"}', path="/api/v1/tickets/1/comments")
    loose = strict.call("POST", posted.path, body=b'{\n "message": "m"\n}', headers=posted.headers())
    assert refusal(loose) == (500, "ticket comments not supported")


def test_a_wallet_may_use_the_query(strict: Address, signed: Signed) -> None:
    headers = signed.headers()
    names = {
        "ve_address": "Address",
        "ve_ts": "Timestamp",
        "ve_nonce": "Nonce",
        "ve_sig": "Signature",
        "ve_pub": "PubKey",
    }
    query = urlencode({name: headers[f"X-VE-{header}"] for name, header in names.items()})
    assert strict.call("GET", f"{signed.path}?{query}").status == 200


def test_the_query_is_not_signed_by_a_wallet(strict: Address, signed: Signed) -> None:
    assert strict.call("GET", f"{signed.path}?status=open", headers=signed.headers()).status == 200


def test_the_path_is_signed_decoded(strict: Address, signed: Signed) -> None:
    request = replace(signed, path="/api/v1/tickets/a b")
    answer = strict.call("GET", "/api/v1/tickets/a%20b", headers=request.headers())
    assert refusal(answer) == (404, "ticket not found")


def test_a_nonce_passes_once(strict: Address, signed: Signed, time: ManualClock) -> None:
    assert signed.send(strict).status == 200
    assert refusal(signed.send(strict)) == (401, "nonce already used")
    time.advance(299)
    assert refusal(signed.send(strict)) == (401, "nonce already used")
    assert replace(signed, nonce="another").send(strict).status == 200


def test_a_nonce_belongs_to_one_address(strict: Address, signed: Signed) -> None:
    assert signed.send(strict).status == 200
    assert replace(signed, key=OTHER_KEY).send(strict).status == 200


def test_a_forged_request_does_not_use_up_the_nonce(strict: Address, signed: Signed) -> None:
    forged = base64.b64encode(bytes(63) + b"\x01").decode()
    assert refusal(signed.send(strict, X_VE_Signature=forged)) == (401, "signature verification failed")
    assert signed.send(strict).status == 200


@pytest.mark.parametrize("age_s", [0.0, 300.0, -60.0])
def test_age_limits_are_included(strict: Address, signed: Signed, age_s: float) -> None:
    assert replace(signed, at_s=signed.at_s - age_s).send(strict).status == 200


@pytest.mark.parametrize(
    ("age_s", "error"), [(300.001, "request timestamp too old"), (-60.001, "request timestamp in future")]
)
def test_other_ages_are_refused(strict: Address, signed: Signed, age_s: float, error: str) -> None:
    assert refusal(replace(signed, at_s=signed.at_s - age_s).send(strict)) == (401, error)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/api/v1/organizations"},
        {"method": "PATCH"},
        {"nonce": "n2"},
        {"body": b'{"a":1}'},
        {"chain_id": "virtengine-1"},
    ],
)
def test_a_signature_over_something_else_is_refused(strict: Address, signed: Signed, change: dict[str, Any]) -> None:
    elsewhere = replace(signed, **change).headers() | {"X-VE-Nonce": signed.nonce}
    answer = strict.call("GET", signed.path, headers=elsewhere)
    assert refusal(answer) == (401, "signature verification failed")


def test_a_changed_body_is_refused(strict: Address, signed: Signed) -> None:
    posted = replace(signed, method="POST", body=b'{"message":"m"}')
    answer = strict.call("POST", posted.path, body=b'{"message":"n"}', headers=posted.headers())
    assert refusal(answer) == (401, "signature verification failed")


def test_a_changed_timestamp_is_refused(strict: Address, signed: Signed) -> None:
    later = str(int(signed.at_s * 1000) + 1)
    assert refusal(signed.send(strict, X_VE_Timestamp=later)) == (401, "signature verification failed")


def test_another_wallets_key_is_refused(strict: Address, signed: Signed) -> None:
    other = replace(signed, key=OTHER_KEY).headers()
    with_key = signed.send(strict, X_VE_PubKey=other["X-VE-PubKey"])
    assert refusal(with_key) == (401, "address does not match public key")
    with_signature = signed.send(strict, X_VE_Signature=other["X-VE-Signature"])
    assert refusal(with_signature) == (401, "signature verification failed")


def test_the_high_s_of_a_signature_is_refused(strict: Address, signed: Signed) -> None:
    low = base64.b64decode(signed.headers()["X-VE-Signature"])
    high = low[:32] + (ORDER - int.from_bytes(low[32:], "big")).to_bytes(32, "big")
    answer = signed.send(strict, X_VE_Signature=base64.b64encode(high).decode())
    assert refusal(answer) == (401, "signature verification failed")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("header", "value", "error"),
    [
        ("X_VE_Timestamp", "soon", "invalid timestamp"),
        ("X_VE_Timestamp", "", "missing wallet authentication headers"),
        ("X_VE_Nonce", " ", "missing wallet authentication headers"),
        ("X_VE_Signature", "@@@", "invalid signature encoding"),
        ("X_VE_Signature", encoded(bytes(65)), "signature verification failed"),
        ("X_VE_Signature", encoded(b"\xff" * 64), "signature verification failed"),
        ("X_VE_PubKey", "@@@", "invalid public key encoding"),
        ("X_VE_PubKey", encoded(bytes(32)), "address does not match public key"),
        ("X_VE_Address", "cosmos1w508d6qejxtdg4y5r3zarvary0c5xw7k", "invalid address"),
        ("X_VE_Address", "ve1nonsense", "invalid address"),
    ],
)
def test_malformed_wallet_headers_are_refused(
    strict: Address, signed: Signed, header: str, value: str, error: str
) -> None:
    assert refusal(signed.send(strict, **{header: value})) == (401, error)


# HMAC


def hmac_headers(
    time: ManualClock, *, path: str = "/api/v1/tickets", raw_query: str = "", at_s: float | None = None
) -> dict[str, str]:
    """The three headers of a request by alice, properly signed."""
    timestamp = str(int(time.wall_at_s if at_s is None else at_s))
    message = hmac_message(method="GET", path=path, raw_query=raw_query, principal="alice", timestamp=timestamp)
    return {"X-VE-Principal": "alice", "X-VE-Timestamp": timestamp, "X-VE-Signature": hmac_signature(SECRET, message)}


def test_an_hmac_request_passes_and_may_be_repeated(strict: Address, time: ManualClock) -> None:
    headers = hmac_headers(time)
    assert [strict.call("GET", "/api/v1/tickets", headers=headers).status for _ in range(2)] == [200, 200]
    upper = headers | {"X-VE-Signature": headers["X-VE-Signature"].upper()}
    assert strict.call("GET", "/api/v1/tickets", headers=upper).status == 200


def test_hmac_covers_the_query_as_it_was_sent(strict: Address, time: ManualClock) -> None:
    query = "status=%6fpen&deployment_id=a+b"
    headers = hmac_headers(time, raw_query=query)
    assert strict.call("GET", f"/api/v1/tickets?{query}", headers=headers).status == 200
    tampered = strict.call("GET", "/api/v1/tickets?status=open&deployment_id=a+b", headers=headers)
    assert refusal(tampered) == (401, "invalid signature")


@pytest.mark.parametrize("skew_s", [-300, 0, 300])
def test_hmac_skew_limits_are_included(strict: Address, time: ManualClock, skew_s: int) -> None:
    headers = hmac_headers(time, at_s=time.wall_at_s + skew_s)
    assert strict.call("GET", "/api/v1/tickets", headers=headers).status == 200


@pytest.mark.parametrize("skew_s", [-301, 301])
def test_other_hmac_times_are_refused(strict: Address, time: ManualClock, skew_s: int) -> None:
    headers = hmac_headers(time, at_s=time.wall_at_s + skew_s)
    assert refusal(strict.call("GET", "/api/v1/tickets", headers=headers)) == (401, "request timestamp out of range")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"X-VE-Principal": "mallory"}, "invalid signature"),
        ({"X-VE-Signature": "00" * 32}, "invalid signature"),
        ({"X-VE-Signature": "é"}, "invalid signature"),
        ({"X-VE-Timestamp": "soon"}, "invalid timestamp"),
        ({"X-VE-Timestamp": ""}, "missing signed request headers"),
        ({"X-VE-Principal": ""}, "missing signed request headers"),
        ({"X-VE-Signature": ""}, "missing signed request headers"),
    ],
)
def test_bad_hmac_is_refused(strict: Address, time: ManualClock, change: dict[str, str], error: str) -> None:
    answer = strict.call("GET", "/api/v1/tickets", headers=hmac_headers(time) | change)
    assert refusal(answer) == (401, error)


def test_bytes_that_are_not_utf8_are_signed_as_they_are(strict: Address, time: ManualClock) -> None:
    timestamp = str(int(time.wall_at_s))
    path = "/api/v1/vault/blobs/%ff"
    message = b"\n".join((b"GET", b"/api/v1/vault/blobs/\xff", b"", b"b\xf6b", timestamp.encode()))
    headers = {
        "X-VE-Principal": "b\xf6b",  # http.client sends Latin-1
        "X-VE-Timestamp": timestamp,
        "X-VE-Signature": hmac_signature(SECRET, message),
    }
    assert refusal(strict.call("GET", path, headers=headers)) == (404, "blob not found")


def test_hmac_of_another_path_is_refused(strict: Address, time: ManualClock) -> None:
    headers = hmac_headers(time, path="/api/v1/usage")
    assert refusal(strict.call("GET", "/api/v1/tickets", headers=headers)) == (401, "invalid signature")


def test_hmac_without_a_secret_is_refused(time: ManualClock) -> None:
    with embedded(options_for(portal_allow_insecure="false"), time.clock) as portal:
        answer = portal.call("GET", "/api/v1/tickets", headers=hmac_headers(time))
        assert refusal(answer) == (401, "hmac secret not configured")


# Insecure, and which way counts


def owner_of_a_new_blob(portal: Address, headers: dict[str, str]) -> str:
    body = json.dumps({"scope": "market", "payload_base64": "QQ=="}).encode()
    answer = portal.call("POST", "/api/v1/vault/blobs", body=body, headers=headers)
    owner = answer.json["metadata"]["owner"]
    assert isinstance(owner, str)
    return owner


def test_insecure_requests_act_for_dev(time: ManualClock) -> None:
    with embedded(clock=time.clock) as portal:
        assert owner_of_a_new_blob(portal, {}) == "dev"
        # Without a secret, HMAC headers are not looked at, good or bad.
        assert (
            owner_of_a_new_blob(portal, {"X-VE-Principal": "alice", "X-VE-Timestamp": "1", "X-VE-Signature": "x"})
            == "dev"
        )


def test_a_secret_with_insecure_requests_allowed_checks_only_complete_hmac(time: ManualClock) -> None:
    with embedded(options_for(portal_auth_secret=SECRET), time.clock) as portal:
        assert owner_of_a_new_blob(portal, {"X-VE-Principal": "alice"}) == "dev"
        wrong = hmac_headers(time) | {"X-VE-Signature": "00"}
        assert refusal(portal.call("GET", "/api/v1/tickets", headers=wrong)) == (401, "invalid signature")


def test_a_wallet_counts_before_everything_else(time: ManualClock, signed: Signed) -> None:
    with embedded(options_for(portal_auth_secret=SECRET), time.clock) as portal:
        posted = replace(
            signed, method="POST", path="/api/v1/vault/blobs", body=b'{"scope": "market", "payload_base64": "QQ=="}'
        )
        headers = posted.headers() | {"X-VE-Principal": "alice"}
        assert owner_of_a_new_blob(portal, headers) == headers["X-VE-Address"]
        bad_wallet = hmac_headers(time) | {"X-VE-Address": "ve1nonsense"}
        assert portal.call("GET", "/api/v1/tickets", headers=bad_wallet).status == 401


@pytest.mark.parametrize("path", ["/api/v1/tickets", "/api/v1/usage", "/api/v1/vault/keys?scope=market"])
def test_without_proof_nobody_gets_in(strict: Address, path: str) -> None:
    assert refusal(strict.call("GET", path)) == (401, "missing signed request headers")


@pytest.mark.parametrize("name", ["info", "pricing", "capacity", "attributes"])
def test_provider_data_needs_no_proof_but_checks_a_given_one(strict: Address, name: str) -> None:
    path = f"/api/v1/provider/{name}"
    assert strict.call("GET", path).status == 200
    assert strict.call("GET", path, headers={"X-VE-Principal": "alice"}).status == 401
    assert strict.call("GET", f"{path}?principal=alice").status == 401
    assert strict.call("GET", path, headers={"X-VE-Address": "ve1x"}).status == 401


def test_the_memory_for_nonces_has_a_bound(time: ManualClock) -> None:
    store = NonceStore(clock=time.clock, nonces_max=3)
    for number in range(5):
        store.mark_seen(str(number), until_s=time.wall_at_s + 300)
    assert len(store) == 3
    assert [store.has_seen(str(number)) for number in range(5)] == [False, False, True, True, True]
    time.advance(301)
    store.mark_seen("late", until_s=time.wall_at_s + 300)
    assert len(store) == 1
