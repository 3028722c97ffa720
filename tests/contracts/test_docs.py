"""The documentation and the code say the same: names, defaults, examples, links, commands.

A name that a person may write or meet (option, field, column, code, variable) has to stand on the page where it
belongs, and a page lists none that there is not. Locust is not imported: its options are read from the source.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from analysis.budget import Budget, BudgetChange, Rulebook, Severity, WindowName, read_rulebook
from analysis.indicator import Source
from analysis.indicators import INDICATORS
from analysis.judge import judge
from analysis.transactions import Contradiction, State, Why
from bundle import BundleLayout, DamageKind, ErrorKind, FaultEvent, FaultEventKind, Outcome, RunEnd, parse_document
from bundle.manifest import ExpectedFault, ExpectedLoad, ExpectedOperation, Manifest, SealRecord, TargetRecord
from bundle.tables import ALL_TABLES, Rejection, Table
from devnet.network import NetworkSpec
from experiments.guards import GUARDS
from gamedays.cli import cli
from gamedays.exit_code import ExitCode
from gamedays.plan import FaultEntry, LoadEntry, PlanFile, load_plan
from loadtests.catalogue import Operation, Scenario, ScenarioFile, scenarios
from target.file import AccountsEntry, ApiEntry, NodeEntry, ProviderEntry, TargetFile
from target.target import resolve
from tests.bundles import healthy

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
ROOMS = ("analysis", "bundle", "devnet", "experiments", "gamedays", "loadtests", "observers", "reports", "target")
MADE_BY_THE_READER = {"loadtests/supply.py", "experiments/validator_black_hole.yaml"}
"""Files that a how-to tells its reader to make."""
_NOT_OURS = {".venv", "runs", "build", ".pytest_cache", ".hypothesis", "node_modules"}
_RUNNABLE = re.compile(r"(?:\.venv/bin/)?gameday (?:.* )?(?:validate|list|--help)\b")
_MNEMONIC = "test " * 11 + "junk"


# --- reading Markdown ---


@cache
def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def section(name: str, title: str) -> str:
    """Return what stands under a heading, up to the next heading."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,6}} |\Z)", page(name) + "\n", re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section {title!r}"
    return found[2]


def rows(text: str) -> dict[str, str]:
    """Return the rows of tables whose first cell has names in code, by name."""
    found: dict[str, str] = {}
    for line in without_code(text).splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) > 2:
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[1]), line)
    return found


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def markdown_files() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.md")) if not _NOT_OURS & set(path.relative_to(ROOT).parts)]


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def _commands_of(path: Path) -> list[str]:
    """Return the commands of a page that change nothing, where they begin a block."""
    chosen = [block for block in blocks(path, "sh") if _RUNNABLE.match(block)]
    return [line for block in chosen for line in block.splitlines() if _RUNNABLE.match(line)]


def name_of(path: object) -> str:
    """Return a path as the name of a test case."""
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else str(path)


# --- the command line ---


def commands(group: click.Group = cli, path: tuple[str, ...] = ("gameday",)) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_has_its_options_and_defaults(name: str, command: click.Command) -> None:
    """Each command is a section, each option a row with its default."""
    listed = rows(section("reference/cli.md", f"`{name}`"))
    told = {part.split()[0] for part in listed if part.startswith("--")}
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert told == {text for option in options for text in (*option.opts, *option.secondary_opts)}
    for option in options:
        if isinstance(option.default, int | str | Path) and option.default not in (False, True, ""):
            line = next(line for part, line in listed.items() if part.split()[0] == option.opts[0])
            assert str(option.default) in line.split("|")[2], f"{option.opts[0]}: the default is {option.default}"


def test_every_exit_code_is_told() -> None:
    table = section("reference/cli.md", "Exit codes")
    assert [int(number) for number in re.findall(r"^\| (\d) \|", table, re.MULTILINE)] == [
        code.value for code in ExitCode
    ]


# --- what people write: plans, Target files, budgets, scenarios ---


def _default(cls: type[Any], name: str) -> object:
    found = next(each for each in fields(cls) if each.name == name)
    if found.default is not MISSING:
        return found.default
    return None if found.default_factory is not MISSING else MISSING


