"""Who sent a request: the daemon's three ways to authenticate, and the exact bytes that their signatures cover.

The pure functions at the top (`request_data`, `sign_doc`, `hmac_message`, `hmac_signature`, with `body_hash` and
`address_of`) say what is signed; a client can be checked against them. Signing itself is not here.

Order of decision, as in `pkg/provider_daemon/portal_api.go` (authenticateRequest):
1. an address (`X-VE-Address` or `ve_address`) is present: wallet, and only wallet, so a bad one is 401;
2. no secret is set and insecure requests are allowed: `dev`, whatever HMAC headers say;
3. an HMAC part is missing: `dev` if insecure requests are allowed, else 401;
4. otherwise HMAC, and a bad one is 401.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from coincurve import PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from devnet.provider.bech32 import address_of, decode_address
from devnet.provider.canonical import body_hash, canonical_json
from devnet.provider.clock import Clock
from devnet.provider.gotext import decode_base64, parse_int
from devnet.provider.nonces import NonceStore

__all__ = [
    "HMAC_SKEW_S",
    "WALLET_AGE_MAX_S",
    "WALLET_FUTURE_MAX_S",
    "Authenticator",
    "Incoming",
    "Kind",
    "Principal",
    "Unauthenticated",
    "address_of",
    "body_hash",
    "hmac_message",
    "hmac_signature",
    "is_identified",
    "request_data",
    "sign_doc",
]

WALLET_AGE_MAX_S = 300.0
WALLET_FUTURE_MAX_S = 60.0
HMAC_SKEW_S = 300
SIGNATURE_BYTES = 64


class Unauthenticated(Exception):
    """The request proves nobody; the text is the daemon's, and the answer is 401."""


class Kind(StrEnum):
    """How a principal proved itself; lease checks let only `insecure` through."""

    WALLET = "wallet"
    HMAC = "hmac"
    INSECURE = "insecure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a request acts for: a `ve1…` address, a name from `X-VE-Principal`, or `dev`."""

    name: str
    kind: Kind


