"""One process of the network: start, kill, pause, resume, and what state it is in.

Children die with the supervisor (PR_SET_PDEATHSIG), so that a supervisor that is killed leaves nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from target.control import ControlledProcess, ProcessKind, ProcessState

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _dying_with(parent: int) -> Callable[[], None]:
    """Return what the child runs before exec. The parent may be gone already: then the child ends at once."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How to run one process."""

    name: str
    kind: ProcessKind
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log: Path


class ManagedProcess:
    """A process that can be ended and started again; its log goes on in the same file."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self._process: asyncio.subprocess.Process | None = None
        self._paused = False

    async def start(self) -> None:
        """Start it unless it runs. Raises OSError when it cannot be executed."""
        if self._is_alive():
            return
        self._paused = False
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env=dict(self.spec.environment),
                cwd=self.spec.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()),
            )

    async def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        if self._process is not None and self._is_alive():
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def pause(self) -> None:
        if self._is_alive():
            self._signal(signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        if self._is_alive():
            self._signal(signal.SIGCONT)
            self._paused = False

    async def stop(self, *, grace_s: float) -> None:
        """End it with SIGTERM, and with SIGKILL when it is still there after `grace_s`."""
        if self._process is None or not self._is_alive():
            return
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            await self.kill()

    def describe(self) -> ControlledProcess:
        alive = self._is_alive()
        state = ProcessState.EXITED if not alive else ProcessState.PAUSED if self._paused else ProcessState.RUNNING
        process = self._process
        return ControlledProcess(
            name=self.spec.name,
            kind=self.spec.kind,
            state=state,
            pid=process.pid if process and alive else None,
            exit_code=process.returncode if process and not alive else None,
        )

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
