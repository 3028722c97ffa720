"""Links: TCP proxies with an echo server behind them, and the way of bytes in one direction on virtual time."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devnet.links import LinkAddress, LinkProxy, LinkTable, _Direction
from target.control import Link, LinkMode, LinkRule
from tests.unit.devnet import virtual_time

LIMIT_S = 20.0
TINY_S = 1e-6
NEAR, FAR = "127.0.66.1", "127.0.66.2"
OPEN, CUT, BLACK_HOLE = LinkRule(), LinkRule(mode=LinkMode.CUT), LinkRule(mode=LinkMode.BLACK_HOLE)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


def free_port() -> int:
    """Return a port that is free at both addresses."""
    for _ in range(100):
        with socket.socket() as one, socket.socket() as other:
            one.bind((NEAR, 0))
            try:
                other.bind((FAR, one.getsockname()[1]))
            except OSError:
                continue
            return int(one.getsockname()[1])
    raise AssertionError("no port is free at both addresses")


class Peer:
    """The node behind the link: echoes what it receives, and speaks first when it is told to."""

    def __init__(self) -> None:
        self.received = b""
        self.writers: list[asyncio.StreamWriter] = []
        self.echoes = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                if self.echoes:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            return
        finally:
            writer.close()


class LinkBetween:
    """A link from "a" to "b", the peer at its far end, and clients at its near end."""

    def __init__(self, table: LinkTable, proxy: LinkProxy, peer: Peer, port: int) -> None:
        self.table, self.proxy, self.peer, self.port = table, proxy, peer, port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(NEAR, self.port)

    def set(self, *, a_to_b: LinkRule | None = None, b_to_a: LinkRule | None = None) -> None:
        links = [("a", "b", a_to_b), ("b", "a", b_to_a)]
        self.table.set([Link(source=s, destination=d, rule=rule) for s, d, rule in links if rule is not None])


@asynccontextmanager
async def link_between(*, with_peer: bool = True) -> AsyncIterator[LinkBetween]:
    port, peer = free_port(), Peer()
    table = LinkTable([("a", "b"), ("b", "a")])
    proxy = LinkProxy(LinkAddress(source="a", destination="b", listen_host=NEAR, forward_host=FAR, port=port), table)
    server = await asyncio.start_server(peer.serve, FAR, port) if with_peer else None
    await proxy.start()
    try:
        yield LinkBetween(table, proxy, peer, port)
    finally:
        await proxy.stop()
        if server is not None:
            server.close()
            for writer in peer.writers:
                writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; `run` ends the test when it does not."""
    while not condition():
        await asyncio.sleep(0.005)


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """Return whether the connection ends, by its end or by a reset, after what was on its way."""
    try:
        while await reader.read(65536):
            continue
    except OSError:
        return True
    return True