def assert_fields(cls: type[Any], text: str, *, without_defaults: bool = False) -> None:
    """The table lists exactly the fields of a document, each with its default."""
    listed = rows(text)
    assert set(listed) >= {each.name for each in fields(cls)}
    told = {name for name, line in listed.items() if name == re.findall(r"`([^`]+)`", line)[0]}
    assert told - {each.name for each in fields(cls)} == set()
    for each in fields(cls) if not without_defaults else ():
        default, line = _default(cls, each.name), listed[each.name]
        match default:
            case None | ():
                continue
            case bool():
                expected = str(default).lower()
            case int() | float():
                expected = f"{default:g}"
            case _:
                expected = "required" if default is MISSING else (str(default) or '`""`')
        assert expected in line.replace(",", ""), f"{each.name}: the default is {expected}"


PLAN, TARGET, BUDGETS = "reference/plan.md", "reference/target-file.md", "reference/budgets.md"


@pytest.mark.parametrize(
    ("cls", "name", "title"),
    [
        (PlanFile, PLAN, "Top level"),
        (LoadEntry, PLAN, "`[[load]]`"),
        (FaultEntry, PLAN, "`[[fault]]`"),
        (BudgetChange, PLAN, "`[[budget]]`"),
        (NetworkSpec, PLAN, "`[devnet]`"),
        (TargetFile, TARGET, "Top level"),
        (NodeEntry, TARGET, "`[[node]]`"),
        (ProviderEntry, TARGET, "`[[provider]]`"),
        (ApiEntry, TARGET, "`[[api]]`"),
        (AccountsEntry, TARGET, "`[accounts]`"),
        (Budget, BUDGETS, "Fields"),
    ],
)
def test_every_field_is_told_with_its_default(cls: type[Any], name: str, title: str) -> None:
    assert_fields(cls, section(name, title))


def test_every_field_of_the_catalogue_is_told() -> None:
    listed = rows(page("how-to/add-a-scenario.md"))
    expected = {each.name for each in fields(Scenario)} - {"operation"} | {
        f"operation[].{each.name}" for each in fields(Operation)
    }
    assert set(listed) == expected


@pytest.mark.parametrize("kind", [WindowName, Severity])
def test_every_choice_of_a_budget_is_told(kind: type[StrEnum]) -> None:
    text = section(BUDGETS, "Fields") + section(BUDGETS, "Windows")
    assert all(f"`{value}`" in text for value in kind)


def test_the_rulebook_is_told_as_it_is() -> None:
    """Each budget is a row with its indicator, statistic, limit, window and severity."""
    listed = rows(section(BUDGETS, "The rulebook"))
    assert set(listed) >= set(read_rulebook())
    for budget in read_rulebook().values():
        line = listed[budget.id].replace(",", "")
        for part in (f"`{budget.indicator}` {budget.statistic}", f" {budget.limit:g}", budget.window, budget.severity):
            assert part in line, f"{budget.id}: {part}"


# --- what is in a bundle ---


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
def test_every_column_is_told_with_its_type(table: Table) -> None:
    names = {"double": "float", "int64": "integer", "int32": "integer", "string": "text", "bool": "true or false"}
    listed = rows(section("reference/bundle.md", f"`{table.name}`"))
    assert list(listed) == table.schema.names
    for column in table.schema:
        kind = names[str(column.type)] + (", null" if column.nullable else "")
        assert listed[column.name].split("|")[2].strip() == kind, column.name


def test_every_file_and_event_is_told() -> None:
    text, events = section("reference/bundle.md", "Files"), section("reference/bundle.md", "Fault journal")
    layout = BundleLayout(root=Path("bundle"))
    found = {getattr(layout, name) for name, value in vars(BundleLayout).items() if isinstance(value, property)}
    assert all(path.name in text for path in found if isinstance(path, Path))
    told = set(rows(events))
    assert told == {each.name for each in fields(FaultEvent)} | {kind.value for kind in FaultEventKind}


def test_every_field_of_the_manifest_is_told() -> None:
    name = "reference/manifest.md"
    top = rows(section(name, "Top level"))
    assert set(top) == {each.name for each in fields(Manifest)} | {end.value for end in RunEnd}
    assert_fields(TargetRecord, section(name, "`target`"), without_defaults=True)
    assert_fields(ExpectedLoad, section(name, "`loads`"), without_defaults=True)
    assert all(f"`{each.name}`" in section(name, "`loads`") for each in fields(ExpectedOperation))
    assert set(rows(section(name, "`faults`"))) == {each.name for each in fields(ExpectedFault)}
    assert_fields(SealRecord, section(name, "`seal`"), without_defaults=True)


def test_every_outcome_and_error_kind_is_told() -> None:
    listed = rows(section("reference/outcomes-and-error-kinds.md", "Outcomes and error kinds"))
    assert set(listed) == {value.value for kind in (Outcome, ErrorKind) for value in kind}


