"""Laws of documents: what is valid comes back, what is not is told and nothing else is ever raised."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import DocumentError, Manifest, parse_document, read_json, read_manifest, read_toml, write_manifest
from bundle.manifest import manifest_text
from tests.strategies import LAW, json_values, manifests

pytestmark = pytest.mark.slow


@LAW
@given(manifests)
def test_document_survives_json(manifest: Manifest) -> None:
    """Law: parse(plain(document)) == document."""
    assert parse_document(Manifest, json.loads(json.dumps(asdict(manifest))), source="") == manifest


@LAW
@given(manifest=manifests)
def test_manifest_survives_the_disk(manifest: Manifest, tmp_path: Path) -> None:
    """Law: read(write(manifest)) == manifest, and its text is the same again."""
    path = tmp_path / "manifest.json"
    write_manifest(path, manifest)
    back = read_manifest(path)
    assert back == manifest
    assert manifest_text(back) == path.read_text()


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the place of every part of plain data."""
    found = [path] if path else []
    if isinstance(value, dict):
        for name, part in value.items():
            found += places(part, (*path, name))
    if isinstance(value, list):
        for number, part in enumerate(value):
            found += places(part, (*path, number))
    return found


@LAW
@given(st.data(), manifests, json_values)
def test_document_with_any_part_replaced_is_read_or_refused(data: st.DataObject, manifest: Manifest, part: Any) -> None:
    """Law: a document with anything anywhere is read, or each problem is a line that names source and expectation."""
    raw = json.loads(manifest_text(manifest))
    *way, last = data.draw(st.sampled_from(places(raw)))
    holder = raw
    for step in way:
        holder = holder[step]
    holder[last] = part
    try:
        parse_document(Manifest, raw, source="here")
    except DocumentError as error:
        told = error
    else:
        return
    lines = str(told).splitlines()
    assert len(lines) == len(told.problems) >= 1
    assert all(line.startswith("here: ") and "; expected " in line for line in lines)


@pytest.mark.parametrize("read", [read_toml, read_json])
@LAW
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(read: Any, content: bytes, tmp_path: Path) -> None:
    """Law: reading a file raises DocumentError and nothing else; none of these bytes is a manifest."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        read(path, Manifest)
    assert all(line.startswith(f"{path}: ") and "; expected " in line for line in str(caught.value).splitlines())


@LAW
@given(manifests, st.data())
def test_manifest_that_was_cut_is_refused(manifest: Manifest, data: st.DataObject) -> None:
    """Law: no part of a manifest's text, cut at its end, is a manifest."""
    text = manifest_text(manifest).rstrip()
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(ValueError):
        json.loads(text[:end])