async def echo(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> bytes:
    reader, writer = connection
    writer.write(data)
    await writer.drain()
    return await reader.readexactly(len(data))


def test_an_open_link_carries_bytes_both_ways() -> None:
    async def work() -> None:
        data = bytes(range(256)) * 8000
        async with link_between() as link:
            connection = await link.connect()
            sent, back = asyncio.create_task(_send(connection[1], data)), await connection[0].readexactly(len(data))
            await sent
            assert back == data == link.peer.received

    run(work())


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def test_connections_do_not_mix() -> None:
    async def work() -> None:
        async with link_between() as link:
            connections = [await link.connect() for _ in range(20)]
            texts = [bytes([n]) * 5000 for n in range(20)]
            found = await asyncio.gather(*(echo(c, t) for c, t in zip(connections, texts, strict=True)))
            assert found == texts

    run(work())


@pytest.mark.parametrize("way", ["a_to_b", "b_to_a"])
def test_a_cut_in_either_direction_ends_connections_and_refuses_new_ones(way: str) -> None:
    async def work() -> None:
        async with link_between() as link:
            old = await link.connect()
            assert await echo(old, b"hello") == b"hello"
            link.set(**{way: CUT})
            assert await is_ended(old[0])
            received = link.peer.received
            fresh = await link.connect()
            fresh[1].write(b"into nothing")
            assert await is_ended(fresh[0])
            assert link.peer.received == received
            assert len(link.peer.writers) == 1  # the new one never reached it
            link.set(**{way: OPEN})
            assert await echo(await link.connect(), b"again") == b"again"

    run(work())


def test_a_cut_reaches_a_connection_that_is_just_being_made() -> None:
    """Accepted at the near end, and not yet connected to the far one."""

    async def work() -> None:
        async with link_between() as link:
            reader, _ = await link.connect()
            link.set(a_to_b=CUT)
            assert await is_ended(reader)

    run(work())


def test_a_black_hole_holds_everything_and_delivers_it_later_in_order() -> None:
    async def work() -> None:
        async with link_between() as link:
            connection = await link.connect()
            assert await echo(connection, b"before") == b"before"
            link.set(a_to_b=BLACK_HOLE)
            for n in range(200):
                connection[1].write(b"%03d" % n)
            await connection[1].drain()
            # The other direction lives: what it says arrives, so that what we sent has had its time.
            link.peer.writers[0].write(b"alive")
            assert await connection[0].readexactly(5) == b"alive"
            assert link.peer.received == b"before"
            link.set(a_to_b=OPEN)
            expected = b"".join(b"%03d" % n for n in range(200))
            assert await connection[0].readexactly(600) == expected
            assert link.peer.received == b"before" + expected

    run(work())


def test_a_black_hole_of_the_way_back_lets_the_way_there_through() -> None:
    async def work() -> None:
        async with link_between() as link:
            connection = await link.connect()
            await echo(connection, b"before")
            link.set(b_to_a=BLACK_HOLE)
            connection[1].write(b"there")
            await until(lambda: link.peer.received == b"beforethere")
            answer = asyncio.create_task(connection[0].readexactly(5))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not answer.done()
            link.set(b_to_a=OPEN)
            assert await answer == b"there"

    run(work())


def test_a_black_hole_takes_a_bounded_amount() -> None:
    """A sender that goes on for ever is held up, as by a full window."""

    async def work() -> None:
        async with link_between() as link:
            _, writer = await link.connect()
            await until(lambda: bool(link.peer.writers))
            link.set(a_to_b=BLACK_HOLE)
            sender = asyncio.create_task(_send_for_ever(writer))
            sizes: list[int] = []
            await until(lambda: _stands_still(sizes, writer))
            assert not sender.done()
            assert link.peer.received == b""
            sender.cancel()

    run(work())


async def _send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(65536))
        await writer.drain()


def _stands_still(sizes: list[int], writer: asyncio.StreamWriter) -> bool:
    """Whether the sender's buffer has not moved for many looks, and is not empty."""
    transport: Any = writer.transport
    sizes.append(transport.get_write_buffer_size())
    return len(sizes) > 20 and len(set(sizes[-20:])) == 1 and sizes[-1] > 0


def test_a_cut_ends_a_black_hole() -> None:
    async def work() -> None:
        async with link_between() as link:
            reader, writer = await link.connect()
            link.set(a_to_b=BLACK_HOLE)
            writer.write(b"held")
            link.set(a_to_b=CUT)
            assert await is_ended(reader)
            assert link.peer.received == b""

    run(work())


def test_a_far_end_that_is_down_ends_the_connection_and_later_ones_pass() -> None:
    async def work() -> None:
        async with link_between(with_peer=False) as link:
            reader, _ = await link.connect()
            assert await is_ended(reader)
            server = await asyncio.start_server(link.peer.serve, FAR, link.port)
            assert await echo(await link.connect(), b"hello") == b"hello"
            server.close()

    run(work())


def test_the_end_of_one_side_is_the_end_of_the_other() -> None:
    async def work() -> None:
        async with link_between() as link:
            reader, writer = await link.connect()
            await echo((reader, writer), b"hello")
            link.peer.writers[0].close()
            assert await is_ended(reader)
            again = await link.connect()
            await echo(again, b"hello")
            again[1].close()
            await until(lambda: link.peer.writers[1].is_closing())

    run(work())


