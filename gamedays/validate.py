"""Is a file what it claims to be: a plan, a Target file, a rulebook of budgets, an experiment, a bundle?"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from analysis.budget import read_budgets
from bundle import Damage, DocumentError, Problem, find_damage, open_bundle, read_manifest
from gamedays.plan import load_plan
from target.file import TargetFile, read_target_file
from target.target import check_addresses


def validate(path: Path) -> str:
    """Return in words what the file is. Raises DocumentError or NotABundle with everything that is wrong."""
    if os.path.isdir(path):  # unlike Path.is_dir, it raises for no name at all
        return _bundle(path)
    if path.suffix in (".yaml", ".yml"):
        return _experiment(path)
    match _kind(path):
        case "target":
            file = _target(path)
            return f"a target, {file.name}, with {len(file.node)} nodes"
        case "budgets":
            return f"a rulebook of {len(read_budgets(path))} budgets"
    plan = load_plan(path)
    if plan.file.target_file is not None:
        _target(path.parent / plan.file.target_file)
    return f"a plan, {plan.file.name}, with {len(plan.file.load)} loads and {len(plan.file.fault)} faults"


def _kind(path: Path) -> str:
    """Return what a file seems to be; "plan" when nothing tells, so that its errors are a plan's."""
    if path.suffix == ".json":
        return "budgets"  # as in a bundle: nothing else that a person writes is JSON
    try:
        keys = set(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return "plan"  # reading it as one says what is wrong
    if "node" in keys or "chain_id" in keys:
        return "target"
    return "budgets" if keys == {"budget"} else "plan"


def _target(path: Path) -> TargetFile:
    """Return the Target file at `path`, its addresses checked. Its secrets may be known elsewhere only."""
    file = read_target_file(path)
    check_addresses(file, source=str(path))
    return file


def _bundle(path: Path) -> str:
    layout = open_bundle(path)
    damage = find_damage(layout, read_manifest(layout.manifest))
    if damage:
        raise DocumentError(str(path), tuple(_damage_problem(item) for item in damage))
    return "a bundle, as sealed"


def _damage_problem(damage: Damage) -> Problem:
    name = damage.file if damage.file.isprintable() else ascii(damage.file)
    return Problem(where=name, found=f"is {damage.kind}: {damage.detail}", expected="it as sealed")


def _experiment(path: Path) -> str:
    """Ask Chaos Toolkit, in a process of its own."""
    if not path.is_file():
        raise DocumentError(str(path), (Problem(where="", found="does not exist", expected="a YAML file"),))
    # Configuration comes from the environment; a validation must not need a target to be there.
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", os.devnull, "validate"]
    answer = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False, timeout=120)
    if answer.returncode:
        lines = [
            line.strip() for line in (answer.stdout + answer.stderr).splitlines() if "ERROR" in line or "error" in line
        ]
        why = lines[-1] if lines else f"chaostoolkit ended with code {answer.returncode}"
        raise DocumentError(str(path), (Problem(where="", found=f"is refused: {why}", expected="a valid experiment"),))
    return "a Chaos Toolkit experiment"
