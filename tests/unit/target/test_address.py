"""Addresses, held against the vectors of BIP-173 and against addresses that others computed."""

from __future__ import annotations

import pytest

from target.address import ADDRESS_BYTES, account_bytes, decode, encode

# The public key of the private key 1, the curve's generator; its hash is in every Bitcoin textbook.
GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
GENERATOR_HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")


@pytest.mark.parametrize(
    ("text", "prefix", "payload"),
    [
        ("A12UEL5L", "a", b""),
        ("a12uel5l", "a", b""),
        (
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
            b"",
        ),
        (
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            "abcdef",
            bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df"),
        ),
        (
            "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j",
            "1",
            bytes(51),
        ),
        (
            "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
            "split",
            bytes.fromhex("c5f38b70305f519bf66d85fb6cf03058f3dde463ecd7918f2dc743918f2d"),
        ),
        ("?1ezyfcl", "?", b""),
    ],
)
def test_valid_vectors_of_bip_173(text: str, prefix: str, payload: bytes) -> None:
    """Every text that BIP-173 calls valid is decoded, whichever case it is in, and encoded to lower case."""
    assert decode(text) == (prefix, payload)
    assert encode(prefix, payload) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "\x201nwldj5",  # prefix with a character below 33
        "\x7f1axkwrx",  # … above 126
        "\x801eym55h",
        "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx",  # too long
        "pzry9x0s0muk",  # no separator
        "1pzry9x0s0muk",  # no prefix
        "x1b4n0q5v",  # a character that is no word
        "li1dgmt3",  # checksum too short
        "de1lg7wt\xff",
        "A1G7SGD8",  # checksum of the upper-case prefix
        "10a06t8",  # no prefix
        "1qzzfhee",
        "",
        "1",
    ],
)
def test_invalid_vectors_of_bip_173(text: str) -> None:
    """Every text that BIP-173 calls invalid is refused."""
    with pytest.raises(ValueError):
        decode(text)


def test_letter_that_only_looks_right_is_refused() -> None:
    """The Kelvin sign is an upper-case k to Unicode, and none to bech32."""
    text = "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w".upper()
    assert decode(text)[0] == "split"
    with pytest.raises(ValueError):
        decode(text.replace("K", "\u212a", 1))


@pytest.mark.parametrize("text", ["A12uEL5L", "ve1Avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f"])
def test_mixed_case_is_refused(text: str) -> None:
    """Either case, never both: a reader would not see which letters are meant."""
    with pytest.raises(ValueError):
        decode(text)


@pytest.mark.parametrize("text", ["test1p8ynnrr", "test1q6j8x73", "test1qphplu4s"])
def test_leftover_bits_are_refused(text: str) -> None:
    """Five-bit words that do not make whole bytes are no payload, although the checksum holds."""
    with pytest.raises(ValueError, match="leftover"):
        decode(text)


@pytest.mark.parametrize("prefix", ["", "VE", "v e", "vé", "v\x7f", "a" * 84])
def test_prefix_that_cannot_be_decoded_is_not_encoded(prefix: str) -> None:
    """Nothing is written that could not be read."""
    with pytest.raises(ValueError):
        encode(prefix, b"")


def test_payload_that_is_too_long_is_not_encoded() -> None:
    """90 characters are the most."""
    assert len(encode("ve", bytes(50))) == 89
    with pytest.raises(ValueError):
        encode("ve", bytes(51))


def test_hash_of_a_public_key() -> None:
    """RIPEMD-160 of SHA-256, also where OpenSSL has no RIPEMD-160."""
    assert account_bytes(GENERATOR) == GENERATOR_HASH
    assert len(GENERATOR_HASH) == ADDRESS_BYTES
    # BIP-173's own example, bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4, has the same words behind its version.
    assert encode("ve", GENERATOR_HASH)[3:-6] == "w508d6qejxtdg4y5r3zarvary0c5xw7k"
