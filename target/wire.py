"""Protobuf wire format, written by hand: the few shapes that the harness sends and reads.

Encoding functions return bytes to be joined; `fields` walks a message without knowing its type.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Return an unsigned integer (0 ≤ value < 2⁶⁴) as a base-128 varint."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def uint_field(number: int, value: int) -> bytes:
    """Return a varint field; empty for 0, which protobuf 3 leaves out."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a length-delimited field, also for an empty value (an empty message is still present)."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def text_field(number: int, value: str) -> bytes:
    """Return a string field; empty for "", which protobuf 3 leaves out."""
    return bytes_field(number, value.encode()) if value else b""


def any_message(type_url: str, value: bytes) -> bytes:
    """Return a google.protobuf.Any."""
    return text_field(1, type_url) + bytes_field(2, value)


def coin(denom: str, amount: int) -> bytes:
    """Return a cosmos.base.v1beta1.Coin."""
    return text_field(1, denom) + text_field(2, str(amount))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in wire order: int for varint and fixed fields, bytes for the rest.

    Raises ValueError when the bytes are not a protobuf message.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _read_varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        end = position + size
        if end > len(message):
            raise ValueError(f"field {number} ends {end - len(message)} bytes after the message")
        part = message[position:end]
        yield number, part if kind == _BYTES else int.from_bytes(part, "little")
        position = end


def first_bytes(message: bytes, number: int) -> bytes:
    """Return the first length-delimited field of that number, b"" when there is none. Raises ValueError."""
    for found, value in fields(message):
        if found == number and isinstance(value, bytes):
            return value
    return b""


def first_int(message: bytes, number: int) -> int:
    """Return the first integer field of that number, 0 when there is none. Raises ValueError."""
    for found, value in fields(message):
        if found == number and isinstance(value, int):
            return value
    return 0


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError(f"broken varint at byte {position}")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
