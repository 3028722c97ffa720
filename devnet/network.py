"""The shape of a network: how many of what, and which loopback address everything has.

A network owns one /16 of 127.0.0.0/8, chosen by its block number b, so several run side by side with
VirtEngine's standard ports:

    127.b.1.i      validator i (i from 1): p2p 26656, RPC 26657, REST 1317, gRPC 9090, Prometheus 26660
    127.b.2.j      provider j: portal API 8080
    127.b.100+i.j  the link by which validator i reaches validator j: p2p 26656, served by our proxy
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import StringConstraints

from bundle import document

P2P_PORT, RPC_PORT, REST_PORT, GRPC_PORT, METRICS_PORT, PORTAL_PORT = 26656, 26657, 1317, 9090, 26660, 8080

FIRST_BLOCK, LAST_BLOCK = 10, 250
"""Address blocks that networks take; 127.0 to 127.9 stay free for everybody else."""

MAX_VALIDATORS = 100

TEST_MNEMONIC = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
"""The published test mnemonic of VirtEngine's localnet: everybody knows it, so it guards nothing."""


@document
class NetworkSpec:
    """What a person asks for."""

    validators: Annotated[int, Gt(0), Le(MAX_VALIDATORS)] = 4
    providers: Annotated[int, Ge(0), Le(100)] = 1
    accounts: Annotated[int, Gt(0), Le(200_000)] = 1000
    """Prefunded accounts, m/44'/118'/0'/0/0 … of the published test mnemonic."""
    timeout_commit_ms: Annotated[int, Ge(10), Le(60_000)] = 1000
    """Wait after a block before the next is proposed; VirtEngine's localnet has 1000."""
    rate_limit: bool = True
    """VirtEngine's ante rate limit: 10 transactions an account a block."""
    chain_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{3,40}$")] = "virtengine-devnet-1"
    build_tags: Annotated[str, StringConstraints(pattern=r"^[a-z_,]*$")] = ""
    """Go build tags of the chain: "plant_fork" builds in a defect to be found."""
    node_environment: dict[str, dict[str, str]] = field(default_factory=dict)
    """Extra environment by validator name: settings of a planted defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network with its place: names, addresses and folders of every part."""

    name: str
    block: int
    home: Path
    spec: NetworkSpec

    @property
    def validator_names(self) -> tuple[str, ...]:
        return tuple(f"validator-{i}" for i in range(self.spec.validators))

    @property
    def provider_names(self) -> tuple[str, ...]:
        return tuple(f"provider-{i}" for i in range(self.spec.providers))

    def validator_host(self, index: int) -> str:
        return f"127.{self.block}.1.{index + 1}"

    def provider_host(self, index: int) -> str:
        return f"127.{self.block}.2.{index + 1}"

    def link_host(self, source: int, destination: int) -> str:
        """Return where validator `source` finds the way to validator `destination`."""
        return f"127.{self.block}.{101 + source}.{destination + 1}"

    def validator_home(self, index: int) -> Path:
        return self.home / "nodes" / self.validator_names[index]

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def target_file(self) -> Path:
        return self.home / "target.toml"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def links(self) -> list[tuple[int, int]]:
        """Return (source, destination) of every link."""
        every = range(self.spec.validators)
        return [(i, j) for i in every for j in every if i != j]

    def addresses(self) -> list[tuple[str, str, int]]:
        """Return (what, host, port) of everything that will listen."""
        found = []
        ports = (
            ("p2p", P2P_PORT),
            ("RPC", RPC_PORT),
            ("REST", REST_PORT),
            ("gRPC", GRPC_PORT),
            ("metrics", METRICS_PORT),
        )
        for index, name in enumerate(self.validator_names):
            found += [(f"{kind} of {name}", self.validator_host(index), port) for kind, port in ports]
        for index, name in enumerate(self.provider_names):
            found.append((f"portal API of {name}", self.provider_host(index), PORTAL_PORT))
        for source, destination in self.links():
            what = f"link from {self.validator_names[source]} to {self.validator_names[destination]}"
            found.append((what, self.link_host(source, destination), P2P_PORT))
        return found
