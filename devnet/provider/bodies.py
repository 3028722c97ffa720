"""Request bodies read as Go reads them into a struct: missing is empty, a wrong type is 400, extra keys are ignored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from devnet.provider.answers import Refused


def decode_object(raw: bytes) -> Fields:
    """The fields of the JSON object that `raw` starts with; Refused (400) if there is none.

    Text after the first value is ignored, as one call of Go's `Decoder.Decode` does; `null` is an empty object.
    """
    try:
        value, _ = json.JSONDecoder().raw_decode(raw.decode("utf-8", "replace").lstrip(" \t\r\n"))
    except (ValueError, RecursionError) as problem:
        raise _invalid() from problem
    if value is None:
        return Fields(values={})
    if not isinstance(value, dict):
        raise _invalid()
    return Fields(values=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A decoded object; each method raises Refused (400) when the key holds another type."""

    values: dict[str, Any]

    def text(self, key: str) -> str:
        """The string at `key`, or "" where it is missing or null."""
        value = self.values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise _invalid()
        return value

    def text_map(self, key: str) -> dict[str, str]:
        """The object of strings at `key`, or an empty one."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise _invalid()
        return value

    def objects(self, key: str) -> list[Fields]:
        """The objects listed at `key`, or none."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _invalid()
        return [Fields(values=item) for item in value]


def _invalid() -> Refused:
    return Refused(400, "invalid request body")
