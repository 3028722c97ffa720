"""Malformed documents, made from valid ones: repeatable, named, and invalid by the way they are made.

Nothing here asks the code whether a document is valid. Every mutation breaks a rule that the documentation states:
a needed field is gone, a value is of another type or beyond its bounds, a name is not known, a text is no TOML.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

SEED = 20260301

Path_ = tuple[str | int, ...]
"""The way to a value: field names and places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """One malformed document."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What makes a document of one kind invalid. Places in lists are left out of the names: `load[].users`."""

    needed: frozenset[str]
    beyond: Mapping[str, tuple[Any, ...]]
    """Values beyond the bounds of a field, or unknown names."""
    whole: frozenset[str] = frozenset()
    """Numbers that have to be whole."""
    free: frozenset[str] = frozenset()
    """Tables whose field names the document chooses itself."""


# --- mutations of one value ---

_WRONG: dict[type, tuple[Any, ...]] = {
    str: (5, 1.5, True, [], {}, ["text"]),
    bool: (1, 0, "true", [], {}),
    int: ("5", "", True, [], {}, math.nan, math.inf, -math.inf),
    float: ("5", "", True, [], {}, math.nan, math.inf, -math.inf),
    list: ("text", 5, True, {}),
    dict: ("text", 5, True, []),
}
"""Values of other types, by the type of the valid value. A whole number may stand where a fraction may."""