@pytest.mark.parametrize(
    ("title", "kinds"),
    [("Rejections", (Rejection,)), ("What became of a transaction", (State, Why, Contradiction))],
)
def test_every_end_of_a_transaction_is_told(title: str, kinds: tuple[type[StrEnum], ...]) -> None:
    listed = rows(section("reference/outcomes-and-error-kinds.md", title))
    assert set(listed) == {value.value for kind in kinds for value in kind}


# --- what a verdict says ---


def test_every_indicator_and_source_is_told() -> None:
    listed = rows(page("reference/indicators.md"))
    assert {name for name in listed if "." in name} == set(INDICATORS)
    assert {source.value for source in Source} <= set(listed)


def test_every_check_is_told(tmp_path: Path) -> None:
    """The checks of a judgement, and those that are made only when something breaks."""
    _, judgement = judge(healthy().write(tmp_path))
    found = {check.name for check in judgement.checks}
    for tree in _analysis():
        for call in _calls(tree, "guarded", "crashed"):
            found |= {text for text in _texts(call.args[0]) if "." in text}
    found -= set(INDICATORS)
    assert {name for name in rows(page("reference/checks.md")) if "." in name} == found


def test_every_reason_code_is_told() -> None:
    assert set(rows(page("reference/reasons.md"))) == set(reason_codes())


