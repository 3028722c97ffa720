"""The protobuf wire format, held against bytes from Google's own description of it."""

from __future__ import annotations

import pytest

from target.wire import (
    any_message,
    bytes_field,
    coin,
    fields,
    first_bytes,
    first_int,
    text_field,
    uint_field,
    varint,
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (300, "ac02"), (2**64 - 1, "ff" * 9 + "01")],
)
def test_varint(value: int, encoded: str) -> None:
    """150 and 300 are the examples of the protobuf documentation."""
    assert varint(value).hex() == encoded


def test_negative_number_is_no_varint() -> None:
    """Nothing that the harness sends is negative."""
    with pytest.raises(ValueError):
        varint(-1)


@pytest.mark.parametrize(
    ("encoded", "field"),
    [("089601", (1, 150)), ("120774657374696e67", (2, b"testing")), ("1a03089601", (3, bytes.fromhex("089601")))],
)
def test_documented_messages(encoded: str, field: tuple[int, int | bytes]) -> None:
    """The three messages of the protobuf encoding guide, both ways."""
    number, value = field
    assert list(fields(bytes.fromhex(encoded))) == [field]
    again = uint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
    assert again.hex() == encoded


def test_zero_values_of_protobuf_3() -> None:
    """A zero and an empty text are left out; an empty message is there."""
    assert uint_field(1, 0) == b""
    assert text_field(1, "") == b""
    assert bytes_field(1, b"") == b"\x0a\x00"


def test_any_and_coin() -> None:
    """The two shapes that every transaction has."""
    assert any_message("/a", b"\x01") == b"\x0a\x02/a\x12\x01\x01"
    assert coin("uve", 15) == b"\x0a\x03uve\x12\x0215"
    assert coin("uve", 0) == b"\x0a\x03uve\x12\x010"


def test_fixed_fields_are_little_endian() -> None:
    """Fixed 32 and 64 come as numbers."""
    assert list(fields(bytes.fromhex("0d01000000" + "1102000000000000ff"))) == [(1, 1), (2, 0xFF00000000000002)]


def test_first_of_a_number_and_kind_is_taken() -> None:
    """A field of another kind under the same number is passed over; what is not there is the zero value."""
    message = uint_field(1, 5) + bytes_field(1, b"a") + bytes_field(1, b"b") + uint_field(1, 6)
    assert first_bytes(message, 1) == b"a"
    assert first_int(message, 1) == 5
    assert (first_bytes(message, 2), first_int(message, 2)) == (b"", 0)


@pytest.mark.parametrize(
    "encoded",
    [
        "08",  # a key without its value
        "88",  # a key without its end
        "0880",  # a value without its end
        "08" + "ff" * 10 + "01",  # more than 64 bits
        "0a05abcd",  # shorter than it says
        "0affffffffffffffffff01",
        "0d010203",  # fixed 32 with 3 bytes
        "0901020304050607",  # fixed 64 with 7 bytes
        "0b0c",  # a group, which nobody writes
        "0e",  # wire types that do not exist
        "0f",
    ],
)
def test_bytes_that_are_no_message_are_refused(encoded: str) -> None:
    """With ValueError, whatever is wrong."""
    with pytest.raises(ValueError):
        list(fields(bytes.fromhex(encoded)))
