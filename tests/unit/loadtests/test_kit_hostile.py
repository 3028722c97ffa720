"""Against servers that lie, stall and break off: every request ends as what it is, within its limit, and is counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from bundle import SAMPLES, BundleLayout, Outcome, read_table
from loadtests.kit.client import LoadClient
from loadtests.kit.origins import Origins
from loadtests.kit.recorder import Recorder
from loadtests.kit.wire import ConnectionPool
from tests.unit.loadtests.kit_hostile import SLOW, TRICKS, hostile_server
from tests.unit.loadtests.kit_session import an_environment

LIMIT_S = 0.15
LONG_S = 20.0
QUICK = sorted(TRICKS.keys() - SLOW)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with hostile_server() as port:
        yield port


@pytest.mark.parametrize("name", sorted(TRICKS))
def test_each_trick_ends_as_it_should_and_spoils_no_other_request(port: int, name: str) -> None:
    """Three times over the same pool, with a good request after each: it gets its own answer."""
    client = LoadClient(an_environment(), f"http://127.0.0.1:{port}")
    for _ in range(3):
        response = client.get(f"/{name}", limit_s=LIMIT_S if name in SLOW else LONG_S)
        failure = response.call.failure
        assert (failure.kind if failure else None) in TRICKS[name].ends_as, str(failure)
        good = client.get("/good", limit_s=LONG_S)
        assert (good.status_code, good.content) == (200, b"{}")
    client.close()


@pytest.mark.parametrize("name", sorted(TRICKS))
def test_the_outcome_says_whether_it_is_known(port: int, name: str) -> None:
    """A request that was sent and has no answer may have taken effect; what is no answer at all is a failure."""
    client = LoadClient(an_environment(), f"http://127.0.0.1:{port}")
    call = client.get(f"/{name}", limit_s=LIMIT_S if name in SLOW else LONG_S).call
    unknown = call.failure is not None and call.failure.kind.value in ("broken", "timeout")
    assert (call.outcome is Outcome.UNKNOWN) == unknown
    assert call.ended_at_s is not None
    client.close()


def _mixed_run(port: int, folder: Path, count: int, users: int) -> None:
    layout, environment = BundleLayout(root=folder), an_environment()
    environment.create_local_runner()
    recorder = Recorder(layout, "local")
    environment.events.request.add_listener(recorder.on_request)
    origins = Origins(connections_max=users // 2, connect_limit_s=LONG_S)
    wrong: list[str] = []
    made: Counter[str] = Counter()

    def act(seed: int) -> None:
        draw = random.Random(seed)
        client = LoadClient(environment, f"http://127.0.0.1:{port}", origins=origins)
        for _ in range(count // users):
            name = draw.choice(sorted(SLOW)) if draw.random() < 0.005 else draw.choice(QUICK)
            made[name] += 1
            failure = client.get(f"/{name}", name=name, limit_s=LIMIT_S if name in SLOW else LONG_S).call.failure
            if name in SLOW and failure and "no connection in time" in failure.detail:
                continue  # its short limit was over while it stood in line: the pool has half of what users want
            if (failure.kind if failure else None) not in TRICKS[name].ends_as:
                wrong.append(f"{name}: {failure}")

    greenlets = [gevent.spawn(act, seed) for seed in range(users)]
    assert len(gevent.joinall(greenlets, timeout=300, raise_error=True)) == users
    recorder.close()
    origins.close()
    assert wrong == []
    rows = read_table(layout, SAMPLES)
    assert Counter(rows.column("operation").to_pylist()) == made
    assert made.total() == environment.stats.total.num_requests == count // users * users


def test_a_mixed_run_is_recorded_to_the_unit(port: int, tmp_path: Path) -> None:
    _mixed_run(port, tmp_path, count=2_000, users=40)


@pytest.mark.slow
def test_a_long_mixed_run_is_recorded_to_the_unit(port: int, tmp_path: Path) -> None:
    _mixed_run(port, tmp_path, count=20_000, users=100)


def test_users_killed_in_mid_request_leave_no_half_answers_behind(port: int) -> None:
    """Killed at any point, a greenlet's connection is closed: whoever asks next gets an answer of their own."""
    pool = ConnectionPool(f"http://127.0.0.1:{port}", connections_max=5)

    def act() -> None:
        while True:
            assert pool.request("GET", "/chunked").body == b"{}"
            pool.request("GET", "/length-too-long-stalled", limit_s=0.002 if draw.random() < 0.5 else LONG_S)

    draw = random.Random(7)
    for _ in range(60):
        users = [gevent.spawn(act) for _ in range(8)]
        gevent.sleep(draw.random() * 0.004)
        gevent.killall(users)
        assert pool.request("GET", "/good").body == b"{}"
    assert pool.open_count <= 5
    pool.close()
    assert pool.open_count == 0
