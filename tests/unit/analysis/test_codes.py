"""Reason codes are an interface: each one that the analysis can give has a test that gives it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import analysis
from bundle import DamageKind, RunEnd

SOURCES = sorted(Path(analysis.__file__).parent.rglob("*.py"))
TESTS = sorted(path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
CODE = re.compile(r"[a-z]+\.[a-z_]+")


def given(source: Path) -> set[str]:
    """Return the codes that a module gives: the text of every `code=…`, and of the calls that stand for one."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            texts = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if isinstance(node.func, ast.Name) and node.func.id in ("_fault_reason", "_different"):
                texts += node.args
            found |= {text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)}
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
            constants = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            found |= {text for text in constants if isinstance(text, str)}
    return {text for text in found if CODE.fullmatch(text)}


ALL = set().union(*(given(source) for source in SOURCES))


def test_codes_are_found_where_they_are_given() -> None:
    """The search above finds what it should: one code of each way in which codes are written."""
    assert {"clock.jumped", "fault.no_effect", "load.nothing_offered", "fork.app_hash", "check.crashed"} <= ALL


@pytest.mark.parametrize("code", sorted(ALL))
def test_each_code_is_given_by_a_test(code: str) -> None:
    assert any(f'"{code}"' in test.read_text(encoding="utf-8") for test in TESTS)


@pytest.mark.parametrize("kind", [*DamageKind, *(end for end in RunEnd if end is not RunEnd.COMPLETED)])
def test_codes_made_of_a_kind_are_stable(kind: str) -> None:
    """`bundle.…` and `run.…` are followed by a word that may stand in a code."""
    assert CODE.fullmatch(f"bundle.{kind}")
