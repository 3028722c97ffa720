"""Documents: read whole, or refused with every problem, each with its place, what is there and what should be."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import StringConstraints

from bundle import DocumentError, document, parse_document, read_json, read_toml
from bundle.document import MAX_DOCUMENT_BYTES, MAX_PROBLEMS_SHOWN


class Colour(StrEnum):
    """An enumeration as documents have them."""

    RED = "red"
    BLUE = "blue"


@document
class Wheel:
    """An entry of a list."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]+$", max_length=8)]
    radius_m: Annotated[float, Gt(0), Le(3)] = 0.3


@document
class Cart:
    """A document with a field of every kind."""

    title: str
    load_kg: Annotated[int, Ge(0), Le(1000)]
    pull_n: float = 1.0
    is_covered: bool = False
    colour: Colour = Colour.RED
    wheel: Annotated[tuple[Wheel, ...], MinLen(1)] = (Wheel(name="only"),)
    spare: Wheel | None = None
    stock: dict[str, Wheel] | None = None

    def __post_init__(self) -> None:
        if len(self.wheel) > 4:
            raise ValueError(f"has {len(self.wheel)} wheels; expected 4 at most")


VALID: dict[str, Any] = {"title": "hay", "load_kg": 200, "wheel": [{"name": "left"}, {"name": "right"}]}


def problems_of(raw: object) -> list[str]:
    """Return the problems of a document as they are told, without the source."""
    with pytest.raises(DocumentError) as caught:
        parse_document(Cart, raw, source="cart.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems)
    assert all(line.startswith("cart.toml: ") for line in lines)
    return [line.removeprefix("cart.toml: ") for line in lines]


def test_valid_document_is_read_whole() -> None:
    """Lists become tuples, tables dataclasses, what is left out its default."""
    cart = parse_document(Cart, VALID | {"colour": "blue", "pull_n": 3}, source="cart.toml")
    assert cart.wheel == (Wheel(name="left"), Wheel(name="right"))
    assert cart.colour is Colour.BLUE
    assert (cart.pull_n, type(cart.pull_n)) == (3.0, float)
    assert cart.spare is None


def test_document_is_frozen_and_takes_keywords_only() -> None:
    """A document that was read does not change."""
    wheel = Wheel(name="left")
    with pytest.raises(FrozenInstanceError):
        wheel.name = "right"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Wheel("left")  # type: ignore[call-arg]
    assert not hasattr(wheel, "__dict__")


def test_every_problem_is_told_at_once_with_its_place() -> None:
    """One reading tells all that is wrong, however deep."""
    raw = {
        "load_kg": -1,
        "colour": "green",
        "wheels": [],
        "wheel": [{"name": "left", "radius_m": 0}, {"name": "RIGHT"}, {}],
        "spare": {"name": "x", "radius": 1},
    }
    assert sorted(problems_of(raw)) == sorted(
        [
            "title is missing; expected a value",
            "load_kg is -1; expected at least 0",
            "colour is 'green'; expected 'red' or 'blue'",
            "wheels is not a known field; expected 'wheel'?",
            "wheel[0].radius_m is 0; expected more than 0.0",
            "wheel[1].name is 'RIGHT'; expected text of the form ^[a-z]+$",
            "wheel[2].name is missing; expected a value",
            "spare.radius is not a known field; expected 'radius_m'?",
        ]
    )


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("title", 5, "title is 5; expected text in quotes"),
        ("title", None, "title is None; expected text in quotes"),
        ("load_kg", "200", "load_kg is '200'; expected a whole number"),
        ("load_kg", 1.5, "load_kg is 1.5; expected a whole number"),
        ("load_kg", 200.0, "load_kg is 200.0; expected a whole number"),
        ("load_kg", True, "load_kg is True; expected a whole number"),
        ("load_kg", 1001, "load_kg is 1001; expected at most 1000"),
        ("pull_n", "1.0", "pull_n is '1.0'; expected a number"),
        ("pull_n", True, "pull_n is True; expected a number"),
        ("pull_n", float("nan"), "pull_n is nan; expected a finite number"),
        ("pull_n", float("inf"), "pull_n is inf; expected a finite number"),
        ("pull_n", float("-inf"), "pull_n is -inf; expected a finite number"),
        ("is_covered", "true", "is_covered is 'true'; expected true or false"),
        ("is_covered", 1, "is_covered is 1; expected true or false"),
        ("colour", 3, "colour is 3; expected 'red' or 'blue'"),
        ("wheel", {}, "wheel is {}; expected a list"),
        ("wheel", [], "wheel is []; expected at least 1 entries"),
        ("wheel", "left", "wheel is 'left'; expected a list"),
        ("wheel", ["left"], "wheel[0] is 'left'; expected a table of named fields"),
        ("wheel", [{"name": "left"}] * 5, "has 5 wheels; expected 4 at most"),
        ("spare", [], "spare is []; expected a table of named fields"),
    ],
)
def test_nothing_is_converted_silently(field: str, value: object, told: str) -> None:
    """A value of another kind is a problem, also where Python could make sense of it."""
    assert problems_of(VALID | {field: value}) == [told]