DEV = Principal(name="dev", kind=Kind.INSECURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The parts of a request that authentication reads.

    `path` is percent-decoded and without the query; `raw_query` is as it came, without the question mark.
    `headers` must ignore case. `body` is empty when there is none.
    """

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""

    def either(self, header: str, parameter: str) -> str:
        """The header's value without outer spaces, else the query parameter's, else ""."""
        return self.headers.get(header, "").strip() or self.query.get(parameter, "").strip()


def request_data(*, method: str, path: str, timestamp_ms: int, nonce: str, body_hash: str) -> bytes:
    """The JSON text a wallet signs as data: these five keys in this order, no spaces, nothing escaped; UTF-8.

    The query is not covered. `body_hash` is what the function `body_hash` returns.
    """
    text = (
        f'{{"method":"{method.upper()}","path":"{path}","timestamp":{timestamp_ms},'
        f'"nonce":"{nonce}","body_hash":"{body_hash}"}}'
    )
    return text.encode("utf-8", "surrogateescape")


def sign_doc(*, chain_id: str, address: str, data: bytes) -> bytes:
    """The bytes that a wallet signature covers: the ADR-36 amino document around `data`, keys sorted, no spaces.

    One message `sign/MsgSignData` with the signer and base64 of `data`; account number, sequence, gas are "0".
    """
    value = {"data": base64.b64encode(data).decode(), "signer": address}
    return canonical_json(
        {
            "account_number": "0",
            "chain_id": chain_id,
            "fee": {"amount": [], "gas": "0"},
            "memo": "",
            "msgs": [{"type": "sign/MsgSignData", "value": value}],
            "sequence": "0",
        }
    )


def hmac_message(*, method: str, path: str, raw_query: str, principal: str, timestamp: str) -> bytes:
    """Method, path, raw query, principal and timestamp (Unix seconds, as sent), joined by line feeds; UTF-8."""
    return "\n".join((method, path, raw_query, principal, timestamp)).encode("utf-8", "surrogateescape")


def hmac_signature(secret: str, message: bytes) -> str:
    """Lower-case hex of HMAC-SHA256 of `message` under `secret` (UTF-8)."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def is_identified(incoming: Incoming) -> bool:
    """True where a request names somebody; routes with optional authentication check only such requests."""
    named = incoming.headers.get("X-VE-Principal", "") or incoming.query.get("principal", "")
    return bool(named) or _names_wallet(incoming)


class Authenticator:
    """Turns requests into principals; remembers the nonces of wallet signatures, in memory only."""

    def __init__(self, *, chain_id: str, secret: str, allow_insecure: bool, clock: Clock) -> None:
        self._chain_id = chain_id
        self._secret = secret
        self._allow_insecure = allow_insecure
        self._clock = clock
        self._nonces = NonceStore(clock=clock)

    def authenticate(self, incoming: Incoming) -> Principal:
        """The principal of a request; Unauthenticated if it proves none."""
        if _names_wallet(incoming):
            return self._wallet(incoming)
        if self._allow_insecure and not self._secret:
            return DEV
        return self._hmac(incoming)

    def _hmac(self, incoming: Incoming) -> Principal:
        signature = incoming.headers.get("X-VE-Signature", "") or incoming.query.get("sig", "")
        timestamp = incoming.headers.get("X-VE-Timestamp", "") or incoming.query.get("ts", "")
        name = incoming.headers.get("X-VE-Principal", "") or incoming.query.get("principal", "")
        if not (signature and timestamp and name):
            if self._allow_insecure:
                return DEV
            raise Unauthenticated("missing signed request headers")
        at_s = _parsed_timestamp(timestamp)
        if abs(at_s - int(self._clock.wall_at_s())) > HMAC_SKEW_S:
            raise Unauthenticated("request timestamp out of range")
        if not self._secret:
            raise Unauthenticated("hmac secret not configured")
        message = hmac_message(
            method=incoming.method,
            path=incoming.path,
            raw_query=incoming.raw_query,
            principal=name,
            timestamp=timestamp,
        )
        expected = hmac_signature(self._secret, message).encode()
        if not hmac.compare_digest(expected, signature.lower().encode("utf-8", "surrogateescape")):
            raise Unauthenticated("invalid signature")
        return Principal(name=name, kind=Kind.HMAC)

    def _wallet(self, incoming: Incoming) -> Principal:
        address = incoming.either("X-VE-Address", "ve_address")
        timestamp = incoming.either("X-VE-Timestamp", "ve_ts")
        nonce = incoming.either("X-VE-Nonce", "ve_nonce")
        signature = incoming.either("X-VE-Signature", "ve_sig")
        public_key = incoming.either("X-VE-PubKey", "ve_pub")
        if not (address and timestamp and nonce and signature and public_key):
            raise Unauthenticated("missing wallet authentication headers")
        at_ms = _parsed_timestamp(timestamp)
        self._check_age(at_ms / 1000)
        nonce_key = f"{address}:{nonce}"
        if self._nonces.has_seen(nonce_key):
            raise Unauthenticated("nonce already used")
        signature_bytes = _decoded(signature, "invalid signature encoding")
        key_bytes = _decoded(public_key, "invalid public key encoding")
        _check_address(address, key_bytes)
        data = request_data(
            method=incoming.method,
            path=incoming.path,
            timestamp_ms=at_ms,
            nonce=nonce,
            body_hash=body_hash(incoming.body),
        )
        document = sign_doc(chain_id=self._chain_id, address=address, data=data)
        if not _is_signed(document, signature_bytes, key_bytes):
            raise Unauthenticated("signature verification failed")
        # Only a good signature uses its nonce up, so nobody can spend another's nonce with a forged one.
        self._nonces.mark_seen(nonce_key, until_s=at_ms / 1000 + WALLET_AGE_MAX_S)
        return Principal(name=address, kind=Kind.WALLET)

    def _check_age(self, at_s: float) -> None:
        now_s = self._clock.wall_at_s()
        if now_s - at_s > WALLET_AGE_MAX_S:
            raise Unauthenticated("request timestamp too old")
        if at_s - now_s > WALLET_FUTURE_MAX_S:
            raise Unauthenticated("request timestamp in future")


def _names_wallet(incoming: Incoming) -> bool:
    return bool(incoming.either("X-VE-Address", "ve_address"))


def _parsed_timestamp(text: str) -> int:
    try:
        return parse_int(text)
    except ValueError as problem:
        raise Unauthenticated("invalid timestamp") from problem


def _decoded(text: str, refusal: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError as problem:
        raise Unauthenticated(refusal) from problem


def _check_address(address: str, public_key: bytes) -> None:
    try:
        decode_address(address)
    except ValueError as problem:
        raise Unauthenticated("invalid address") from problem
    try:
        expected = address_of(public_key)
    except ValueError as problem:
        raise Unauthenticated("address does not match public key") from problem
    if address.lower() != expected:
        raise Unauthenticated("address does not match public key")


def _is_signed(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """True if `signature` (64 bytes, r and s) is the key's over SHA-256 of `message`, with the low s."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        der = cdata_to_der(deserialize_compact(signature))
        # libsecp256k1 refuses the high s itself, as Cosmos does.
        return PublicKey(public_key).verify(der, message)
    except ValueError:
        return False
