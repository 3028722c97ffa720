"""The stand-in as a process: start, stop, a taken port, and what a kill loses."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from devnet.provider.embedded import Address

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "devnet.provider", "--chain-id", "virtengine-devnet-1"]
START_S = 30
STOP_S = 5


@contextlib.contextmanager
def process(listen: str = "127.0.0.1:0") -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """A running stand-in and its address; killed at the end if it still runs."""
    child = subprocess.Popen(
        [*COMMAND, "--listen", listen], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], START_S)
        line = child.stdout.readline() if ready else ""
        found = re.search(r"http://([0-9.]+):(\d+)$", line.strip())
        assert found, f"no address in {line!r}"
        yield child, Address(host=found[1], port=int(found[2]))
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=STOP_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with process() as (child, portal):
        assert portal.call("GET", "/health").text == "ok"
        child.send_signal(number)
        output, errors = child.communicate(timeout=STOP_S)
        assert (child.returncode, output, errors) == (0, "", "")


def test_open_connections_do_not_hold_up_the_end() -> None:
    async def hold_open(child: subprocess.Popen[str], portal: Address) -> aiohttp.WSMessage:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{portal.url}/deployments/d1/logs") as stream,
            asyncio.timeout(STOP_S),
        ):
            child.terminate()
            return await stream.receive()

    with process() as (child, portal):
        idle = http.client.HTTPConnection(portal.host, portal.port, timeout=STOP_S)
        idle.request("GET", "/health")
        idle.getresponse().read()
        ended = asyncio.run(hold_open(child, portal))
        assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert child.wait(timeout=STOP_S) == 0
        idle.close()


def test_a_taken_port_is_one_sentence_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [*COMMAND, "--listen", address], cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False
        )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == f"provider-daemon stand-in: cannot listen on {address}: address already in use\n"


def test_an_address_of_another_machine_is_one_sentence_and_exit_code_2() -> None:
    ended = subprocess.run(
        [*COMMAND, "--listen", "192.0.2.1:8080"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("provider-daemon stand-in: cannot listen on 192.0.2.1:8080: ")
    assert ended.stderr.count("\n") == 1


def test_a_kill_loses_the_vault_and_frees_the_port() -> None:
    with process() as (child, portal):
        body = {"scope": "market", "payload_base64": "QQ=="}
        blob_id = portal.call("POST", "/api/v1/vault/blobs", body=body).json["metadata"]["id"]
        assert portal.call("GET", f"/api/v1/vault/blobs/{blob_id}").status == 200
        child.kill()
        assert child.wait(timeout=STOP_S) == -signal.SIGKILL
    with process(f"{portal.host}:{portal.port}") as (_, again):
        assert again == portal
        answer = again.call("GET", f"/api/v1/vault/blobs/{blob_id}")
        assert (answer.status, answer.json) == (404, {"error": "blob not found"})