@pytest.mark.parametrize("rule", [OPEN, BLACK_HOLE, LinkRule(latency_ms=60_000), LinkRule(rate_bytes_per_s=1)])
def test_stop_leaves_no_listener_and_no_connection(rule: LinkRule) -> None:
    async def work() -> None:
        before = asyncio.all_tasks()
        async with link_between() as link:
            reader, writer = await link.connect()
            await until(lambda: bool(link.peer.writers))
            link.set(a_to_b=rule)
            writer.write(b"x" * 1000)
            await writer.drain()
            await link.proxy.stop()
            assert await is_ended(reader)
            with pytest.raises(ConnectionRefusedError):
                await link.connect()
            with socket.socket() as probe:  # the address can be had again at once
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((NEAR, link.port))
            await link.proxy.stop()  # again: no harm
        await until(lambda: asyncio.all_tasks() == before)

    run(work())


def test_an_address_that_is_taken_is_an_os_error() -> None:
    async def work() -> None:
        async with link_between() as link:
            address = LinkAddress(source="a", destination="b", listen_host=NEAR, forward_host=FAR, port=link.port)
            with pytest.raises(OSError, match="in use"):
                await LinkProxy(address, link.table).start()

    run(work())


def test_a_rule_of_one_link_leaves_others_alone() -> None:
    async def work() -> None:
        async with link_between() as link:
            table = LinkTable([("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")])
            link.proxy._table = table
            connection = await link.connect()
            table.set([Link(source="a", destination="c", rule=CUT), Link(source="c", destination="a", rule=CUT)])
            assert await echo(connection, b"hello") == b"hello"

    run(work())


# --- the table ---


def test_a_direction_that_does_not_exist_changes_nothing() -> None:
    async def work() -> None:
        table = LinkTable([("a", "b"), ("b", "a")])
        told: list[int] = []
        table.on_change(lambda: told.append(1))
        with pytest.raises(KeyError, match="no link from 'a' to 'z'"):
            table.set([Link(source="a", destination="b", rule=CUT), Link(source="a", destination="z", rule=CUT)])
        assert table.rule("a", "b") == OPEN
        assert told == []

    run(work())


def test_the_table_lists_every_direction_and_tells_of_changes() -> None:
    async def work() -> None:
        table = LinkTable([("b", "a"), ("a", "b")])
        told: list[str] = []
        table.on_change(lambda: told.append(table.rule("a", "b").mode))
        waiting = asyncio.create_task(table.wait_change())
        await asyncio.sleep(0)
        table.set([Link(source="a", destination="b", rule=CUT)])
        await waiting
        assert told == ["cut"]
        assert [(k.source, k.destination, k.rule) for k in table.all()] == [("a", "b", CUT), ("b", "a", OPEN)]
        # Who waits from now on waits for the next change.
        later = asyncio.create_task(table.wait_change())
        await asyncio.sleep(0)
        assert not later.done()
        table.set([Link(source="a", destination="b", rule=OPEN)])
        await later

    run(work())


# --- one direction, on virtual time ---


