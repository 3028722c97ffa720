"""HTTP requests a second on one core: this kit's client, Locust's two, and other load generators, against one server.

`python -m benchmarks.http_clients` runs these alone. Everybody asks for the same small JSON over 20 kept connections,
from a server in a process of its own that parses nothing. Each run of a client is a process of its own, because Locust
patches sockets, and is bound to one core where there are two. What counts is its CPU time, which a busy machine
disturbs less than the clock: requests a second of CPU are what one core gives when it has nothing else to do.
"Recorded" means with Locust's statistics and a row in the bundle for each request.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.measurement import Measurement, measure
from benchmarks.peers import program

CONNECTIONS = 20
_LIMIT_S = 300.0
_SERVER = Path(__file__).parent / "canned_server.py"


@cache
def server_port() -> int:
    """Return the port of the server that all measurements of this process use."""
    process = subprocess.Popen(
        [sys.executable, str(_SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=_on_last_core,
    )
    atexit.register(process.wait, timeout=10)
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(process.stdin.close)  # which ends it; runs before the wait
    return int(process.stdout.readline())


def _on_first_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _on_last_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@dataclass
class Client:
    """One client's runs: a run gives two figures."""

    name: str
    count: int
    wall_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)

    def per_core(self) -> float:
        """Make the requests in a process of its own; return how many a second of its CPU time."""
        used_s, took_s, count = self._run(f"http://127.0.0.1:{server_port()}")
        self.wall_per_s.append(count / took_s)
        self.cpu_us.append(1e6 * used_s / count)
        return count / used_s

    def cpu_us_per_request(self) -> float:
        """Return the client's CPU time for a request in the run just made."""
        return self.cpu_us[-1]

    def per_s(self) -> float:
        """Return requests a second by the clock in the run just made."""
        return self.wall_per_s[-1]

    def measurements(self, title: str, claim: str = "") -> tuple[Measurement, ...]:
        return (
            Measurement(name=f"HTTP requests: {title}", unit="/core", run=self.per_core, claim=claim),
            Measurement(name="  CPU time of the client for one", unit="us", run=self.cpu_us_per_request),
            Measurement(name="  by the clock", unit="/s", run=self.per_s),
        )

    def _run(self, url: str) -> tuple[float, float, int]:
        """Return (CPU seconds, wall seconds, requests)."""
        command = [sys.executable, "-m", "benchmarks.http_clients", self.name, url, str(self.count)]
        told = json.loads(_timed(command).output)
        return told["cpu_s"], told["took_s"], told["count"]


class Peer(Client):
    """A program of others. All of its CPU time counts, its start too, which takes it some milliseconds."""

    def _run(self, url: str) -> tuple[float, float, int]:
        path = str(program(self.name))
        if self.name == "hey":
            told = _timed([path, "-n", str(self.count), "-c", str(CONNECTIONS), "-cpus", "1", f"{url}/"])
            return told.cpu_s, told.took_s, self.count
        if self.name == "vegeta":
            with tempfile.NamedTemporaryFile() as results:
                at_once = [f"-workers={CONNECTIONS}", f"-max-workers={CONNECTIONS}", f"-connections={CONNECTIONS}"]
                attack = ["attack", "-rate=0", "-duration=2s", *at_once, f"-output={results.name}"]
                told = _timed([path, "-cpus=1", *attack], text=f"GET {url}/\n")
                report = _timed([path, "report", "-type=json", results.name])
            return told.cpu_s, told.took_s, int(json.loads(report.output)["requests"])
        told = _timed([path, "-t1", f"-c{CONNECTIONS}", "-d2s", f"{url}/"])
        return told.cpu_s, told.took_s, int(told.output.partition(" requests in ")[0].split()[-1])


@dataclass(frozen=True)
class _Told:
    """What a program wrote, and the time it took, CPU and wall."""

    output: str
    cpu_s: float
    took_s: float


def _timed(command: list[str], *, text: str | None = None) -> _Told:
    """Run a program on the first core."""
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIMIT_S,
        preexec_fn=_on_first_core,
    )
    after, end_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Told(done.stdout, cpu_s, end_s - start_s)


def _measurements() -> tuple[Measurement, ...]:
    found = [
        *Client("kit", 60_000).measurements("the kit, recorded", "20,000, and four times FastHttpUser"),
        *Client("batched", 80_000).measurements("the kit, recorded, batched statistics", "35,000, and ahead of hey"),
        *Client("fast", 8_000).measurements("Locust's FastHttpUser, recorded"),
        *Client("requests", 4_000).measurements("Locust's HttpUser, recorded"),
    ]
    for name, count in (("hey", 60_000), ("vegeta", 0), ("wrk", 0)):
        if program(name):
            found += Peer(name, count).measurements(name)
        else:
            print(f"{name} is not installed: left out")
    return tuple(found)


# --- in the process of a client ---


def _run_client(name: str, url: str, count: int) -> None:
    """Make the requests from several greenlets at once and print what they took."""
    import gevent
    from locust import FastHttpUser, HttpUser
    from locust.argument_parser import get_parser
    from locust.env import Environment

    from bundle import BundleLayout
    from loadtests.kit.client import LoadClient
    from loadtests.kit.collection import settle
    from loadtests.kit.recorder import Recorder
    from loadtests.kit.statistics import BatchedStatistics

    folder = tempfile.TemporaryDirectory(prefix="reliability-bench-")
    atexit.register(folder.cleanup)
    environment = Environment(parsed_options=get_parser().parse_args([]))
    environment.create_local_runner()
    recorder = Recorder(BundleLayout(root=Path(folder.name)), "local")
    if name == "batched":
        BatchedStatistics(environment, recorder)
    else:
        environment.events.request.add_listener(recorder.on_request)

    def client() -> Any:
        if name in ("kit", "batched"):
            return LoadClient(environment, url)
        base: Any = FastHttpUser if name == "fast" else HttpUser
        return type("User", (base,), {"abstract": True, "host": url})(environment).client

    asks: list[Callable[[str], Any]] = [client().get for _ in range(CONNECTIONS)]

    def repeat(ask: Callable[[str], Any], times: int) -> None:
        for _ in range(times):
            answer = ask("/")
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code}: not a request that counts")

    def run(total: int) -> None:
        gevent.joinall([gevent.spawn(repeat, ask, total // CONNECTIONS) for ask in asks], raise_error=True)

    _on_first_core()
    run(count // 10)  # connections, caches
    settle()
    start_s, cpu_s = time.perf_counter(), time.process_time()
    run(count)
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    print(json.dumps({"cpu_s": cpu_s, "took_s": took_s, "count": count // CONNECTIONS * CONNECTIONS}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _run_client(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        measure(_measurements())
