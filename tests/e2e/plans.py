"""Short plans for the end-to-end tests: the shipped ones take two minutes each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUICK = ("PB-L-02", "PB-L-03", "CE-NO-BLOCK")
"""Budgets that a short run can decide."""

TRANSFER = {"scenario": "transfer", "users": 20}
QUERY = {"scenario": "query", "users": 10, "rate_per_user_per_s": 2.0}
PROVIDER = {"scenario": "provider", "users": 2, "rate_per_user_per_s": 5.0}


def write_plan(
    folder: Path,
    name: str,
    *,
    load_s: float = 20,
    loads: Sequence[dict[str, Any]] = (TRANSFER, QUERY),
    faults: Sequence[dict[str, Any]] = (),
    budgets: Sequence[str] = QUICK,
    changes: Sequence[dict[str, Any]] = (),
    devnet: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """Write a plan and return its path."""
    top: dict[str, Any] = {"name": name, "title": f"Test {name}", "hypothesis": "The test says so."}
    top |= {"baseline_s": 4, "load_s": load_s, "budgets": list(budgets), **fields}
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for table, entries in (("load", loads), ("fault", faults), ("budget", changes)):
        for entry in entries:
            lines += [f"[[{table}]]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
    if devnet is not None:
        plain = {key: value for key, value in devnet.items() if not isinstance(value, dict)}
        lines += ["[devnet]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
        for key, value in devnet.items():
            if isinstance(value, dict):
                for name_, settings in value.items():
                    lines += [f"[devnet.{key}.{name_}]", *(f"{k} = {json.dumps(v)}" for k, v in settings.items())]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: Any) -> str:
    """Return a value as TOML; a dict becomes an inline table."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)
