"""The command line and the configuration file of the stand-in, resolved to one validated value.

Names and defaults are those of the real daemon. A value is taken from the flag, else from the file, else from the
default. Every problem is reported at once, in one line.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from devnet.provider.gotext import parse_bool, parse_duration_s, parse_int

PORT_MAX = 65_535
# The real daemon needs this word before its flags; here it may be left out.
COMMAND = "start"


class UsageProblem(Exception):
    """The command line or the file cannot be used; the text is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the stand-in runs with; flags without an effect here are checked and then dropped.

    An empty `listen_host` means every interface, port 0 any free one.
    """

    listen_host: str
    listen_port: int
    chain_id: str
    auth_secret: str
    allow_insecure: bool
    require_veid: bool
    veid_score_min: int
    shell_session_ttl_s: float
    vault_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flag:
    """One flag: how its text is read, its default, and what it does here."""

    parse: Callable[[str], Any]
    default: str
    help: str
    # What a value other than "" or false would ask for, where a stand-in does not have it.
    absent: str = ""


def _listen_address(text: str) -> tuple[str, int]:
    host, found, port_text = text.rpartition(":")
    if not found:
        raise ValueError("no port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets")
    port = parse_int(port_text)
    if not 0 <= port <= PORT_MAX:
        raise ValueError("no such port")
    return host, port


def _positive_duration_s(text: str) -> float:
    duration_s = parse_duration_s(text)
    if duration_s <= 0:
        raise ValueError("not more than 0")
    return duration_s


def _chain_id(text: str) -> str:
    # The real daemon starts without one and then refuses every wallet signature.
    if not text:
        raise ValueError("empty")
    return text


EXPECTED: dict[Callable[[str], Any], str] = {
    _listen_address: "host:port with a port from 0 to 65535",
    _positive_duration_s: "a duration more than 0, such as 90s or 10m",
    parse_int: "a whole number",
    parse_bool: "true or false",
    _chain_id: "a chain identifier",
}

FLAGS: dict[str, _Flag] = {
    "listen": _Flag(parse=_listen_address, default=":8080", help="address of the portal API"),
    "metrics": _Flag(parse=str, default=":9090", help="ignored: the real daemon prints it and listens nowhere"),
    "node": _Flag(parse=str, default="tcp://localhost:26657", help="CometBFT RPC; accepted, never contacted"),
    "chain-id": _Flag(parse=_chain_id, default="virtengine-1", help="chain that wallet signatures name"),
    "provider-key": _Flag(parse=str, default="provider", help="ignored: nothing is signed"),
    "key-dir": _Flag(parse=str, default="", help="must stay empty", absent="key store"),
    "portal-auth-secret": _Flag(parse=str, default="", help="secret of HMAC requests"),
    "portal-allow-insecure": _Flag(parse=parse_bool, default="true", help="unsigned requests act for dev"),
    "portal-require-veid": _Flag(parse=parse_bool, default="true", help="the shell asks for X-VEID-Score"),
    "portal-min-veid-score": _Flag(parse=parse_int, default="80", help="least score for the shell"),
    "portal-shell-session-ttl": _Flag(parse=_positive_duration_s, default="10m", help="life of a shell session"),
    "portal-token-ttl": _Flag(parse=_positive_duration_s, default="5m", help="ignored: the session's life decides"),
    "vault-enabled": _Flag(parse=parse_bool, default="true", help="serve the vault"),
    "provisioning-enabled": _Flag(parse=parse_bool, default="false", help="must stay false", absent="provisioning"),
    "provisioning-dry-run": _Flag(parse=parse_bool, default="true", help="ignored"),
    "bid-rate-limit-minute": _Flag(parse=parse_int, default="10", help="ignored: it never bids"),
    "bid-rate-limit-hour": _Flag(parse=parse_int, default="100", help="ignored: it never bids"),
    "metering-interval": _Flag(parse=_positive_duration_s, default="1h", help="ignored: nothing is metered"),
    "tracing-enabled": _Flag(parse=parse_bool, default="false", help="must stay false", absent="tracing"),
    "tracing-endpoint": _Flag(parse=str, default="localhost:4317", help="ignored"),
    "waldur-enabled": _Flag(parse=parse_bool, default="false", help="must stay false", absent="Waldur bridge"),
    "waldur-chain-grpc": _Flag(parse=str, default="localhost:9090", help="ignored"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageProblem(message)


def parse_options(arguments: list[str]) -> Options:
    """The options that `arguments` (without the program's name) ask for; UsageProblem otherwise."""
    # Not a positional argument: argparse would take a misspelt flag's value for it, and say so.
    flags = arguments[1:] if arguments[:1] == [COMMAND] else arguments
    written = vars(_parser().parse_args(flags))
    from_flags = {name: written[name] for name in FLAGS if written[name] is not None}
    from_file = _read_file(Path(written["config"])) if written["config"] else {}
    return resolve({**from_file, **from_flags})


def resolve(written: Mapping[str, str]) -> Options:
    """Complete options from flag texts; UsageProblem names every value that cannot be used."""
    values: dict[str, Any] = {}
    problems = []
    for name, flag in FLAGS.items():
        text = written.get(name, flag.default)
        try:
            values[name] = flag.parse(text)
        except ValueError:
            problems.append(f"--{name} is {text!r}; expected {EXPECTED[flag.parse]}")
            continue
        if flag.absent and values[name]:
            problems.append(f"--{name} is {text!r}, but this stand-in has no {flag.absent}")
    if problems:
        raise UsageProblem("; ".join(problems))
    host, port = values["listen"]
    return Options(
        listen_host=host,
        listen_port=port,
        chain_id=values["chain-id"],
        auth_secret=values["portal-auth-secret"],
        allow_insecure=values["portal-allow-insecure"],
        require_veid=values["portal-require-veid"],
        veid_score_min=values["portal-min-veid-score"],
        shell_session_ttl_s=values["portal-shell-session-ttl"],
        vault_enabled=values["vault-enabled"],
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m devnet.provider",
        usage=f"python -m devnet.provider [{COMMAND}] [--FLAG VALUE] ...",
        description="A stand-in for VirtEngine's provider-daemon: its portal API, and nothing behind it.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML or JSON file with the flags below as keys")
    for name, flag in FLAGS.items():
        # A bare boolean flag means true, as in the real daemon.
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if flag.parse is parse_bool else {}
        default = f" (default {flag.default})" if flag.default else ""
        parser.add_argument(f"--{name}", dest=name, metavar="VALUE", help=flag.help + default, **bare)
    return parser


def _read_file(path: Path) -> dict[str, str]:
    """The flag texts in a TOML or JSON file; UsageProblem if it cannot be read or holds anything else."""
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    if path.suffix not in readers:
        raise UsageProblem(f"--config is {str(path)!r}; expected a file ending in .toml or .json")
    try:
        content = readers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise UsageProblem(f"{path}: cannot be read: {problem.strerror}") from problem
    except ValueError as problem:
        raise UsageProblem(f"{path}: not {path.suffix[1:].upper()}: {problem}") from problem
    if not isinstance(content, dict):
        raise UsageProblem(f"{path}: holds a {type(content).__name__}; expected flag names with values")
    texts: dict[str, str] = {}
    problems = []
    for name, value in content.items():
        if name not in FLAGS:
            problems.append(f"{name} is not a flag")
        elif isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            texts[name] = str(value)
        else:
            problems.append(f"{name} is a {type(value).__name__}; expected text, a number or true or false")
    if problems:
        raise UsageProblem(f"{path}: " + "; ".join(problems))
    return texts
