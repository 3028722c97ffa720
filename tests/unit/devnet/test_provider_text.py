"""Text, JSON and addresses as Go and bech32 define them."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.provider.bech32 import address_of, decode_address
from devnet.provider.canonical import body_hash, canonical_json, go_json
from devnet.provider.gotext import (
    decode_base64,
    format_rfc3339,
    parse_bool,
    parse_duration_s,
    parse_int,
    parse_rfc3339,
)

# The public key of the private key 1, the curve's generator; its hash is in every Bitcoin textbook.
GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
GENERATOR_HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
REAL_ADDRESS = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-7", -7), ("+80", 80), ("9223372036854775807", 2**63 - 1)])
def test_parse_int_accepts(text: str, number: int) -> None:
    assert parse_int(text) == number


@pytest.mark.parametrize("text", ["", " 1", "1_0", "1.0", "0x1", "٣", "9223372036854775808", "9" * 50])
def test_parse_int_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90s", 90),
        ("1h30m", 5400),
        ("250ms", 0.25),
        (".5s", 0.5),
        ("-2m", -120),
        ("1.5h", 5400),
        ("3us", 3e-6),
    ],
)
def test_parse_duration_accepts(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "1x", "1h 30m", "1hh", "--1s", "1h30", "one hour"])
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration_s(text)


def test_parse_bool_is_gos() -> None:
    assert parse_bool("T") and not parse_bool("FALSE")
    for text in ("yes", "on", "", "tRUE"):
        with pytest.raises(ValueError):
            parse_bool(text)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2026-02-15T12:00:00Z", "2026-02-15T12:00:00Z"),
        ("2026-02-15T12:00:00.250Z", "2026-02-15T12:00:00.25Z"),
        ("2026-02-15T12:00:00.123456789+02:00", "2026-02-15T12:00:00.123456+02:00"),
        ("2026-02-15T12:00:00-03:30", "2026-02-15T12:00:00-03:30"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_rfc3339_is_read_and_printed(text: str, printed: str) -> None:
    assert format_rfc3339(parse_rfc3339(text)) == printed


@pytest.mark.parametrize(
    "text",
    ["", "2026-02-15", "2026-02-15 12:00:00Z", "2026-02-15T12:00:00", "2026-02-30T12:00:00Z", "2026-2-1T1:0:0Z", "now"],
)
def test_rfc3339_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


@given(st.binary(max_size=64))
def test_base64_inverts_encoding(data: bytes) -> None:
    assert decode_base64(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QUJD=", "Q@==", "QQ==QQ==", "Q Q=", "====", "QQ-_"])
def test_base64_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)


def test_base64_skips_line_ends_as_go_does() -> None:
    assert decode_base64("QU\r\nJD\n") == b"ABC"


@given(json_values)
def test_canonical_json_means_the_same(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(json_values)
def test_body_hash_ignores_layout_and_key_order(value: object) -> None:
    compact = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    loose = (" " + json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    assert body_hash(compact) == body_hash(loose)


def test_canonical_json_sorts_and_escapes_as_go_does() -> None:
    assert canonical_json({"b": ["<&>", None], "a": {"é": True}}) == (
        '{"a":{"é":true},"b":["\\u003c\\u0026\\u003e",null]}'.encode()
    )
    assert go_json({"b": 1, "a": "\u2028\ud800"}) == '{"b":1,"a":"\\u2028\ufffd"}'.encode()


def test_body_hash_keeps_numbers_as_written() -> None:
    assert body_hash(b'{"n": 1.0}') == hashlib.sha256(b'{"n":1.0}').hexdigest()
    assert body_hash(b'{"n": 1.0}') != body_hash(b'{"n": 1}')


@pytest.mark.parametrize("body", [b"plain", b"{} {}", b'{"a":NaN}', b"\xff\xfe", b"[" * 100_000])
def test_body_hash_of_anything_else_is_of_the_bytes(body: bytes) -> None:
    assert body_hash(body) == hashlib.sha256(body).hexdigest()


def test_body_hash_of_nothing_is_empty() -> None:
    assert body_hash(b"") == ""


def test_address_of_the_generator() -> None:
    address = address_of(GENERATOR)
    assert address.startswith("ve1")
    assert decode_address(address) == GENERATOR_HASH
    assert decode_address(address.upper()) == GENERATOR_HASH


def test_address_of_refuses_an_uncompressed_key() -> None:
    with pytest.raises(ValueError, match="65 bytes; expected 33"):
        address_of(bytes(65))


def test_a_real_address_decodes() -> None:
    assert len(decode_address(REAL_ADDRESS)) == 20


@given(st.integers(3, len(REAL_ADDRESS) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_wrong_character_breaks_an_address(at: int, char: str) -> None:
    wrong = REAL_ADDRESS[:at] + char + REAL_ADDRESS[at + 1 :]
    if wrong != REAL_ADDRESS:
        with pytest.raises(ValueError):
            decode_address(wrong)


@pytest.mark.parametrize(
    "text",
    ["", "ve1", "ve", "Ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f", "cosmos1w508d6qejxtdg4y5r3zarvary0c5xw7k", "ve1bé"],
)
def test_decode_address_refuses(text: str) -> None:
    with pytest.raises(ValueError):
        decode_address(text)
