"""Text as Go's standard library reads and writes it, because that is what clients of the real daemon meet.

Python's own parsers are more lenient (`int("1_0")`, `fromisoformat`), and a stand-in that accepts what the real
daemon refuses hides mistakes. Nothing here knows about HTTP.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime, timedelta, timezone

INT64_MAX = 2**63 - 1
# Go prints the zero time.Time so; the no-op chain query answers with it.
ZERO_TIME = "0001-01-01T00:00:00Z"

_INT = re.compile(r"[+-]?[0-9]+")
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:(Z)|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_int(text: str) -> int:
    """The whole number in `text`, within 64 signed bits; ValueError otherwise (`strconv.ParseInt`, base 10)."""
    if not _INT.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    number = int(text)
    if not -INT64_MAX - 1 <= number <= INT64_MAX:
        raise ValueError(f"{text!r} does not fit in 64 bits")
    return number


def parse_bool(text: str) -> bool:
    """The truth value in `text`; ValueError otherwise (`strconv.ParseBool`)."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def parse_duration_s(text: str) -> float:
    """Seconds in a Go duration such as `1h30m` or `250ms`; ValueError otherwise (`time.ParseDuration`)."""
    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if body == "0":
        return 0.0
    total_s, end = 0.0, 0
    for part in _DURATION_PART.finditer(body):
        if part.start() != end:
            break
        total_s, end = total_s + float(part[1]) * _UNIT_S[part[2]], part.end()
    if not body or end != len(body):
        raise ValueError(f"{text!r} is not a duration such as 90s or 1h30m")
    return sign * total_s


def parse_rfc3339(text: str) -> datetime:
    """The instant in `text`, with its offset; ValueError otherwise (`time.Parse(time.RFC3339, …)`).

    Digits of the fraction beyond microseconds are dropped.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    zone: timezone = UTC
    if found[8] is None:
        offset = timedelta(hours=int(found[10]), minutes=int(found[11]))
        zone = timezone(-offset if found[9] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)


def format_rfc3339(at: datetime | float, *, fraction: bool = True) -> str:
    """`at` (an aware datetime, or Unix seconds shown in UTC) as Go prints it: no trailing zeros, `Z` for UTC."""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    offset_min = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    zone = "Z"
    if offset_min:
        hours, minutes = divmod(abs(offset_min), 60)
        zone = f"{'-' if offset_min < 0 else '+'}{hours:02d}:{minutes:02d}"
    digits = f".{moment.microsecond:06d}".rstrip("0").rstrip(".") if fraction else ""
    # isoformat pads the year to four digits; strftime does not on every platform.
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}{digits}{zone}"


def decode_base64(text: str) -> bytes:
    """The bytes in `text`, standard alphabet, padding required; ValueError otherwise (`base64.StdEncoding`).

    Line ends inside the text are skipped, as Go does.
    """
    packed = text.replace("\r", "").replace("\n", "")
    if len(packed) % 4:
        raise ValueError("base64 text without its padding")
    try:
        return binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error as problem:
        raise ValueError(str(problem)) from problem
