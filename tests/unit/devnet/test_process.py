"""One managed process: started, killed, paused, resumed, stopped, and gone with whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from devnet.process import ManagedProcess, ProcessSpec
from target.control import ProcessKind, ProcessState

LIMIT_S = 20.0
ROOT = Path(__file__).resolve().parents[3]
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


def a_process(folder: Path, code: str = SLEEPER, **environment: str) -> ManagedProcess:
    return ManagedProcess(
        ProcessSpec(
            name="it",
            kind=ProcessKind.NODE,
            argv=(sys.executable, "-c", code),
            environment={"PATH": os.environ["PATH"], **environment},
            directory=folder,
            log=folder / "it.log",
        )
    )


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def started(process: ManagedProcess) -> int:
    """Start it, wait until it is up, and return its pid."""
    log = process.spec.log
    before = log.stat().st_size if log.exists() else 0
    await process.start()
    await until(lambda: log.stat().st_size > before)
    pid = process.describe().pid
    assert pid is not None
    return pid


def test_before_it_is_started_it_has_exited_without_a_code(tmp_path: Path) -> None:
    described = a_process(tmp_path).describe()
    assert (described.state, described.pid, described.exit_code) == (ProcessState.EXITED, None, None)


def test_a_life(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path)
        pid = await started(process)
        assert process.describe().state is ProcessState.RUNNING
        await process.start()  # again: no harm
        assert process.describe().pid == pid
        process.pause()
        await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        assert process.describe().state is ProcessState.PAUSED
        process.pause()
        process.resume()
        await until(lambda: psutil.Process(pid).status() != psutil.STATUS_STOPPED)
        assert process.describe().state is ProcessState.RUNNING
        await process.kill()
        described = process.describe()
        assert (described.state, described.pid, described.exit_code) == (ProcessState.EXITED, None, -signal.SIGKILL)
        assert not psutil.pid_exists(pid)
        await process.kill()
        process.pause()
        process.resume()
        assert process.describe().state is ProcessState.EXITED
        again = await started(process)
        assert again != pid
        assert process.spec.log.read_text() == "up\nup\n"  # one log for all its lives
        await process.stop(grace_s=LIMIT_S)
        assert process.describe().exit_code == -signal.SIGTERM
        await process.stop(grace_s=LIMIT_S)

    run(work())


def test_a_paused_process_can_be_killed_and_stopped(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path)
        for end in (process.kill, lambda: process.stop(grace_s=LIMIT_S)):
            await started(process)
            process.pause()
            await end()
            assert process.describe().state is ProcessState.EXITED

    run(work())


def test_one_that_was_paused_when_it_was_killed_runs_when_started(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path)
        await started(process)
        process.pause()
        await process.kill()
        await started(process)
        assert process.describe().state is ProcessState.RUNNING
        await process.kill()

    run(work())


def test_one_that_ignores_the_request_is_killed_after_the_grace(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path, STUBBORN)
        await started(process)
        await process.stop(grace_s=0.05)
        assert process.describe().exit_code == -signal.SIGKILL

    run(work())


def test_one_that_ends_by_itself_tells_its_code(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path, "print('up'); raise SystemExit(7)")
        await process.start()
        await until(lambda: process.describe().state is ProcessState.EXITED)
        assert process.describe().exit_code == 7

    run(work())


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    async def work() -> None:
        process = a_process(tmp_path)
        process.spec = ProcessSpec(
            name="it",
            kind=ProcessKind.NODE,
            argv=(str(tmp_path / "nothing"),),
            environment={},
            directory=tmp_path,
            log=tmp_path / "it.log",
        )
        with pytest.raises(OSError, match="nothing"):
            await process.start()
        assert process.describe().state is ProcessState.EXITED

    run(work())


def test_it_has_its_own_environment_folder_and_session(tmp_path: Path) -> None:
    async def work() -> None:
        code = "import os; print(sorted(os.environ), os.getcwd(), os.getsid(0) == os.getpid(), flush=True)"
        process = a_process(tmp_path, code, SETTING="1")
        await process.start()
        await until(lambda: process.describe().state is ProcessState.EXITED)
        text = process.spec.log.read_text()
        assert "'SETTING'" in text
        assert "'HOME'" not in text
        assert f"{tmp_path} True" in text

    run(work())


OWNER = """
import asyncio, os, sys
from pathlib import Path
from devnet.process import ManagedProcess, ProcessSpec
from target.control import ProcessKind

async def main():
    spec = ProcessSpec(name="it", kind=ProcessKind.NODE, argv=(sys.executable, "-c", {code!r}),
                       environment={{"PATH": os.environ["PATH"]}}, directory=Path.cwd(), log=Path({log!r}))
    process = ManagedProcess(spec)
    await process.start()
    print(process.describe().pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_it_dies_with_its_starter_even_by_a_kill(tmp_path: Path) -> None:
    code = OWNER.format(code=STUBBORN, log=str(tmp_path / "it.log"))
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout is not None
    child = psutil.Process(int(owner.stdout.readline()))
    assert child.is_running()
    owner.kill()
    owner.communicate()
    end = time.monotonic() + LIMIT_S
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "it outlives its starter"
        time.sleep(0.01)