class Sink:
    """Where the bytes go; it remembers when each piece came."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> None:
        self.pieces.append((asyncio.get_running_loop().time(), data))

    async def drain(self) -> None:
        return

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


Arrivals = list[tuple[float, bytes]]
Changes = list[tuple[float, LinkRule]]


def carried(arrivals: Arrivals, changes: Changes) -> Sink:
    """Return what came out when these bytes arrived and the rule changed at these moments, until all is through."""

    async def work() -> Sink:
        loop = asyncio.get_running_loop()
        table, reader, sink = LinkTable([("a", "b")]), asyncio.StreamReader(), Sink()
        for at_s, rule in changes:
            loop.call_at(at_s, table.set, [Link(source="a", destination="b", rule=rule)])

        async def feed() -> None:
            for at_s, data in arrivals:
                await asyncio.sleep(at_s - loop.time())
                reader.feed_data(data)
            reader.feed_eof()

        writer: Any = sink
        await asyncio.gather(feed(), _Direction(table, "a", "b").carry(reader, writer))
        return sink

    return virtual_time.run(work())


def growing(times: list[float], sizes: list[int]) -> Arrivals:
    """Return pieces of a known stream that arrive at sorted times."""
    stream = bytes(n % 251 for n in range(sum(sizes)))
    starts = [0, *itertools.accumulate(sizes)]
    return [(at_s, stream[starts[n] : starts[n + 1]]) for n, at_s in enumerate(sorted(times))]


ARRIVALS = st.lists(st.tuples(st.floats(0, 50), st.integers(1, 5000)), min_size=1, max_size=30).map(
    lambda pairs: growing([at_s for at_s, _ in pairs], [size for _, size in pairs])
)
LATENCIES = st.integers(0, 5000).map(lambda ms: LinkRule(latency_ms=ms))
RATES = st.integers(100, 100_000).map(lambda rate: LinkRule(rate_bytes_per_s=rate))
MODES = st.sampled_from([OPEN, BLACK_HOLE])


@settings(deadline=None, max_examples=60)
@given(
    arrivals=ARRIVALS,
    changes=st.lists(st.tuples(st.floats(0, 60), st.one_of(LATENCIES, RATES, MODES)), max_size=8),
)
def test_nothing_is_lost_or_reordered_whatever_the_rules_do(arrivals: Arrivals, changes: Changes) -> None:
    """Law: what comes out is what went in, byte for byte, when the link is open in the end."""
    sink = carried(arrivals, [*changes, (61.0, OPEN)])
    assert sink.data == b"".join(data for _, data in arrivals)
    times = [at_s for at_s, _ in sink.pieces]
    assert times == sorted(times)


@settings(deadline=None, max_examples=60)
@given(arrivals=ARRIVALS, latency_ms=st.integers(0, 5000))
def test_a_constant_latency_moves_every_byte_by_it(arrivals: Arrivals, latency_ms: int) -> None:
    """Law: at every moment, exactly that has come out which had arrived one latency before."""
    sink = carried(arrivals, [(0.0, LinkRule(latency_ms=latency_ms))])
    for at_s, _ in sink.pieces:
        out = sum(len(data) for came_s, data in sink.pieces if came_s <= at_s)
        arrived = sum(len(data) for came_s, data in arrivals if came_s <= at_s - latency_ms / 1000 + 1e-6)
        assert out <= arrived
    last_arrival = max(at_s for at_s, _ in arrivals)
    assert max(at_s for at_s, _ in sink.pieces) == pytest.approx(last_arrival + latency_ms / 1000, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(arrivals=ARRIVALS, rate=st.integers(100, 100_000))
def test_a_rate_is_an_upper_bound(arrivals: Arrivals, rate: int) -> None:
    """Law: between any two pieces, no more comes out than the rate allows for the time between them; and the link is
    not idle while bytes wait: all is out when the bytes at that rate, from the last idle moment, would be."""
    sink = carried(arrivals, [(0.0, LinkRule(rate_bytes_per_s=rate))])
    for first, (start_s, _) in enumerate(sink.pieces):
        amount = 0
        for at_s, data in sink.pieces[first:]:
            # Each piece takes its time after it was written: the last one's is not over yet.
            assert amount <= rate * (at_s - start_s) + 1e-3
            amount += len(data)
    total = sum(len(data) for _, data in arrivals)
    last_arrival = max(at_s for at_s, _ in arrivals)
    assert max(at_s for at_s, _ in sink.pieces) <= last_arrival + total / rate + 1e-6


@settings(deadline=None, max_examples=60)
@given(arrivals=ARRIVALS, start_s=st.floats(0, 40), length_s=st.floats(0.1, 40))
def test_nothing_comes_out_of_a_black_hole(arrivals: Arrivals, start_s: float, length_s: float) -> None:
    """Law: no byte comes out while it lasts, and all that waited comes at its end."""
    end_s = start_s + length_s
    sink = carried(arrivals, [(start_s, BLACK_HOLE), (end_s, OPEN)])
    assert not [at_s for at_s, _ in sink.pieces if start_s + TINY_S < at_s < end_s - TINY_S]
    waited = [at_s for at_s, _ in arrivals if start_s + TINY_S < at_s < end_s - TINY_S]
    if waited:
        assert any(at_s == pytest.approx(end_s, abs=TINY_S) for at_s, _ in sink.pieces)
    assert sink.data == b"".join(data for _, data in arrivals)


def test_a_latency_that_falls_lets_nothing_overtake() -> None:
    sink = carried(
        [(0.0, b"first"), (1.0, b"second")], [(0.0, LinkRule(latency_ms=5000)), (0.5, LinkRule(latency_ms=0))]
    )
    assert sink.pieces == [(5.0, b"first"), (5.0, b"second")]
