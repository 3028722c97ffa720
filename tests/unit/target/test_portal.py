"""Requests to a provider's portal API, against the stand-in: each way to authenticate is taken, a wrong one is not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from devnet.provider.embedded import embedded, options_for
from target.file import PortalAuth
from target.http import HttpAnswer, HttpClient
from target.keys import derive_accounts
from target.portal import portal_headers
from target.target import Provider

CHAIN = "virtengine-devnet-1"
ALICE, BOB = derive_accounts("abandon " * 11 + "about", prefix="ve", count=2)
INSECURE = Provider(name="p", url="", auth=PortalAuth.INSECURE, principal="harness", secret=None, wallet=None)
HMAC = replace(INSECURE, auth=PortalAuth.HMAC, secret="s3cret")
WALLET = replace(INSECURE, auth=PortalAuth.WALLET, wallet=ALICE)
LIST = "/api/v1/organizations"
TICKETS = "/api/v1/tickets"
ORDER = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)
TICKET: dict[str, Any] = {"deployment_id": "d", "subject": "s", "description": "text"}


@contextmanager
def portal(**flags: str) -> Iterator[HttpClient]:
    """Give a client of a stand-in with these flags."""
    with embedded(options_for(**flags)) as address:
        client = HttpClient(address.url)
        yield client
        client.close()


def ask(
    client: HttpClient,
    provider: Provider,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    chain_id: str = CHAIN,
) -> HttpAnswer:
    headers, content = portal_headers(provider, method, path, body, chain_id=chain_id)
    return client.request(method, path, body=content or None, headers=headers)


SECURE = {"portal_auth_secret": "s3cret", "portal_allow_insecure": "false"}
"""A portal that takes HMAC with this secret, or wallets, and nothing without a signature."""


@pytest.mark.parametrize(
    ("provider", "flags"),
    [
        (INSECURE, {"portal_allow_insecure": "true"}),
        (HMAC, SECURE),
        (WALLET, SECURE),
        (WALLET, {"portal_allow_insecure": "true"}),
    ],
    ids=["insecure", "hmac", "wallet", "wallet where nothing is needed"],
)
def test_each_way_of_authentication_is_taken(provider: Provider, flags: dict[str, str]) -> None:
    """With and without query, with and without body: the answer comes from the handler, not from the guard."""
    with portal(**flags) as client:
        assert ask(client, provider, "GET", LIST).status == 200
        assert ask(client, provider, "get", f"{LIST}?limit=5&cursor=a%20b").status == 200
        told = ask(client, provider, "POST", TICKETS, TICKET)
        assert (told.status, told.json("")["error"]) == (500, "ticket creation not supported")


def test_path_with_bytes_that_are_no_text_can_be_signed() -> None:
    """A daemon reads any bytes; so does a signature."""
    with portal(**SECURE) as client:
        for provider in (HMAC, WALLET):
            assert ask(client, provider, "GET", f"{TICKETS}/%FF").status == 404


def test_request_without_signature_is_refused_where_one_is_needed() -> None:
    """The stand-in does look."""
    with portal(**SECURE) as client:
        assert ask(client, INSECURE, "GET", LIST).status == 401


def test_wrong_secret_is_refused() -> None:
    """Also an empty one."""
    with portal(**SECURE) as client:
        for secret in ("s3cre", "S3CRET", ""):
            assert ask(client, replace(HMAC, secret=secret), "GET", LIST).status == 401


def test_wallet_of_another_chain_is_refused() -> None:
    """The signature covers the chain id."""
    with portal(**SECURE) as client:
        told = ask(client, WALLET, "GET", LIST, chain_id="virtengine-1")
        assert (told.status, told.json("")["error"]) == (401, "signature verification failed")


def signed_for(provider: Provider, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, str]:
    return portal_headers(provider, method, path, body, chain_id=CHAIN)[0]


@pytest.mark.parametrize("provider", [HMAC, WALLET], ids=["hmac", "wallet"])
def test_signature_is_good_for_one_request_only(provider: Provider) -> None:
    """Not for another method, another path, or under another name."""
    stolen = signed_for(provider, "GET", LIST)
    with portal(**SECURE) as client:
        assert client.request("POST", TICKETS, body=b"{}", headers=stolen).status == 401
        assert client.get(TICKETS, headers=stolen).status == 401
        name = "X-VE-Principal" if provider is HMAC else "X-VE-Address"
        assert client.get(LIST, headers=stolen | {name: BOB.address}).status == 401
        assert client.get(LIST, headers=stolen).status == 200


def test_wallet_signature_covers_the_body() -> None:
    """Another body under the same signature is refused."""
    headers, content = portal_headers(WALLET, "POST", TICKETS, TICKET, chain_id=CHAIN)
    with portal(**SECURE) as client:
        assert client.request("POST", TICKETS, body=content[:-1] + b" }", headers=headers).status == 500
        headers, content = portal_headers(WALLET, "POST", TICKETS, TICKET, chain_id=CHAIN)
        assert client.request("POST", TICKETS, body=content.replace(b"text", b"tEXt"), headers=headers).status == 401


def test_wallet_signature_is_good_once() -> None:
    """Its nonce is used up; two requests have two nonces."""
    headers = signed_for(WALLET, "GET", LIST)
    again = signed_for(WALLET, "GET", LIST)
    assert headers["X-VE-Nonce"] != again["X-VE-Nonce"]
    with portal(**SECURE) as client:
        assert client.get(LIST, headers=headers).status == 200
        assert client.get(LIST, headers=headers).json("")["error"] == "nonce already used"
        assert client.get(LIST, headers=again).status == 200


def test_hmac_signature_covers_the_query() -> None:
    """A question that was changed on the way is refused."""
    headers = signed_for(HMAC, "GET", f"{LIST}?limit=5")
    with portal(**SECURE) as client:
        assert client.get(f"{LIST}?limit=6", headers=headers).status == 401
        assert client.get(f"{LIST}?limit=5", headers=headers).status == 200


@pytest.mark.parametrize("provider", [HMAC, WALLET], ids=["hmac", "wallet"])
@pytest.mark.parametrize("name", ["a%20b", "%C3%A9", "a%2Fb", "a%22b%5C", "a+b", "~x"])
def test_path_with_escapes_is_signed_as_the_daemon_reads_it(provider: Provider, name: str) -> None:
    """The daemon signs over the decoded path: 404 is its answer to a ticket that does not exist."""
    with portal(**SECURE) as client:
        assert ask(client, provider, "GET", f"{TICKETS}/{name}").status == 404


@pytest.mark.parametrize(
    "text",
    ["<b>&amp;</b>", "\u2028 \u2029", "é ☃ \U0001f600", 'quote " \\ /', "\n\t\x00\x1f\x7f", ""],
)
def test_body_is_hashed_as_the_daemon_hashes_it(text: str) -> None:
    """Whatever its text, nested in whatever order: Go escapes more than Python does."""
    body = TICKET | {"z": [text, {"b": text, "a": 1}, None, True, -5], text: {}, "é": 1.5}
    with portal(**SECURE) as client:
        assert ask(client, WALLET, "POST", TICKETS, body).status == 500


def test_wallet_signature_has_the_low_s() -> None:
    """As Cosmos demands; sixty-four bytes of r and s."""
    for _ in range(20):
        raw = base64.b64decode(signed_for(WALLET, "GET", LIST)["X-VE-Signature"])
        assert len(raw) == 64
        assert int.from_bytes(raw[32:], "big") <= ORDER // 2


def test_request_without_body_says_nothing_of_one() -> None:
    """No content type, no bytes; an empty table is a body."""
    assert portal_headers(INSECURE, "GET", LIST) == ({}, b"")
    assert portal_headers(INSECURE, "POST", LIST, {}) == ({"Content-Type": "application/json"}, b"{}")
    assert portal_headers(INSECURE, "POST", LIST, {"b": 1, "a": "<"})[1] == b'{"a":"\\u003c","b":1}'


def test_wallet_names_itself() -> None:
    """Address and public key of the account that signs."""
    headers = signed_for(WALLET, "GET", LIST)
    assert headers["X-VE-Address"] == ALICE.address
    assert base64.b64decode(headers["X-VE-PubKey"]) == ALICE.public_key
