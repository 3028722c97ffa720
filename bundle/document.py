"""Read a TOML or JSON document into a dataclass, or report everything that is wrong with it.

A document type is a dataclass made with `@document`: frozen, slotted, keyword-only, unknown fields
refused, no silent conversion (`"5"` is not 5, `nan` is no number). Checks that need more than one field
go into `__post_init__` and raise `ValueError("found; expected …")`.

This module does not know any document: it serves manifests, plans, targets and budgets alike.
"""

from __future__ import annotations

import difflib
import json
import re
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
_INT64 = range(-(2**63), 2**63)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


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
    problems: list[Problem] = []
    value: Any = None
    try:
        # By way of JSON, because that is where pydantic's strict mode lets an array become a tuple.
        text = json.dumps(_plain(raw, (), problems))
        value = _adapter(cls).validate_json(text)
    except ValidationError as error:
        foreign = {problem.where for problem in problems}
        details = [detail for detail in error.errors(include_url=False) if not _is_echo(detail)]
        told = (_problem(detail, cls) for detail in details[: MAX_PROBLEMS_SHOWN + len(foreign)])
        problems += [problem for problem in told if problem.where not in foreign]
    except (RecursionError, UnicodeEncodeError) as error:
        problems = [_whole(f"cannot be read ({error})", "a plain document")]
    if problems:
        raise DocumentError(source, tuple(problems[:MAX_PROBLEMS_SHOWN]))
    return value  # type: ignore[no-any-return]


def read_toml(path: Path, cls: type[T]) -> T:
    """Return the TOML file at `path` as a `cls`. Raises DocumentError."""

    def load(text: str) -> object:
        return tomllib.loads(text)

    return parse_document(cls, _load(path, load, "TOML"), source=str(path))


def read_json(path: Path, cls: type[T]) -> T:
    """Return the JSON file at `path` as a `cls`. Raises DocumentError."""
    return parse_document(cls, _load(path, load_json, "JSON"), source=str(path))


def load_json(text: str | bytes) -> Any:
    """Return what a JSON text holds, not checked. Raises ValueError, also for a field that is there twice."""
    return json.loads(text, object_pairs_hook=_without_twins)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has the field {max(keys, key=keys.count)!r} twice")
    return fields


def _load(path: Path, load: Callable[[str], object], kind: str) -> object:
    """Return what the file holds, parsed but not checked."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
        if len(content) > MAX_DOCUMENT_BYTES:
            raise DocumentError(str(path), (_whole("has more bytes than a document", "at most 64 MiB"),))
        return load(content.decode("utf-8"))
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


def _plain(value: object, where: tuple[int | str, ...], problems: list[Problem]) -> object:
    """Return `value` with null for all that JSON cannot say, a problem added for each.

    TOML has dates, and numbers of any size: neither may turn into text, or into infinity, unnoticed.
    """
    if isinstance(value, dict):
        return {key: _plain(part, (*where, key), problems) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, (*where, place), problems) for place, part in enumerate(value)]
    if isinstance(value, int) and value not in _INT64:
        found, expected = f"is a number of {value.bit_length()} bits", "a number that fits into 64 bits with its sign"
    elif value is None or isinstance(value, str | int | float):
        return value
    else:
        found = f"is the {type(value).__name__} {value}"
        expected = "text, a number, true or false, a list or a table"
    problems.append(Problem(where=_path(where), found=_short(found), expected=expected))
    return None


def _path(location: tuple[int | str, ...]) -> str:
    """Return a location on one line: names that are no plain words in quotes, as TOML writes them."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = part if _PLAIN_NAME.fullmatch(part) else ascii(part)
            path += f".{_short(name)}" if path else _short(name)
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
    "model_attributes_type": "a table of named fields",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character(s)",
    "string_type": "text in quotes",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "tuple_type": "a list",
}


def _is_echo(detail: Any) -> bool:
    """Whether pydantic calls a list too short only because its entries have problems, which are told themselves."""
    return detail["type"] == "too_short" and bool(len(detail["input"]) >= detail["ctx"]["min_length"])


def _problem(detail: Any, cls: type[Any]) -> Problem:
    """Return one pydantic error as a Problem in this project's form."""
    kind, where = detail["type"], _path(detail["loc"])
    if kind in {"missing", "missing_keyword_only_argument", "missing_argument"}:
        return Problem(where=where, found="is missing", expected="a value")
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        return Problem(where=where, found="is not a known field", expected=_known_fields(detail["loc"], cls))
    if kind in {"value_error", "assertion_error"}:
        found, _, expected = str(detail["ctx"]["error"]).partition("; expected ")
        return Problem(where=where, found=_short(found), expected=expected or "a valid value")
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        # One of several tables, told apart by one field: it is that field that is wrong.
        field, context = detail["ctx"]["discriminator"].strip("'"), detail["ctx"]
        found = f"is {_short(repr(context['tag']))}" if "tag" in context else "is missing"
        expected = f"one of {context['expected_tags']}" if "tag" in context else "a value"
        return Problem(where=_path((*detail["loc"], field)), found=found, expected=expected)
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
            here = here.get("items", {}) if isinstance(part, int) else _field_schema(here, part)
        if "anyOf" in here:
            here = next((option for option in here["anyOf"] if option.get("type") != "null"), {})
        if "$ref" in here:
            here = definitions.get(here["$ref"].rsplit("/", 1)[-1], {})
    return sorted(here.get("properties", {}))


def _field_schema(table: dict[str, Any], name: str) -> Any:
    """Return the schema of a field, or that of all entries where the document chooses the names itself."""
    others = table.get("additionalProperties")
    return table.get("properties", {}).get(name, others if isinstance(others, dict) else {})