def _analysis() -> Iterator[ast.Module]:
    for path in sorted((ROOT / "analysis").rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def _calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def _texts(node: ast.AST) -> list[str]:
    """Return the texts that an expression may be; values of an enum stand for a part of an f-string."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return _texts(one) + _texts(other)
        case ast.JoinedStr(values=[ast.Constant(value=str(head)), ast.FormattedValue()]):
            values = {"bundle.": DamageKind, "run.": set(RunEnd) - {RunEnd.COMPLETED}}
            assert head in values, f'a code f"{head}{{…}}": say here which values it takes'
            return [f"{head}{value}" for value in values[head]]  # type: ignore[attr-defined]
    return []


def reason_codes() -> Iterator[str]:
    """Yield the code of every reason in `analysis`: given by name, through a variable, or through a parameter."""
    for tree in _analysis():
        for call in _calls(tree, "Reason"):
            yield from (text for word in call.keywords if word.arg == "code" for text in _texts(word.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "code" for name in node.targets):
                yield from _texts(node.value)
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
                for call in _calls(tree, node.name) if "code" in names else ():
                    given = call.args[names.index("code")] if len(call.args) > names.index("code") else None
                    named = next((word.value for word in call.keywords if word.arg == "code"), given)
                    yield from _texts(named) if named else []


# --- scenarios, experiments, variables ---


@pytest.mark.parametrize("scenario", list(scenarios().values()), ids=lambda scenario: scenario.name)
def test_every_operation_is_told_with_its_share(scenario: Scenario) -> None:
    listed = rows(section("reference/scenarios.md", f"`{scenario.name}`"))
    assert {name for name in listed if "." in name} == {operation.name for operation in scenario.operation}
    for operation in scenario.operation:
        cells = [cell.strip(" %") for cell in listed[operation.name].split("|")]
        assert cells[2] == operation.protocol
        assert operation.share is None or cells[3] == f"{100 * operation.share:g}", operation.name


def test_every_option_of_a_scenario_is_told() -> None:
    """Options of ours with their variables and defaults, read from the source: importing it would import Locust."""
    listed = rows(section("reference/scenarios.md", "Options"))
    tree = ast.parse((ROOT / "loadtests" / "kit" / "options.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_add_argument(node)]
    assert len(calls) >= 10
    assert set(listed) == {_texts(call.args[0])[0] for call in calls}
    for call in calls:
        line = listed[_texts(call.args[0])[0]]
        words = {word.arg: word.value for word in call.keywords}
        assert f"`{_texts(words['env_var'])[0]}`" in line
        default = ast.literal_eval(words["default"])
        if default not in (None, "", 0.0) and default != {}:
            assert f"{default:g}" in line if isinstance(default, int | float) else f"`{default}`" in line, line


def _is_add_argument(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_is_told_with_its_variables(path: Path) -> None:
    name = "reference/experiments.md"
    assert f"\n| `{path.stem}` |" in section(name, "The experiments")
    variables = rows(section(name, "Environment variables"))
    for setting in yaml.safe_load(path.read_text(encoding="utf-8"))["configuration"].values():
        place = section(name, "The experiments") if setting["key"].endswith("_TARGETS") else variables[setting["key"]]
        assert str(setting["default"]) in place


def test_every_guard_is_told() -> None:
    text = section("reference/experiments.md", "Guards")
    told = {line.split("|")[1].strip().replace("'", "") for line in text.splitlines() if line.startswith("| ")}
    assert told >= {guard.__name__.replace("_", " ") for guard in GUARDS}


def test_every_variable_is_told() -> None:
    """Each GAMEDAY_ variable of the code is on the page, and the page knows no other."""
    sources = [path for room in ROOMS for kind in ("*.py", "*.yaml") for path in (ROOT / room).rglob(kind)]
    pattern = re.compile(r"\bGAMEDAY_[A-Z][A-Z_]*[A-Z]\b")
    used = {name for path in sources for name in pattern.findall(path.read_text(encoding="utf-8"))}
    assert set(pattern.findall(page("reference/environment-variables.md"))) == used


# --- pages as a whole ---


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("path", markdown_files(), ids=name_of)
def test_links_resolve(path: Path) -> None:
    """Every relative link leads to a file, and to a heading in it where it names one."""
    text = re.sub(r"`[^`\n]*`", "`", without_code(path.read_text(encoding="utf-8")))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        other = (path.parent / file).resolve() if file else path
        assert other.exists(), f"{link} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", without_code(other.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{link}: there is no such heading"


def test_the_index_leads_to_every_page() -> None:
    linked = {(DOCS / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)\)", page("README.md"))}
    ours = [path for path in pages() if path.parent.name != "decisions" and path.parent != DOCS]
    assert [name_of(path) for path in ours if path not in linked] == []


@pytest.mark.parametrize("path", [*pages(), *(ROOT / room / "README.md" for room in ROOMS)], ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    """A path in a room, and in a room's README each module, is there."""
    text = without_code(path.read_text(encoding="utf-8"))
    for name in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./-]+\.(?:py|toml|yaml|md))`", text):
        assert name in MADE_BY_THE_READER or (ROOT / name).is_file(), f"{name} does not exist"
    if path.parent.name in ROOMS:
        for module in re.findall(r"`(\w+\.(?:py|toml))`", text):
            assert next(path.parent.rglob(module), None) or next(ROOT.glob(f"*/{module}"), None), f"no {module}"


@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_examples_are_valid(path: Path, tmp_path: Path) -> None:
    """Each TOML example is a plan, a Target file, budgets or scenarios; YAML and Python can be read."""
    for text in blocks(path, "toml"):
        _assert_valid(tomllib.loads(text), tmp_path, text)
    for text in blocks(path, "yaml"):
        assert isinstance(yaml.safe_load(text), dict)
    for text in blocks(path, "python"):
        ast.parse(textwrap.dedent(text))


def _assert_valid(raw: dict[str, Any], folder: Path, text: str) -> None:
    if "hypothesis" in raw:
        file = folder / f"{raw['name']}.toml"
        file.write_text(text, encoding="utf-8")
        load_plan(file)
    elif "chain_id" in raw:
        parsed = parse_document(TargetFile, raw, source="the example")
        secrets = dict.fromkeys(re.findall(r'_env = "(\w+)"', text), _MNEMONIC)
        resolve(parsed, source="the example", environ=secrets)
    elif "scenario" in raw:
        parse_document(ScenarioFile, raw, source="the example")
    elif "indicator" in raw["budget"][0]:
        parsed_budgets = parse_document(Rulebook, raw, source="the example").budget
        assert all(budget.indicator in INDICATORS for budget in parsed_budgets)
    else:
        for change in raw["budget"]:
            assert parse_document(BudgetChange, change, source="the example").id in read_rulebook()


@pytest.mark.parametrize("path", [path for path in pages() if _commands_of(path)], ids=name_of)
def test_commands_that_change_nothing_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shell blocks that begin with `gameday validate`, `list` or `--help` do what their page says, on its examples."""
    monkeypatch.chdir(tmp_path)
    for room in ROOMS:
        Path(room).symlink_to(ROOT / room)
    for text in blocks(path, "toml"):
        if name := tomllib.loads(text).get("name"):
            Path(f"{name}.toml").write_text(text, encoding="utf-8")
    for line in _commands_of(path):
        answer = CliRunner().invoke(cli, line.split()[1:])
        assert answer.exit_code == 0, f"{line}: {answer.output}"