def values_in(document: Any, way: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield (way, value) for every value of a document, tables and lists before what they hold."""
    parts = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in parts:
        yield (*way, key), value
        yield from values_in(value, (*way, key))


def name_of(way: Path_) -> str:
    """Return the name of a place as rules write it: `load[].users`."""
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in way).removeprefix(".")


def changed(document: Any, way: Path_, value: Any) -> Any:
    """Return a copy with one value replaced, or taken out where the new one is `...`."""
    copy = deepcopy(document)
    holder = copy
    for key in way[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[way[-1]]
    else:
        holder[way[-1]] = value
    return copy


def mutants(document: dict[str, Any], rules: Rules) -> Iterator[tuple[str, Any]]:
    """Yield (name, invalid document) for every single mutation that the rules allow. Of equal entries, the first."""
    seen: set[str] = set()
    for way, value in [*values_in(document)]:
        name = name_of(way)
        if name in seen or any(name.startswith(f"{table}.") for table in rules.free):
            continue
        seen.add(name)
        if name in rules.needed:
            yield f"without {name}", changed(document, way, ...)
        wrong = _WRONG[type(value)]
        wrong += (1.5,) if name in rules.whole else ()
        for bad in wrong:
            yield f"{name} = {bad!r}", changed(document, way, bad)
        for bad in rules.beyond.get(name, ()):
            yield f"{name} = {_brief(bad)}", changed(document, way, bad)
        if isinstance(value, dict) and name not in rules.free:
            yield f"{name} with an unknown field", changed(document, way, value | {"unknown_field": 1})
    for field in ("unknown_field", "", "two\nlines", "ü"):
        yield f"unknown field {field!r}", document | {field: 1}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}… ({len(text)})"


# --- mutations of the text ---


def broken_texts(text: str, *, cut_before: int, cuts: int, inserts: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of a TOML or JSON text that was cut or stained.

    Cut anywhere before `cut_before` it is incomplete. A NUL is allowed nowhere in TOML and JSON, and 0xFF nowhere
    in UTF-8.
    """
    draw = random.Random(SEED)
    for end in sorted(draw.sample(range(cut_before), cuts)):
        yield f"cut at {end}", text[:end].encode()
    raw = text.encode()
    for place in sorted(draw.sample(range(len(raw)), inserts)):
        yield f"0xff put in at {place}", raw[:place] + b"\xff" + raw[place:]
        yield f"NUL put in at {place}", raw[:place] + b"\0" + raw[place:]
    yield "empty", b""
    yield "UTF-16", text.encode("utf-16")
    yield "Latin-1", ("é = 1\n" + text).encode("latin-1")
    yield "gzip", b"\x1f\x8b\x08\0" + draw.randbytes(200)
    yield "random bytes", b"\xff" + draw.randbytes(500)
    yield "a web page", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
    yield "endless brackets", b"x = " + b"[" * 20_000


# --- TOML ---


def toml(document: Mapping[str, Any]) -> str:
    """Return a document as TOML, every value on its line."""
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in document.items())


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {_value(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json.dumps(value)


def collect(
    mutated: Iterable[tuple[str, Any]], write: Callable[[Any], str], texts: Iterable[tuple[str, bytes]]
) -> list[Malformed]:
    """Return the documents, each under its name. What two mutations give alike is given once."""
    named = [*((name, write(document).encode()) for name, document in mutated), *texts]
    by_content = {content: name for name, content in reversed(named)}
    return [Malformed(name=name, content=content) for content, name in reversed(by_content.items())]


# --- plans ---

PLAN_RULES = Rules(
    needed=frozenset(
        {
            *("name", "title", "hypothesis", "load_s", "load", "budgets"),
            *("load[].scenario", "load[].users"),
            *("fault[].experiment", "fault[].targets", "fault[].at_s", "fault[].hold_s"),
            *("budget[].id", "budget[].reason"),
        }
    ),
    whole=frozenset({"load[].users", "devnet.validators", "devnet.accounts", "seed"}),
    beyond={
        "name": ("", "Smoke", "a b", "-smoke", "x" * 41, "ü", "a\nb", "../x"),
        "title": ("",),
        "hypothesis": ("",),
        "seed": (-1, 10**30),
        "baseline_s": (0, -1, 86_401, 10**30),
        "load_s": (0, -1, 86_401, 1e300, 10**30),
        "time_limit_s": (0, -1, 86_401),
        "probe_period_s": (0, -0.1, 0.04, 5.1, 1e300),
        "budgets": ([], ["NO-SUCH-BUDGET"], [""], [["PB-L-01"]], [5]),
        "budgets[]": ("NO-SUCH-BUDGET", "", "pb-l-01", "PB-L-01 "),
        "budget[].id": ("", "NO-SUCH-BUDGET", "PB-L-12"),
        "budget[].reason": ("",),
        "budget[].severity": ("", "loud", "GATE"),
        "devnet.validators": (0, -1, 101, 10**30),
        "devnet.accounts": (0, -1, 200_001),
        "load": ([], [[]], [{}], [[{"scenario": "transfer", "users": 1}]]),
        "load[].scenario": ("", "no_such_scenario", "Transfer", "../transfer", "transfer.py"),
        "load[].users": (0, -1, 100_001, 10**30),
        "load[].rate_per_user_per_s": (0, -1, 10_001, 1e300),
        "fault[].experiment": ("", "no_such_experiment", "validator_kill.yaml", "../validator_kill"),
        "fault[].targets": ([], [""], ["Validator 3"], ["validator-3", "validator-3"], [5]),
        "fault[].targets[]": ("", "VALIDATOR", "a b"),
        "fault[].at_s": (-1, 86_401),
        "fault[].hold_s": (0, -1, 86_401),
        "fault[].effect_limit_s": (0, -1),
    },
)


def plan_contradictions(plan: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield plans whose fields contradict each other, or are in the wrong place."""
    fault, load, change = plan["fault"][0], plan["load"][0], plan["budget"][0]
    yield "target_file and devnet", plan | {"target_file": "target.toml"}
    yield "fault after the load", plan | {"fault": [fault | {"at_s": plan["load_s"]}]}
    yield "fault as long as the load", plan | {"fault": [fault | {"at_s": 0, "hold_s": plan["load_s"]}]}
    yield "faults at once", plan | {"fault": [fault, fault]}
    yield "faults in the wrong order", plan | {"fault": [fault, fault | {"at_s": fault["at_s"] - 25}]}
    yield "scenario twice", plan | {"load": [load, load]}
    yield "budget twice", plan | {"budgets": [*plan["budgets"], plan["budgets"][0]]}
    yield "change of a budget twice", plan | {"budget": [change, change]}
    yield "change of a budget that is not chosen", plan | {"budgets": ["PB-L-01"]}
    yield "rate beyond all bounds", plan | {"load": [load | {"users": 100_000, "rate_per_user_per_s": 2.0}]}
    yield "all below a table", {"plan": plan}
    yield "load as one table", plan | {"load": load}
    yield "fault as one table", plan | {"fault": fault}
    yield "devnet as a list", plan | {"devnet": [plan["devnet"]]}
    yield "fault below load", plan | {"load": [load | {"fault": [fault]}]}
    yield "load below devnet", changed(plan, ("load",), ...) | {"devnet": plan["devnet"] | {"load": [load]}}
    yield "environment of a validator as text", plan | {"devnet": {"node_environment": {"validator-0": "A=1"}}}
    yield "environment with a number", plan | {"devnet": {"node_environment": {"validator-0": {"A": 1}}}}


def plans(text: str, plan: dict[str, Any]) -> list[Malformed]:
    """Return malformed plans, made from a valid one: its text, and what it holds."""
    mutated = [*mutants(plan, PLAN_RULES), *plan_contradictions(plan)]
    # Before the first load has its users, every plan is incomplete.
    texts = [*broken_texts(text, cut_before=text.index("users"), cuts=15, inserts=8)]
    texts += [
        ("name twice", b'name = "again"\n' + text.encode()),
        ("a date for a title", text.replace('title = "', 'title = 2026-03-01 # "', 1).encode()),
        ("a number of 5000 digits", b"seed = 0x" + b"f" * 5000 + b"\n" + text.encode()),
        ("text without its quote", text.replace('"', "", 1).encode()),
        ("JSON", json.dumps(plan).encode()),
    ]
    return collect(mutated, toml, texts)


# --- Target files ---

TARGET: dict[str, Any] = {
    "name": "staging-1",
    "environment": "dev",
    "chain_id": "virtengine-1",
    "genesis_hash": "0" * 64,
    "control": "devnet",
    "control_socket": "/run/none.sock",
    "bech32_prefix": "ve",
    "denom": "uve",
    "gas_price": 0.025,
    "block_time_s": 1.3,
    "provider": [{"name": "provider-0", "url": "http://127.0.0.1:1", "auth": "insecure", "principal": "harness"}],
    "api": [{"name": "gateway", "rest": "http://127.0.0.1:1", "grpc": "127.0.0.1:1"}],
    "accounts": {"mnemonic": "abandon " * 11 + "about", "first": 0, "count": 3},
    "node": [{"name": "validator-0", "rpc": "http://127.0.0.1:1", "grpc": "127.0.0.1:1", "host": "127.0.0.1"}],
}
_NO_URL = (
    "",
    "127.0.0.1:1",
    "ftp://127.0.0.1",
    "http://",
    "http://h:0",
    "http://h:99999",
    "http://h:port",
    "http://a b",
)
_NO_ADDRESS = ("", "127.0.0.1", ":1", "h:", "h:0", "h:65536", "h:²", "h:" + "9" * 5000, "http://h:1", "a b:1")
_NO_NAME = ("", "Validator", "a b", "-a", "x" * 61, "ü")

TARGET_RULES = Rules(
    needed=frozenset(
        {
            *("name", "environment", "chain_id", "node", "control_socket"),
            *("node[].name", "provider[].name", "provider[].url", "api[].name", "api[].rest"),
            *("accounts.mnemonic", "accounts.count"),
        }
    ),
    whole=frozenset({"accounts.first", "accounts.count"}),
    beyond={
        "name": _NO_NAME,
        "environment": ("", "prod", "Dev", "staging", "production"),
        "chain_id": ("", "c" * 51),
        "genesis_hash": ("", "abc", "G" * 64, "0" * 65, "A" * 64),
        "control": ("", "none", "kubernetes"),
        "control_socket": ("",),
        "bech32_prefix": ("", "VE", "v1", "v" * 21),
        "denom": ("", "u", "1uve", "u ve", "u" * 129),
        "gas_price": (-0.001, -1, 10**30),
        "block_time_s": (0, -1),
        "provider[].name": (*_NO_NAME, "validator-0", "gateway"),
        "provider[].url": _NO_URL,
        "provider[].auth": ("", "hmac", "none", "HMAC"),
        "api[].name": (*_NO_NAME, "validator-0"),
        "api[].rest": _NO_URL,
        "api[].grpc": _NO_ADDRESS,
        "accounts.mnemonic": ("", "one two three", "abandon " * 13),
        "accounts.first": (-1, 2**31, 10**30),
        "accounts.count": (0, -1, 1_000_001, 10**30),
        "node": ([], [[]], [{}], [{"name": "validator-0"}]),
        "node[].name": (*_NO_NAME, "provider-0"),
        "node[].rpc": _NO_URL,
        "node[].grpc": _NO_ADDRESS,
        "node[].host": ("", "a b", "a/b", "h\n"),
    },
)


def target_contradictions() -> Iterator[tuple[str, Any]]:
    """Yield Target files whose fields contradict each other, or are in the wrong place."""
    node, provider, accounts = TARGET["node"][0], TARGET["provider"][0], TARGET["accounts"]
    without_socket, without_accounts = (changed(TARGET, (name,), ...) for name in ("control_socket", "accounts"))
    yield "node twice", TARGET | {"node": [node, node]}
    yield "provider twice", TARGET | {"provider": [provider, provider]}
    yield "secret without hmac", TARGET | {"provider": [provider | {"secret_env": "PATH"}]}
    yield "hmac without secret", TARGET | {"provider": [provider | {"auth": "hmac"}]}
    yield "wallet with secret", TARGET | {"provider": [provider | {"auth": "wallet", "secret_env": "PATH"}]}
    yield "wallet without accounts", without_accounts | {"provider": [provider | {"auth": "wallet"}]}
    yield "two mnemonics", TARGET | {"accounts": accounts | {"mnemonic_env": "PATH"}}
    yield "name of a variable that is none", TARGET | {"accounts": {"count": 1, "mnemonic_env": "a b"}}
    yield "control without socket", without_socket
    yield "socket without control", changed(TARGET, ("control",), ...)
    yield "node without address", TARGET | {"node": [{"name": "validator-0", "rest": "http://h"}]}
    yield "accounts beyond the path", TARGET | {"accounts": accounts | {"first": 2**31 - 2}}
    yield "all below a table", {"target": TARGET, "chain_id": "c"}
    yield "node as one table", TARGET | {"node": node}
    yield "provider below node", TARGET | {"node": [node | {"provider": [provider]}]}
    yield "accounts as a list", TARGET | {"accounts": [accounts]}


def targets() -> list[Malformed]:
    """Return malformed Target files."""
    mutated = [*mutants(TARGET, TARGET_RULES), *target_contradictions()]
    text = toml(TARGET)
    # `node` is the last line, so every text that ends before it has none.
    texts = [*broken_texts(text, cut_before=text.index("node ="), cuts=10, inserts=5)]
    texts.append(("chain_id twice", b'chain_id = "again"\n' + text.encode()))
    return collect(mutated, toml, texts)


# --- rulebooks ---

BUDGET: dict[str, Any] = {
    "id": "T-1",
    "title": "Blocks",
    "indicator": "block.interval",
    "statistic": "p95",
    "unit": "ms",
    "limit": 7000,
    "direction": "below",
    "window": "run",
    "severity": "gate",
    "source": "the test",
    "note": "none",
}
BUDGET_RULES = Rules(
    needed=frozenset(
        {"budget", *(f"budget[].{name}" for name in BUDGET if name not in ("window", "severity", "note"))}
    ),
    beyond={
        "budget": ([], [[]], [{}], [BUDGET, BUDGET]),
        "budget[].id": ("",),
        "budget[].title": ("",),
        "budget[].indicator": ("",),
        "budget[].statistic": ("",),
        "budget[].source": ("",),
        "budget[].limit": (10**30,),
        "budget[].direction": ("", "above", "BELOW"),
        "budget[].window": ("", "night"),
        "budget[].severity": ("", "fatal"),
    },
)


def rulebooks(write: Callable[[Any], str]) -> list[Malformed]:
    """Return malformed rulebooks of budgets, as TOML or as JSON."""
    book = {"budget": [BUDGET]}
    text = write(book)
    # All but its last characters are needed: the bracket of the list, and that of the entry.
    texts = broken_texts(text, cut_before=len(text.rstrip()) - 1, cuts=8, inserts=3)
    return collect(mutants(book, BUDGET_RULES), write, texts)


# --- manifests ---

MANIFEST_RULES = Rules(
    needed=frozenset(
        {
            *("schema_version", "run_id", "plan_name", "plan_title", "hypothesis", "seed", "started_at_s", "planned_s"),
            *("target", "loads", "faults", "probe_period_s"),
            *("target.name", "target.environment", "target.chain_id", "target.genesis_hash", "target.node_names"),
            *("target.provider_names", "target.voting_power"),
            *("loads[].scenario", "loads[].users", "loads[].rate_per_s"),
            *("loads[].operations[].name", "loads[].operations[].protocol"),
            *("faults[].experiment", "faults[].targets", "faults[].expected_halt", "faults[].hold_s"),
            "faults[].recovery_limit_s",
            *("phases[].name", "phases[].start_at_s"),
            *("clocks[].process", "clocks[].wall_minus_monotonic_s"),
            *("children[].name", "children[].exit_code", "workers[].part"),
            *("seal.sealed_at_s", "seal.files", "seal.manifest_sha256"),
        }
    ),
    whole=frozenset({"schema_version", "seed", "loads[].users", "children[].exit_code", "workers[].core"}),
    beyond={
        "schema_version": (0, 2, -1, 10**30, None),
        "seed": (10**30, None),
        "run_id": (None,),
        "end": ("", "gone", None),
        "started_at_s": (None, 10**400),
        "phases": (None, [[]], [{}], [{"name": "load", "start_at_s": 5.0, "end_at_s": 4.0}]),
        "target": (None,),
        "target.voting_power": ({"validator-0": "10"}, {"validator-0": 1.5}, {"validator-0": None}),
        "host": ({"a": []}, {"a": None}, {"a": math.nan}),
        "versions": ({"a": 1},),
        "seal.files": ({"a": {}}, {"a": {"sha256": 1, "bytes": 1}}, {"a": {"sha256": "", "bytes": "1"}}, {"a": None}),
        "loads[].users": (None, 10**30),
    },
    free=frozenset({"target.voting_power", "host", "versions", "seal.files"}),
)


def manifests(text: str) -> list[Malformed]:
    """Return malformed manifests, made from a valid one whose lists have entries and where nothing is null."""
    texts = [*broken_texts(text, cut_before=len(text.rstrip()) - 1, cuts=10, inserts=5)]
    texts += [
        ("a field twice", b'{"seed": 1,' + text.strip()[1:].encode()),
        ("half a surrogate", text.replace('"run_id": "', '"run_id": "\\ud800', 1).encode()),
        ("a number of 5000 digits", text.replace('"seed": ', '"seed": ' + "9" * 5000, 1).encode()),
        ("two documents", (text + text).encode()),
        ("a list of manifests", f"[{text}]".encode()),
        ("null", b"null"),
        ("text", b'"manifest"'),
    ]
    return collect(mutants(json.loads(text), MANIFEST_RULES), json.dumps, texts)
