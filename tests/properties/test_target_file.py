"""Laws of Target files: what is written is read, secrets stay out of bundles, and any text is resolved or refused."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import DocumentError
from target.file import Environment, NodeEntry, TargetFile, read_target_file, target_toml
from target.target import resolve
from tests.strategies import LAW, target_files

pytestmark = pytest.mark.slow


def read_back(text: str) -> TargetFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "target.toml"
        path.write_text(text, encoding="utf-8")
        return read_target_file(path)


@LAW
@given(target_files())
def test_target_file_comes_back(file: TargetFile) -> None:
    """Law: read(write(file)) == file, whatever its texts and numbers."""
    assert read_back(target_toml(file, with_secrets=True)) == file


@LAW
@given(target_files())
def test_no_mnemonic_reaches_a_bundle(file: TargetFile) -> None:
    """Law: without secrets there is no mnemonic, the file is valid, and nothing else is changed."""
    text = target_toml(file, with_secrets=False)
    back = read_back(text)
    if file.accounts is None or file.accounts.mnemonic is None:
        assert back == file
        return
    assert file.accounts.mnemonic not in text
    assert back.accounts is not None
    assert back.accounts.mnemonic is None
    assert replace(back, accounts=file.accounts) == file


@LAW
@given(target_files(), st.dictionaries(st.text(max_size=5), st.text(max_size=10)))
def test_any_target_file_is_resolved_or_refused(file: TargetFile, environ: dict[str, str]) -> None:
    """Law: resolving raises DocumentError and nothing else, and each problem is a line; what it gives is complete."""
    try:
        target = resolve(file, source="here", environ=environ)
    except DocumentError as error:
        lines = str(error).splitlines()
    else:
        assert [node.name for node in target.nodes] == [entry.name for entry in file.node]
        assert all(node.rpc_url.lower().startswith(("http://", "https://")) for node in target.nodes)
        return
    assert lines
    assert all(line.startswith("here: ") and "; expected " in line for line in lines)


_url_parts = st.lists(
    st.sampled_from(["http://", "https:", "//", "h", ":", "1", "[", "]", "@", "/", "?", "#", "%", " ", "é", "\x01"])
)


@LAW
@given(_url_parts.map("".join).filter(bool), _url_parts.map("".join).filter(bool))
def test_any_address_is_taken_or_refused(rpc: str, grpc: str) -> None:
    """Law: the same for texts that are nearly addresses."""
    node = NodeEntry(name="n", rpc=rpc, grpc=grpc)
    file = TargetFile(name="t", environment=Environment.DEV, chain_id="c", node=(node,))
    try:
        (found,) = resolve(file, source="here", environ={}).nodes
    except DocumentError:
        return
    assert found.rpc_url.startswith(("http://", "https://"))
    assert found.grpc_address is not None
    assert found.grpc_address.rpartition(":")[2].isdigit()
