"""Flags, configuration files, and what is said about those that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devnet.provider.__main__ import main
from devnet.provider.flags import FLAGS, Options, UsageProblem, parse_options


def test_defaults_are_the_real_daemons() -> None:
    assert parse_options([]) == Options(
        listen_host="",
        listen_port=8080,
        chain_id="virtengine-1",
        auth_secret="",
        allow_insecure=True,
        require_veid=True,
        veid_score_min=80,
        shell_session_ttl_s=600,
        vault_enabled=True,
    )


def test_every_flag_is_read() -> None:
    options = parse_options(
        [
            *("start", "--listen", "[::1]:1234", "--node", "tcp://127.0.0.1:26657", "--chain-id=virtengine-devnet-1"),
            *("--portal-auth-secret", "s", "--portal-allow-insecure", "false", "--portal-require-veid=f"),
            *("--portal-min-veid-score", "5", "--portal-shell-session-ttl", "90s", "--portal-token-ttl", "1m"),
            *("--vault-enabled=0",),
        ]
    )
    assert options == Options(
        listen_host="::1",
        listen_port=1234,
        chain_id="virtengine-devnet-1",
        auth_secret="s",
        allow_insecure=False,
        require_veid=False,
        veid_score_min=5,
        shell_session_ttl_s=90,
        vault_enabled=False,
    )


def test_a_bare_boolean_is_true() -> None:
    assert parse_options(["--portal-require-veid", "--vault-enabled"]).require_veid


def test_flags_without_effect_are_accepted_with_their_defaults() -> None:
    for name, flag in FLAGS.items():
        assert parse_options([f"--{name}={flag.default}"])


PROBLEMS = [
    (["--listen", "8080"], "--listen is '8080'; expected host:port with a port from 0 to 65535"),
    (["--listen", "127.0.0.1:http"], "--listen is '127.0.0.1:http'; expected host:port"),
    (["--listen", "127.0.0.1:65536"], "--listen is '127.0.0.1:65536'; expected host:port"),
    (["--listen", "::1:80"], "--listen is '::1:80'; expected host:port"),
    (["--portal-allow-insecure", "maybe"], "--portal-allow-insecure is 'maybe'; expected true or false"),
    (["--portal-min-veid-score", "high"], "--portal-min-veid-score is 'high'; expected a whole number"),
    (["--portal-shell-session-ttl", "10"], "--portal-shell-session-ttl is '10'; expected a duration"),
    (["--portal-token-ttl", "0"], "--portal-token-ttl is '0'; expected a duration more than 0"),
    (["--chain-id", ""], "--chain-id is ''; expected a chain identifier"),
    (["--waldur-enabled"], "this stand-in has no Waldur bridge"),
    (["--provisioning-enabled", "true"], "this stand-in has no provisioning"),
    (["--tracing-enabled"], "this stand-in has no tracing"),
    (["--key-dir", "keys"], "this stand-in has no key store"),
    (["--nope"], "unrecognized arguments: --nope"),
    (["--lis", ":1"], "unrecognized arguments: --lis :1"),
    (["--listen"], "argument --listen: expected one argument"),
    (["stop"], "unrecognized arguments: stop"),
    (["--config", "missing.toml"], "missing.toml: cannot be read: No such file or directory"),
    (["--config", "daemon.yaml"], "--config is 'daemon.yaml'; expected a file ending in .toml or .json"),
]


@pytest.mark.parametrize(("arguments", "sentence"), PROBLEMS)
def test_problems_are_one_line_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("provider-daemon stand-in: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_options(["--listen", "x", "--vault-enabled", "y", "--chain-id", ""])
    assert all(name in str(caught.value) for name in ("--listen", "--vault-enabled", "--chain-id"))


def test_help_lists_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{name}" in text for name in FLAGS)


@pytest.mark.parametrize("name", ["daemon.toml", "daemon.json"])
def test_a_file_is_read_and_flags_win(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    settings = {"listen": "127.0.0.1:9000", "portal-min-veid-score": 60, "vault-enabled": False, "chain-id": "c-1"}
    if path.suffix == ".json":
        path.write_text(json.dumps(settings))
    else:
        path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()))
    options = parse_options(["--config", str(path), "--chain-id", "c-2"])
    assert (options.listen_port, options.veid_score_min, options.vault_enabled) == (9000, 60, False)
    assert options.chain_id == "c-2"


BAD_FILES = [
    ("a.toml", "listen = ", "not TOML"),
    ("a.json", "{", "not JSON"),
    ("a.json", "[]", "holds a list; expected flag names with values"),
    ("a.json", '{"lisen": ":1", "node": [1]}', "lisen is not a flag; node is a list; expected text"),
    ("a.json", '{"listen": "nowhere"}', "--listen is 'nowhere'"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), BAD_FILES)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageProblem) as caught:
        parse_options(["--config", str(path)])
    assert sentence in str(caught.value)


def test_a_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a.toml"
    folder.mkdir()
    with pytest.raises(UsageProblem, match="cannot be read"):
        parse_options(["--config", str(folder)])
