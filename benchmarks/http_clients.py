"""Requests a second on one core, by CPU time: this kit's client, Locust's two, and load generators that are installed.

Run by itself, because Locust patches sockets: `python -m benchmarks.http_clients`. The server is another process; each
client asks for the same small JSON over 20 kept connections. What counts is the client's own CPU time (that of a child
by its resource usage), so a busy machine disturbs it less than the clock; rounds are interleaved. "Recorded" means with
Locust's statistics and a row in the bundle for each request.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, HttpUser
from locust.argument_parser import get_parser
from locust.env import Environment

from bundle import BundleLayout
from loadtests.kit.client import LoadClient
from loadtests.kit.recorder import Recorder
from loadtests.kit.wire import ConnectionPool

ROUNDS = 5
_CONNECTIONS = 20
_COUNT = 20_000
_SLOW_COUNT = 4_000  # for clients of a tenth of the speed

_SERVER = """
import asyncio
ANSWER = b'HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 26\\r\\n\\r\\n{"result":{"height":"42"}}'
class Answering(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))
async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextmanager
def _server() -> Iterator[str]:
    """Give the URL of a server in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextmanager
def _recorded() -> Iterator[Environment]:
    """Give an environment with Locust's statistics and the recorder."""
    folder = Path(tempfile.mkdtemp(prefix="reliability-bench-"))
    environment = Environment(parsed_options=get_parser().parse_args([]))
    environment.create_local_runner()
    recorder = Recorder(BundleLayout(root=folder), "local")
    environment.events.request.add_listener(recorder.on_request)
    try:
        yield environment
    finally:
        recorder.close()
        shutil.rmtree(folder)


def _per_cpu_second(asks: list[Callable[[], Any]], count: int) -> float:
    """Return requests a second of CPU, each of `asks` in a greenlet of its own."""

    def repeat(ask: Callable[[], Any]) -> None:
        for _ in range(count // len(asks)):
            ask()

    for ask in asks:
        ask()  # connections are made beforehand
    start = time.process_time()
    gevent.joinall([gevent.spawn(repeat, ask) for ask in asks], raise_error=True)
    return count / (time.process_time() - start)


def measure_pool(url: str) -> float:
    pool = ConnectionPool(url)
    return _per_cpu_second([lambda: pool.request("GET", "/x")] * _CONNECTIONS, _COUNT)


def measure_load_client(url: str) -> float:
    with _recorded() as environment:
        clients = [LoadClient(environment, url) for _ in range(_CONNECTIONS)]
        return _per_cpu_second([lambda client=client: client.get("/x") for client in clients], _COUNT)  # type: ignore[misc]


def _measure_user(user_class: Any, url: str) -> float:
    with _recorded() as environment:
        users = [type("User", (user_class,), {"abstract": True, "host": url})(environment) for _ in range(_CONNECTIONS)]
        return _per_cpu_second([lambda user=user: user.client.get("/x") for user in users], _SLOW_COUNT)  # type: ignore[misc]


def measure_fast_http_user(url: str) -> float:
    return _measure_user(FastHttpUser, url)


def measure_http_user(url: str) -> float:
    return _measure_user(HttpUser, url)


def _measure_command(arguments: list[str], *, text: str | None = None, count: int | None = None) -> float:
    """Return requests per CPU second of a program; `count` of them, or as many as it says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if count is None:
        count = int(done.stdout.partition(" requests in ")[0].split()[-1])
    return count / used_s


def measure_hey(program: str, url: str) -> float:
    return _measure_command([program, "-n", str(_COUNT), "-c", str(_CONNECTIONS), f"{url}/x"], count=_COUNT)


def measure_vegeta(program: str, url: str) -> float:
    options = ["-rate=2000", "-duration=5s", f"-connections={_CONNECTIONS}"]
    return _measure_command([program, "attack", *options, "-output=/dev/null"], text=f"GET {url}/x\n", count=10_000)


def measure_wrk(program: str, url: str) -> float:
    return _measure_command([program, "-t1", f"-c{_CONNECTIONS}", "-d2s", f"{url}/x"])


_PEERS = {"hey": measure_hey, "vegeta": measure_vegeta, "wrk": measure_wrk}


def _program(name: str) -> str | None:
    """Return where a program is: on PATH, or where Go installs."""
    go_path = os.environ.get("GOBIN") or str(Path(os.environ.get("GOPATH", str(Path.home() / "go"))) / "bin")
    return shutil.which(name) or shutil.which(name, path=go_path)


def main() -> None:
    measurements: dict[str, Callable[[str], float]] = {
        "connections alone (kit/wire)": measure_pool,
        "LoadClient, recorded": measure_load_client,
        "Locust's FastHttpUser, recorded": measure_fast_http_user,
        "Locust's HttpUser, recorded": measure_http_user,
    }
    for name, measure in _PEERS.items():
        if (program := _program(name)) is None:
            print(f"{name}: skipped, not installed")
        else:
            measurements[name] = lambda url, measure=measure, program=program: measure(program, url)  # type: ignore[misc]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    results: dict[str, list[float]] = {name: [] for name in measurements}
    with _server() as url:
        for _ in range(ROUNDS):
            for name, run in measurements.items():
                results[name].append(run(url))
    for name, values in results.items():
        middle = statistics.median(values)
        print(
            f"{name:<34} {middle:>9,.0f} /s of CPU ({min(values):,.0f} to {max(values):,.0f}), {1e6 / middle:.1f} us each"
        )


if __name__ == "__main__":
    main()