@pytest.mark.parametrize("raw", [None, 5, "cart", [], [VALID], True])
def test_document_that_is_no_table_is_refused(raw: object) -> None:
    """The whole may be of the wrong kind too."""
    assert len(problems_of(raw)) == 1


def test_field_unlike_any_other_gets_the_list_of_fields() -> None:
    """Where no name is near, all are told."""
    (told,) = problems_of(VALID | {"zzz": 1})
    assert told == (
        "zzz is not a known field; expected one of colour, is_covered, load_kg, pull_n, spare, stock, title, wheel"
    )


def test_near_miss_within_a_table_of_names_gets_the_field() -> None:
    """The nearest field is found also behind names that the document chooses itself."""
    told = problems_of(VALID | {"stock": {"big": {"name": "big", "radus_m": 1.0}}})
    assert told == ["stock.big.radus_m is not a known field; expected 'radius_m'?"]


@pytest.mark.parametrize("key", ["two\nlines", "", "a.b", "ü ü", "\x1b[31m", "k" * 5000])
def test_strange_field_name_stays_on_one_short_line(key: str) -> None:
    """A problem is one line that names its source, whatever the document calls its fields."""
    (told,) = problems_of(VALID | {key: 1})
    assert told.isprintable()
    assert len(told) < 300
    assert "is not a known field" in told


def test_long_value_is_cut() -> None:
    """A megabyte of rubbish in one field makes a message that can be read."""
    (told,) = problems_of(VALID | {"load_kg": "9" * 1_000_000})
    assert len(told) < 200


def test_many_problems_are_cut() -> None:
    """A file that is something else altogether does not fill the terminal."""
    assert len(problems_of(VALID | {f"unknown{i}": i for i in range(500)})) == MAX_PROBLEMS_SHOWN


# --- TOML ---


def toml_problem(folder: Path, content: str | bytes) -> str:
    """Return the one problem of a TOML file with this content, without the source."""
    path = folder / "cart.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DocumentError) as caught:
        read_toml(path, Cart)
    (problem,) = caught.value.problems
    assert str(caught.value) == f"{path}: {problem}"
    return str(problem)


def test_toml_file_is_read(tmp_path: Path) -> None:
    """The form in which people write."""
    path = tmp_path / "cart.toml"
    path.write_text('title = "hay"\nload_kg = 1_000\n[[wheel]]\nname = "only"\nradius_m = 1\n')
    assert read_toml(path, Cart) == Cart(title="hay", load_kg=1000, wheel=(Wheel(name="only", radius_m=1.0),))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nan", "load_kg is nan; expected a whole number"),
        ("inf", "load_kg is inf; expected a whole number"),
        ("1979-05-27", "load_kg is the date 1979-05-27; expected text, a number, true or false, a list or a table"),
        ("07:32:00", "load_kg is the time 07:32:00; expected text, a number, true or false, a list or a table"),
    ],
)
def test_toml_has_kinds_of_its_own(tmp_path: Path, value: str, told: str) -> None:
    """What TOML can say and a document cannot is a problem."""
    assert toml_problem(tmp_path, f'title = "hay"\nload_kg = {value}\n') == told


@pytest.mark.parametrize("value", ["1979-05-27", "1979-05-27T07:32:00Z", "07:32:00"])
def test_a_date_is_no_text(tmp_path: Path, value: str) -> None:
    """A date without quotes does not turn into text."""
    told = toml_problem(tmp_path, f"title = {value}\nload_kg = 1\n")
    assert told.startswith("title is the ")


def test_every_problem_is_told_beside_a_date(tmp_path: Path) -> None:
    """A date hides no other problem."""
    path = tmp_path / "cart.toml"
    path.write_text("title = 1979-05-27\nload_kg = -1\n[[wheel]]\nname = 07:32:00\n")
    with pytest.raises(DocumentError) as caught:
        read_toml(path, Cart)
    assert sorted(problem.where for problem in caught.value.problems) == ["load_kg", "title", "wheel[0].name"]


