"""Read a TOML or JSON document into a dataclass, or report everything that is wrong with it.

A document type is a dataclass made with `@document`: frozen, slotted, keyword-only, unknown fields
refused, no silent conversion (`"5"` is not 5, `nan` is no number). Checks that need more than one field
go into `__post_init__` and raise `ValueError("found; expected …")`.

This module does not know any document: it serves manifests, plans, targets and budgets alike.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bundle.errors import DocumentError, Problem

T = TypeVar("T")

MAX_SHOWN_CHARS = 80
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
MAX_PROBLEMS_SHOWN = 20


@dataclass_transform(frozen_default=True, kw_only_default=True)
def document(cls: type[T]) -> type[T]:
    """Return `cls` as a frozen, slotted, keyword-only dataclass that `parse_document` accepts."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


@cache
def _cached_adapter(cls: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(type[Any], cls))


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    return _cached_adapter(cast(Hashable, cls))


def parse_document(cls: type[T], raw: object, *, source: str) -> T:
    """Return `raw` (plain dicts, lists, strings, numbers) as a `cls`.

    Raises DocumentError with every problem and its path.
    """
    try:
        # By way of JSON, because that is where pydantic's strict mode lets an array become a tuple.
        text = json.dumps(raw, default=str)
        value = _adapter(cls).validate_json(text)
    except ValidationError as error:
        problems = tuple(_problem(detail, cls, raw) for detail in error.errors(include_url=False))
        raise DocumentError(source, problems[:MAX_PROBLEMS_SHOWN]) from None
    except (RecursionError, UnicodeEncodeError) as error:
        raise DocumentError(source, (_whole(f"cannot be read ({error})", "a plain document"),)) from None
    return value  # type: ignore[no-any-return]


def read_toml(path: Path, cls: type[T]) -> T:
    """Return the TOML file at `path` as a `cls`. Raises DocumentError."""

    def load(text: str) -> object:
        return tomllib.loads(text)

    return parse_document(cls, _load(path, load, "TOML"), source=str(path))


def read_json(path: Path, cls: type[T]) -> T:
    """Return the JSON file at `path` as a `cls`. Raises DocumentError."""
    return parse_document(cls, _load(path, json.loads, "JSON"), source=str(path))


def _load(path: Path, load: Callable[[str], object], kind: str) -> object:
    """Return what the file holds, parsed but not checked."""
    try:
        if path.is_file() and path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise DocumentError(str(path), (_whole(f"has {path.stat().st_size} bytes", "at most 64 MiB"),))
        return load(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise DocumentError(str(path), (_whole("does not exist", f"a {kind} file"),)) from None
    except IsADirectoryError:
        raise DocumentError(str(path), (_whole("is a folder", f"a {kind} file"),)) from None
    except OSError as error:
        raise DocumentError(str(path), (_whole(f"cannot be read ({error.strerror})", f"a {kind} file"),)) from None
    except UnicodeDecodeError as error:
        raise DocumentError(
            str(path), (_whole(f"has a byte that is not UTF-8 at {error.start}", "UTF-8 text"),)
        ) from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(
            str(path), (_whole(f"is not valid {kind}: {_short(str(error))}", f"valid {kind}"),)
        ) from None


def _whole(found: str, expected: str) -> Problem:
    return Problem(where="", found=found, expected=expected)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
    return path


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


# What each kind of pydantic error means in our own words; `{…}` is filled from the error's context.
_EXPECTED = {
    "bool_type": "true or false",
    "dataclass_type": "a table of named fields",
    "dict_type": "a table of named fields",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character(s)",
    "string_type": "text in quotes",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}


def _problem(detail: Any, cls: type[Any], raw: object) -> Problem:
    """Return one pydantic error as a Problem in this project's form."""
    kind, where = detail["type"], _path(detail["loc"])
    if kind in {"missing", "missing_keyword_only_argument", "missing_argument"}:
        return Problem(where=where, found="is missing", expected="a value")
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        return Problem(where=where, found="is not a known field", expected=_known_fields(detail["loc"], cls))
    if kind in {"value_error", "assertion_error"}:
        found, _, expected = str(detail["ctx"]["error"]).partition("; expected ")
        return Problem(where=where, found=_short(found), expected=expected or "a valid value")
    if kind == "json_invalid":
        return Problem(where=where, found="is not plain data", expected="a plain document")
    template = _EXPECTED.get(kind)
    expected = template.format(**detail.get("ctx", {})) if template else _short(detail["msg"])
    return Problem(where=where, found=f"is {_short(repr(detail['input']))}", expected=expected)


def _known_fields(location: tuple[int | str, ...], cls: type[Any]) -> str:
    """Return the nearest field name if there is one, else the list of fields."""
    fields = _fields_at(location[:-1], cls)
    near = difflib.get_close_matches(str(location[-1]), fields, n=1)
    return f"{near[0]!r}?" if near else ("one of " + ", ".join(fields) if fields else "no such field")


def _fields_at(location: tuple[int | str, ...], cls: type[Any]) -> list[str]:
    """Return the field names of the document type that `location` leads to; empty if it leads to none."""
    schema = _adapter(cls).json_schema()
    definitions = schema.get("$defs", {})
    here = schema
    for part in (None, *location):
        if part is not None:
            here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
        if "anyOf" in here:
            here = next((option for option in here["anyOf"] if option.get("type") != "null"), {})
        if "$ref" in here:
            here = definitions.get(here["$ref"].rsplit("/", 1)[-1], {})
    return sorted(here.get("properties", {}))
