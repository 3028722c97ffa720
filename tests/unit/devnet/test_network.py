"""The shape of a network: every address is its own, whatever the network's size."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.network import FIRST_BLOCK, LAST_BLOCK, MAX_VALIDATORS, Network, NetworkSpec


def a_network(block: int, validators: int = 4, providers: int = 1) -> Network:
    spec = NetworkSpec(validators=validators, providers=providers)
    return Network(name="test", block=block, home=Path("/nowhere"), spec=spec)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    block=st.integers(FIRST_BLOCK, LAST_BLOCK),
    validators=st.integers(1, MAX_VALIDATORS),
    providers=st.integers(0, 100),
)
def test_every_address_is_one_of_the_block_and_there_once(block: int, validators: int, providers: int) -> None:
    """Law: no two things listen at one address, and all lie in 127.block.0.0/16."""
    network = a_network(block, validators, providers)
    addresses = network.addresses()
    places = [(host, port) for _, host, port in addresses]
    assert len(set(places)) == len(places)
    own = ipaddress.ip_network(f"127.{block}.0.0/16")
    assert all(ipaddress.ip_address(host) in own for host, _ in places)
    assert len(places) == 5 * validators + providers + validators * (validators - 1)
    assert len({what for what, _, _ in addresses}) == len(addresses)


@given(one=st.integers(FIRST_BLOCK, LAST_BLOCK), other=st.integers(FIRST_BLOCK, LAST_BLOCK))
def test_networks_in_two_blocks_share_no_address(one: int, other: int) -> None:
    """Law: two blocks, two sets of addresses."""
    mine, theirs = ({(host, port) for _, host, port in a_network(block).addresses()} for block in (one, other))
    assert (mine & theirs == set()) == (one != other)


def test_links_are_every_ordered_pair() -> None:
    assert a_network(10, 3).links() == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert a_network(10, 1).links() == []