@pytest.mark.parametrize("number", ["9" * 30, "0x" + "f" * 5000, "-0x" + "f" * 5000, "9" * 5000, "1" + "0" * 400])
@pytest.mark.parametrize("field", ["load_kg", "pull_n"])
def test_enormous_number_is_refused(tmp_path: Path, field: str, number: str) -> None:
    """TOML sets numbers no bound; a document does."""
    needed = {"title": '"hay"', "load_kg": "1"} | {field: number}
    told = toml_problem(tmp_path, "".join(f"{name} = {value}\n" for name, value in needed.items()))
    assert told.startswith((f"{field} is ", "is not valid TOML"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('title = "hay"\ntitle = "straw"\n', "is not valid TOML"),
        ("title = \n", "is not valid TOML"),
        ('title = "hay', "is not valid TOML"),
        ("[[wheel]\n", "is not valid TOML"),
        ("\x00", "is not valid TOML"),
        ("x = " + "[" * 100_000, "is not valid TOML"),
        (b"title = '\xff'\n", "has a byte that is not UTF-8 at 9"),
        (b"\xff\xfet\x00", "has a byte that is not UTF-8 at 0"),
        ("load_kg = " + "[" * 300 + "]" * 300, "is not plain data"),
    ],
)
def test_text_that_is_no_toml_is_refused(tmp_path: Path, content: str | bytes, found: str) -> None:
    """Broken, doubled, nested without end, in another encoding."""
    assert toml_problem(tmp_path, content).startswith(found)


# --- JSON ---


def json_problem(folder: Path, content: str | bytes) -> str:
    """Return the one problem of a JSON file with this content, without the source."""
    path = folder / "cart.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DocumentError) as caught:
        read_json(path, Cart)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("{} {}", "is not valid JSON"),
        ('{"title": "hay", "load_kg": 1, "load_kg": 2}', "is not valid JSON: has the field 'load_kg' twice"),
        (
            '{"title": "h", "load_kg": 1, "spare": {"name": "a", "name": "b"}}',
            "is not valid JSON: has the field 'name' twice",
        ),
        ('{"title": "\\ud800", "load_kg": 1}', "is not plain data"),
        ('{"title": "hay", "load_kg": 1, "pull_n": NaN}', "pull_n is nan; expected a finite number"),
        ('{"title": "hay", "load_kg": 1, "pull_n": -Infinity}', "pull_n is -inf; expected a finite number"),
        ('{"title": "hay", "load_kg": 1, "pull_n": 1e999}', "pull_n is inf; expected a finite number"),
        ('{"title": "hay", "load_kg": ' + "9" * 5000 + "}", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        (b'{"title": "\xff"}', "has a byte that is not UTF-8 at 11"),
        ("\ufeff{}", "is not valid JSON"),
    ],
)
def test_text_that_is_no_json_is_refused(tmp_path: Path, content: str | bytes, found: str) -> None:
    """Broken, doubled, nested without end, in another encoding, with numbers that are none."""
    assert json_problem(tmp_path, content).startswith(found)


def test_json_file_is_read(tmp_path: Path) -> None:
    """The form in which programs write."""
    path = tmp_path / "cart.json"
    path.write_text(json.dumps(VALID))
    assert read_json(path, Cart) == parse_document(Cart, VALID, source="")


# --- files ---


@pytest.mark.parametrize(("read", "kind"), [(read_toml, "TOML"), (read_json, "JSON")])
def test_path_without_a_file_is_told(tmp_path: Path, read: Any, kind: str) -> None:
    """No file, a folder, a file below a file, a name that no file can have."""
    (tmp_path / "file").touch()
    for name, found in (
        ("none", f"does not exist; expected a {kind} file"),
        (".", f"is a folder; expected a {kind} file"),
        ("file/below", f"cannot be read (Not a directory); expected a {kind} file"),
        ("n" * 5000, f"cannot be read (File name too long); expected a {kind} file"),
    ):
        with pytest.raises(DocumentError) as caught:
            read(tmp_path / name, Cart)
        assert str(caught.value) == f"{tmp_path / name}: {found}"


def test_enormous_file_is_not_read(tmp_path: Path) -> None:
    """A file of more than 64 MiB is refused by its size."""
    path = tmp_path / "cart.toml"
    with path.open("wb") as file:
        file.truncate(MAX_DOCUMENT_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(DocumentError, match="at most 64 MiB"):
        read_toml(path, Cart)


def test_endless_file_is_not_read() -> None:
    """A device that gives bytes for ever has no size and is refused all the same."""
    with pytest.raises(DocumentError, match="at most 64 MiB"):
        read_toml(Path("/dev/zero"), Cart)
