"""gRPC unary calls a second by the load kit, and by gRPC's own library under gevent, against one server.

`python -m benchmarks.grpc_clients` runs these alone. The server is a Go program (`echo/`), built once into the cache;
each run of a client is a process of its own, because Locust patches sockets. On a machine with few cores the server
takes its share of them: the client's CPU time a call tells more than calls a second.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks.measurement import Measurement, measure
from devnet.build import cache_root, find_go

_SOURCES = Path(__file__).parent / "echo"
_METHOD = "/cosmos.bank.v1beta1.Query/Balance"
_MESSAGE = b"x" * 60
_AT_ONCE = 64
_LIMIT_S = 300.0


def _server_binary() -> Path:
    """Return the echo server, built unless the cache has this version of it."""
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.iterdir()):
        digest.update(path.read_bytes())
    binary = cache_root() / "benchmarks" / digest.hexdigest()[:20] / "echo"
    if not binary.is_file():
        go = find_go(lambda line: print(line, file=sys.stderr))
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
        command = [str(go), "build", "-trimpath", "-mod=readonly", "-o", str(binary), "."]
        subprocess.run(command, cwd=_SOURCES, env=environment, check=True, timeout=_LIMIT_S)
    return binary


@cache
def _server_port() -> int:
    """Return the port of the server that all measurements of this process use."""
    process = subprocess.Popen([_server_binary()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(process.wait, timeout=10)
    assert process.stdin is not None
    assert process.stdout is not None
    atexit.register(process.stdin.close)  # which ends it; runs before the wait
    return int(process.stdout.readline())


@dataclass
class _Client:
    """One client's runs: a run gives two figures."""

    name: str
    count: int
    cpu_us: list[float] = field(default_factory=list)

    def calls_per_s(self) -> float:
        """Make the calls in a process of its own, and remember what they cost it."""
        command = [sys.executable, "-m", "benchmarks.grpc_clients", self.name, str(_server_port()), str(self.count)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT_S)
        figures = json.loads(answer.stdout)
        self.cpu_us.append(figures["cpu_us"])
        return float(figures["per_s"])

    def cpu_us_per_call(self) -> float:
        """Return the client's CPU time a call in the run just made."""
        return self.cpu_us[-1]

    def measurements(self, title: str, claim: str = "") -> tuple[Measurement, Measurement]:
        return (
            Measurement(name=f"gRPC calls: {title}", unit="/s", run=self.calls_per_s),
            Measurement(
                name=f"  CPU time of the client for one: {title}", unit="us", run=self.cpu_us_per_call, claim=claim
            ),
        )


GRPC = (
    *_Client("kit", 30_000).measurements("the kit", "a fifth of grpcio's or less"),
    *_Client("recorded", 30_000).measurements("the kit, recorded"),
    *_Client("grpcio", 6_000).measurements("grpcio in gevent"),
)


# --- in the process of a client ---


def _kit(port: int, *, recorded: bool) -> Callable[[], object]:
    """Return one call as a scenario makes it: through the pool, told to Locust and written down if `recorded`."""
    from locust.env import Environment

    from bundle import BundleLayout
    from loadtests.kit.calls import Call, measured
    from loadtests.kit.grpc_pool import GrpcEndpoint, GrpcPool
    from loadtests.kit.recorder import Recorder

    pool = GrpcPool([GrpcEndpoint("api-0", f"127.0.0.1:{port}")])

    def call() -> None:
        now = time.time()
        pool.unary(Call(operation="grpc.balance", protocol="GRPC", intended_at_s=now, sent_at_s=now), _METHOD, _MESSAGE)

    if not recorded:
        return call
    folder = tempfile.TemporaryDirectory(prefix="reliability-bench-")
    atexit.register(folder.cleanup)
    environment = Environment()
    recorder = Recorder(BundleLayout(root=Path(folder.name)), "local")
    environment.events.request.add_listener(recorder.on_request)

    def recorded_call() -> None:
        with measured(environment, "grpc.balance", "GRPC", intended_at_s=time.time()) as call:
            pool.unary(call, _METHOD, _MESSAGE)
        if call.failure is not None:
            raise call.failure  # or failures would be counted as calls

    return recorded_call


def _grpcio(port: int) -> Callable[[], object]:
    """Return one call by gRPC's own library, with nothing around it."""
    import grpc
    from grpc.experimental.gevent import init_gevent

    init_gevent()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
    return lambda: unary(_MESSAGE, timeout=5)


def _run_client(name: str, port: int, count: int) -> None:
    """Make the calls from several greenlets at once and print what they took."""
    import locust  # noqa: F401  # patches, as in a load process
    from gevent import joinall, spawn

    call = _grpcio(port) if name == "grpcio" else _kit(port, recorded=name == "recorded")

    def repeat(times: int) -> None:
        for _ in range(times):
            call()

    def run(total: int) -> None:
        joinall([spawn(repeat, total // _AT_ONCE) for _ in range(_AT_ONCE)], raise_error=True)

    run(count // 10)  # connections, caches
    start_s, cpu_s = time.perf_counter(), time.process_time()
    run(count)
    took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    done = count // _AT_ONCE * _AT_ONCE
    print(json.dumps({"per_s": done / took_s, "cpu_us": 1e6 * cpu_s / done}))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _run_client(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        measure(GRPC)
