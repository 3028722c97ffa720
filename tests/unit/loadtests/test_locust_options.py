"""What Locust is told on its command line, and what it says when that is wrong: one sentence, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from locust.argument_parser import get_parser

from loadtests.kit import session as _session  # adds our options  # noqa: F401
from tests.unit.loadtests.kit_session import TARGET
from tests.unit.loadtests.locust_process import Ended, locust

pytestmark = pytest.mark.slow

HEADLESS = ("--headless", "-u", "1", "-r", "1", "-t", "1")
NODE = '[[node]]\nname = "node-0"\nrpc = "http://127.0.0.1:1"\n'


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TARGET", "BUNDLE", "RATE_PER_USER", "LOADS", "SEED", "START_AT_S", "LOAD_S"):
        monkeypatch.delenv(f"GAMEDAY_{name}", raising=False)


def test_defaults() -> None:
    options = get_parser().parse_args([])
    assert (options.target_file, options.bundle, options.rate_per_user) == ("target.toml", "", 1.0)
    assert (options.loads, options.tx_order, options.seed) == ("", "auto", 1)
    assert (options.confirm_limit, options.start_at, options.load_time) == (60.0, 0.0, None)


def test_options_come_from_the_command_line_and_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_LOADS", "transfer:5@2")
    monkeypatch.setenv("GAMEDAY_SEED", "7")
    monkeypatch.setenv("GAMEDAY_START_AT_S", "1700000000.25")
    options = get_parser().parse_args(["--seed", "8", "--rate-per-user", "0.5"])
    assert options.loads == "transfer:5@2"  # text, which a Locust master can send to its workers
    assert (options.seed, options.rate_per_user, options.start_at) == (8, 0.5, 1700000000.25)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rate-per-user", "0"),
        ("--rate-per-user", "-1"),
        ("--rate-per-user", "fast"),
        ("--rate-per-user", "nan"),
        ("--rate-per-user", "inf"),
        ("--confirm-limit", "0"),
        ("--confirm-limit", ""),
        ("--load-time", "0"),
        ("--load-time", "10s"),
        ("--loads", "transfer"),
        ("--loads", "transfer:0@1"),
        ("--loads", "transfer:1@1,transfer:2@1"),
        ("--tx-order", "random"),
        ("--seed", "1.5"),
        ("--start-at", "soon"),
    ],
)
def test_a_wrong_option_is_told_with_its_name_and_value(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        get_parser().parse_args([option, value])
    assert caught.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"argument {option}" in last
    assert value.split(":")[0] in last


def test_a_wrong_variable_is_told_as_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GAMEDAY_RATE_PER_USER", "fast")
    with pytest.raises(SystemExit) as caught:
        get_parser().parse_args([])
    assert caught.value.code == 2
    assert "'fast' is no positive number" in capsys.readouterr().err


def a_target_file(folder: Path, text: str = TARGET + NODE) -> Path:
    path = folder / "target.toml"
    path.write_text(text)
    return path


def assert_refused(ended: Ended, *sentences: str) -> None:
    """Exit code 2, every sentence on a line, and no traceback."""
    assert ended.code == 2, ended.text
    for sentence in sentences:
        assert any(line.startswith(sentence) for line in ended.text.splitlines()), ended.text
    assert "Traceback" not in ended.text


def test_a_target_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "no.toml"
    ended = locust("query.py", *HEADLESS, "--target-file", missing)
    assert_refused(ended, f"{missing}: does not exist")


def test_every_problem_of_a_target_file_is_told(tmp_path: Path) -> None:
    path = a_target_file(tmp_path, 'name = "x"\nenvironment = "moon"\n')
    ended = locust("query.py", *HEADLESS, GAMEDAY_TARGET=str(path))
    assert_refused(ended, f"{path}: environment is 'moon'", f"{path}: chain_id is missing", f"{path}: node is missing")


def test_a_load_that_no_file_has_is_refused(tmp_path: Path) -> None:
    path = a_target_file(tmp_path)
    ended = locust("query.py", *HEADLESS, "--target-file", path, "--loads", "query:1@1,transfr:5@1")
    assert_refused(ended, "--loads names transfr; expected some of query")


def test_a_bundle_in_use_is_refused(tmp_path: Path) -> None:
    """Another Locust process has recorded there: its samples are not written over."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "local.arrows").write_bytes(b"theirs")
    ended = locust("query.py", *HEADLESS, "--target-file", a_target_file(tmp_path), "--bundle", tmp_path)
    assert_refused(ended, f"cannot record into {tmp_path}: ")
    assert (tmp_path / "samples" / "local.arrows").read_bytes() == b"theirs"


def test_a_bundle_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    path = a_target_file(tmp_path)
    ended = locust("query.py", *HEADLESS, "--target-file", path, "--bundle", path / "within")
    assert_refused(ended, f"cannot record into {path}/within: ")
