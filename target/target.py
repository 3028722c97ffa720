"""The system under test, resolved: every address complete, every secret looked up."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bundle import DocumentError, Problem
from target.file import (
    AccountsEntry,
    ApiEntry,
    ControlKind,
    Environment,
    NodeEntry,
    PortalAuth,
    ProviderEntry,
    TargetFile,
    read_target_file,
)
from target.keys import MNEMONIC_LENGTHS, AccountKey, derive_accounts
from target.transaction import ChainIdentity

RPC_PORT, REST_PORT, GRPC_PORT, METRICS_PORT = 26657, 1317, 9090, 26660
"""VirtEngine's standard ports."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_MAX_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. An address that is None is not served."""

    name: str
    rpc_url: str
    rest_url: str | None
    grpc_address: str | None
    """host:port, plaintext."""
    metrics_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider daemon's portal API."""

    name: str
    url: str
    auth: PortalAuth
    principal: str
    secret: str | None = field(repr=False)
    wallet: AccountKey | None
    """Who signs when auth is "wallet": the first load account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One entrance for queries: a gateway, or a node's own REST and gRPC."""

    name: str
    rest_url: str | None
    grpc_address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSource:
    """Where load accounts come from. The mnemonic never shows in a repr."""

    mnemonic: str = field(repr=False)
    prefix: str
    first: int
    count: int

    def derive(self, most: int | None = None) -> list[AccountKey]:
        """Return the accounts, the first `most` of them where that is given."""
        count = self.count if most is None else min(most, self.count)
        return list(derive_accounts(self.mnemonic, prefix=self.prefix, first=self.first, count=count))

    def key(self, place: int) -> AccountKey:
        """Return the account at `place`, 0 ≤ place < count, without deriving the others."""
        return next(derive_accounts(self.mnemonic, prefix=self.prefix, first=self.first + place, count=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The system under test."""

    name: str
    environment: Environment
    chain: ChainIdentity
    genesis_hash: str | None
    bech32_prefix: str
    block_time_s: float
    nodes: tuple[Node, ...]
    providers: tuple[Provider, ...]
    apis: tuple[Api, ...]
    accounts: AccountSource | None
    control: ControlKind
    control_socket: Path | None

    def node(self, name: str) -> Node:
        """Return the node of that name. Raises KeyError naming the nodes that there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"{name!r} is no node of {self.name}; expected one of {', '.join(n.name for n in self.nodes)}")


def load_target(path: Path, *, environ: Mapping[str, str] | None = None) -> Target:
    """Return the target that the file at `path` describes. Raises DocumentError."""
    return resolve(read_target_file(path), source=str(path), environ=os.environ if environ is None else environ)


def check_addresses(file: TargetFile, *, source: str) -> None:
    """Raise DocumentError with all that would keep `file` from being resolved, secrets left aside."""
    _resolve(_Resolver(None), file, source)


def resolve(file: TargetFile, *, source: str, environ: Mapping[str, str]) -> Target:
    """Return the target that `file` describes, secrets taken from `environ`. Raises DocumentError."""
    return _resolve(_Resolver(environ), file, source)


def _resolve(resolver: _Resolver, file: TargetFile, source: str) -> Target:
    nodes = tuple(resolver.node(f"node[{i}]", entry) for i, entry in enumerate(file.node))
    accounts = resolver.accounts(file.accounts, file.bech32_prefix) if file.accounts else None
    providers = tuple(resolver.provider(f"provider[{i}]", entry, accounts) for i, entry in enumerate(file.provider))
    gateways = tuple(resolver.api(f"api[{i}]", entry) for i, entry in enumerate(file.api))
    if resolver.problems:
        raise DocumentError(source, tuple(resolver.problems))
    own = tuple(
        Api(name=node.name, rest_url=node.rest_url, grpc_address=node.grpc_address)
        for node in nodes
        if node.rest_url or node.grpc_address
    )
    return Target(
        name=file.name,
        environment=file.environment,
        chain=ChainIdentity(chain_id=file.chain_id, denom=file.denom, gas_price=file.gas_price),
        genesis_hash=file.genesis_hash,
        bech32_prefix=file.bech32_prefix,
        block_time_s=file.block_time_s,
        nodes=nodes,
        providers=providers,
        apis=gateways or own,
        accounts=accounts,
        control=file.control,
        control_socket=Path(file.control_socket) if file.control_socket else None,
    )


class _Resolver:
    """Resolves entry by entry and gathers every problem on the way."""

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        """Without `environ`, secrets are not looked up and no wallet is derived."""
        self._environ = environ
        self.problems: list[Problem] = []

    def node(self, where: str, entry: NodeEntry) -> Node:
        host = self._host(f"{where}.host", entry.host) if entry.host else None
        rpc = entry.rpc or f"http://{host}:{RPC_PORT}"
        rest = entry.rest or (f"http://{host}:{REST_PORT}" if host else None)
        grpc = entry.grpc or (f"{host}:{GRPC_PORT}" if host else None)
        metrics = entry.metrics or (f"http://{host}:{METRICS_PORT}" if host else None)
        return Node(
            name=entry.name,
            rpc_url=self._url(f"{where}.rpc", rpc),
            rest_url=self._url(f"{where}.rest", rest) if rest else None,
            grpc_address=self._address(f"{where}.grpc", grpc) if grpc else None,
            metrics_url=self._url(f"{where}.metrics", metrics) if metrics else None,
        )

    def provider(self, where: str, entry: ProviderEntry, accounts: AccountSource | None) -> Provider:
        secret = self._secret(f"{where}.secret_env", entry.secret_env) if entry.secret_env else None
        wallet: AccountKey | None = None
        if entry.auth is PortalAuth.WALLET:
            if accounts is None:
                self._report(f"{where}.auth", 'is "wallet" without [accounts]', "[accounts], whose first account signs")
            elif not self.problems and self._environ is not None:
                wallet = accounts.key(0)
        return Provider(
            name=entry.name,
            url=self._url(f"{where}.url", entry.url),
            auth=entry.auth,
            principal=entry.principal,
            secret=secret,
            wallet=wallet,
        )

    def api(self, where: str, entry: ApiEntry) -> Api:
        grpc = self._address(f"{where}.grpc", entry.grpc) if entry.grpc else None
        return Api(name=entry.name, rest_url=self._url(f"{where}.rest", entry.rest), grpc_address=grpc)

    def accounts(self, entry: AccountsEntry, prefix: str) -> AccountSource:
        where = "accounts.mnemonic_env" if entry.mnemonic_env else "accounts.mnemonic"
        mnemonic = entry.mnemonic or self._secret(where, entry.mnemonic_env or "")
        words = len(mnemonic.split())
        if mnemonic and words not in MNEMONIC_LENGTHS:
            self._report(where, f"gives {words} words", "12, 15, 18, 21 or 24 words")
        return AccountSource(mnemonic=mnemonic, prefix=prefix, first=entry.first, count=entry.count)

    def _secret(self, where: str, variable: str) -> str:
        if self._environ is None:
            return ""
        value = self._environ.get(variable, "")
        if not value:
            self._report(
                where, f"names the variable {variable}, which is not set", "an environment variable that is set"
            )
        return value

    def _host(self, where: str, text: str) -> str:
        if _HOST.fullmatch(text):
            return text
        self._report(where, f"is {_shown(text)}", "the name or the address of a host")
        return "unknown.invalid"  # so that what is made of it is no problem of its own

    def _url(self, where: str, text: str) -> str:
        try:
            parts = urlsplit(text)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or not _is_one_word(text):
            self._report(where, f"is {_shown(text)}", "an address like http://host:port")
        return text.rstrip("/")

    def _address(self, where: str, text: str) -> str:
        host, colon, port = text.rpartition(":")
        valid = bool(colon and host) and _is_port(port) and "/" not in text
        if not valid or not _is_one_word(text):
            self._report(where, f"is {_shown(text)}", "an address like host:port")
        return text

    def _report(self, where: str, found: str, expected: str) -> None:
        self.problems.append(Problem(where=where, found=found, expected=expected))


def _shown(text: str) -> str:
    """Return a text in quotes, on one line, cut where it is long."""
    return ascii(text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…")


def _is_one_word(text: str) -> bool:
    """Whether nothing in an address could hide: no space, no control character."""
    return text.isprintable() and " " not in text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536
