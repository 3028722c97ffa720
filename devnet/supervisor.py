"""The supervisor of one network: runs its processes and links, and serves the control port.

`python -m devnet.supervisor HOME` is started detached by `lifecycle.py`. It ends, and takes everything with
it, on SIGTERM, on an order at the control port, or, when it was given an owner (`--owner-fd`, the read end
of a pipe), as soon as the owner is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from bundle import DocumentError
from devnet.links import LinkAddress, LinkProxy, LinkTable
from devnet.network import P2P_PORT, PORTAL_PORT, RPC_PORT, Network
from devnet.process import ManagedProcess, ProcessSpec
from devnet.record import NetworkRecord, read_record
from target.control import Link, LinkMode, LinkRule, ProcessKind

STOP_GRACE_S = 3.0


class Supervisor:
    """Everything of one network that lives."""

    def __init__(self, record: NetworkRecord) -> None:
        self._record = record
        network = record.network
        names = network.validator_names
        self.table = LinkTable((names[i], names[j]) for i, j in network.links())
        self.proxies = [LinkProxy(_link_address(network, i, j), self.table) for i, j in network.links()]
        self.processes = {spec.name: ManagedProcess(spec) for spec in _process_specs(record)}
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Start everything, serve until told to stop, end everything."""
        runner = web.AppRunner(self._application())
        await runner.setup()
        try:
            for proxy in self.proxies:
                await proxy.start()
            await web.UnixSite(runner, str(self._record.socket)).start()
            await asyncio.gather(*(process.start() for process in self.processes.values()))
            await self.stopping.wait()
        finally:
            await self._end_everything(runner)

    async def _end_everything(self, runner: web.AppRunner) -> None:
        await asyncio.gather(*(process.stop(grace_s=STOP_GRACE_S) for process in self.processes.values()))
        await asyncio.gather(*(proxy.stop() for proxy in self.proxies))
        await runner.cleanup()
        self._record.socket.unlink(missing_ok=True)

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_errors_as_json])
        application.add_routes(
            [
                web.get("/v1/processes", self._list_processes),
                web.post("/v1/processes/{name}/{verb}", self._order_process),
                web.get("/v1/links", self._list_links),
                web.put("/v1/links", self._set_links),
                web.post("/v1/stop", self._stop),
            ]
        )
        return application

    async def _list_processes(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(process.describe()) for process in self.processes.values()])

    async def _order_process(self, request: web.Request) -> web.Response:
        name, verb = request.match_info["name"], request.match_info["verb"]
        process = self.processes.get(name)
        if process is None:
            raise _BadOrder(f"no process {name!r}; expected one of {', '.join(self.processes)}")
        match verb:
            case "kill":
                await process.kill()
            case "start":
                await process.start()
            case "pause":
                process.pause()
            case "resume":
                process.resume()
            case _:
                raise _BadOrder(f"no verb {verb!r}; expected kill, start, pause or resume")
        return web.json_response(asdict(process.describe()))

    async def _list_links(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(link) for link in self.table.all()])

    async def _set_links(self, request: web.Request) -> web.Response:
        try:
            self.table.set([_parse_link(raw) for raw in await request.json()])
        except (KeyError, TypeError, ValueError) as error:
            raise _BadOrder(f"links: {error}") from None
        return web.json_response([])

    async def _stop(self, request: web.Request) -> web.Response:
        self.stopping.set()
        return web.json_response({})


class _BadOrder(Exception):
    """An order that cannot be carried out; the text goes back to the caller."""


@web.middleware
async def _errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except _BadOrder as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status)
    except OSError as error:
        return web.json_response({"error": str(error)}, status=500)


def _parse_link(raw: Any) -> Link:
    rule = dict(raw["rule"])
    return Link(
        source=raw["source"],
        destination=raw["destination"],
        rule=LinkRule(**(rule | {"mode": LinkMode(rule.get("mode", LinkMode.OPEN))})),
    )


def _link_address(network: Network, source: int, destination: int) -> LinkAddress:
    return LinkAddress(
        source=network.validator_names[source],
        destination=network.validator_names[destination],
        listen_host=network.link_host(source, destination),
        forward_host=network.validator_host(destination),
        port=P2P_PORT,
    )


def _process_specs(record: NetworkRecord) -> list[ProcessSpec]:
    """Return how to run every validator and provider of the network."""
    network = record.network
    # Nothing of the caller's environment but what a process needs: secrets stay out, runs repeat.
    base = {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "TMPDIR") if name in os.environ}
    specs = []
    for index, name in enumerate(network.validator_names):
        home = network.validator_home(index)
        specs.append(
            ProcessSpec(
                name=name,
                kind=ProcessKind.NODE,
                argv=(str(record.chain_binary), "start", "--home", str(home), "--log_no_color"),
                environment=base | {"HOME": str(home)} | network.spec.node_environment.get(name, {}),
                directory=home,
                log=network.log(name),
            )
        )
    for index, name in enumerate(network.provider_names):
        argv = (
            *(sys.executable, "-m", "devnet.provider", "--listen", f"{network.provider_host(index)}:{PORTAL_PORT}"),
            *("--node", f"tcp://{network.validator_host(0)}:{RPC_PORT}", "--chain-id", network.spec.chain_id),
        )
        environment = base | {"HOME": str(network.home), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        specs.append(
            ProcessSpec(
                name=name,
                kind=ProcessKind.PROVIDER,
                argv=argv,
                environment=environment,
                directory=network.home,
                log=network.log(name),
            )
        )
    return specs


async def _supervise(record: NetworkRecord, owner_fd: int | None) -> None:
    supervisor = Supervisor(record)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stopping.set)
    if owner_fd is not None:
        # The owner holds the write end and never writes: readable means that it is gone.
        loop.add_reader(owner_fd, supervisor.stopping.set)
    await supervisor.run()
    if owner_fd is not None:
        shutil.rmtree(record.network.home, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devnet.supervisor", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--owner-fd", type=int, default=None)
    arguments = parser.parse_args()
    try:
        record = read_record(arguments.home).kept_by_me(as_supervisor=True)
        asyncio.run(_supervise(record, arguments.owner_fd))
    except (OSError, DocumentError) as error:
        print(f"devnet supervisor: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
