"""Faults on processes: killed (as by a crash) and paused (alive, connected, and mute).

These end or stop real processes of the target.
"""

from __future__ import annotations

from bundle import Undo
from experiments.fault import NotControllable
from experiments.height_watch import HeightWatch
from target.control import ControlledProcess, DevnetControl, ProcessKind, ProcessState, connect_control
from target.errors import ControlError, NoAnswer, TargetError
from target.http import HttpClient
from target.rpc import RpcClient
from target.target import Target

_ASK_LIMIT_S = 1.0


class _ProcessFault:
    """What killing and pausing have in common."""

    name = ""
    _undo_verb = ""

    def __init__(self, target: Target, targets: tuple[str, ...]) -> None:
        control = connect_control(target)
        if control is None:
            raise NotControllable(f'{target.name}: control is "none"; expected a target whose processes we control')
        self._target = target
        self._control: DevnetControl = control
        self._heights = HeightWatch(target)
        self.targets = targets

    @property
    def undo(self) -> Undo:
        return Undo(verb=self._undo_verb, targets=self.targets)

    def healing(self) -> str | None:
        """All targets run, answer, and nodes have caught up with the others."""
        found = [self._works_again(self._control.process(name)) for name in self.targets]
        return None if None in found else "; ".join(text for text in found if text)

    def _works_again(self, process: ControlledProcess) -> str | None:
        """Return what shows that one process works, None when it does not."""
        if process.state is not ProcessState.RUNNING or not _answers(self._target, process):
            return None
        if process.kind is not ProcessKind.NODE:
            return f"{process.name} runs and answers"
        return self._heights.caught_up(process.name)


class ProcessKill(_ProcessFault):
    """Processes end at once, as by SIGKILL or a lost machine."""

    name = "process.kill"
    _undo_verb = "start"

    def apply(self) -> None:
        for name in self.targets:
            self._control.kill(name)

    def effect(self) -> str | None:
        """Every target has exited, and nobody answers at its address."""
        for name in self.targets:
            process = self._control.process(name)
            if process.state is not ProcessState.EXITED or _answers(self._target, process):
                return None
        return f"{', '.join(self.targets)}: process gone, address refuses connections"


class ProcessPause(_ProcessFault):
    """Processes stand still (SIGSTOP): the kernel still accepts connections for them, and nothing answers."""

    name = "process.pause"
    _undo_verb = "resume"

    def apply(self) -> None:
        for name in self.targets:
            self._control.pause(name)

    def effect(self) -> str | None:
        """Every target is stopped, and gives no answer within a second."""
        for name in self.targets:
            process = self._control.process(name)
            if process.state is not ProcessState.PAUSED or not _is_mute(self._target, process):
                return None
        return f"{', '.join(self.targets)}: process stopped, no answer within {_ASK_LIMIT_S:.0f} s"


def _ask(target: Target, process: ControlledProcess) -> None:
    """Return when the process answers at its address. Raises TargetError."""
    if process.kind is ProcessKind.NODE:
        RpcClient(target.node(process.name).rpc_url, timeout_s=_ASK_LIMIT_S).health()
        return
    provider = next((provider for provider in target.providers if provider.name == process.name), None)
    if provider is None:
        raise ControlError(target.name, f"names no provider {process.name!r}")
    HttpClient(provider.url, timeout_s=_ASK_LIMIT_S).get("/health")


def _answers(target: Target, process: ControlledProcess) -> bool:
    try:
        _ask(target, process)
    except TargetError:
        return False
    return True


def _is_mute(target: Target, process: ControlledProcess) -> bool:
    """Whether connections are made and no answer comes: what a paused process does and a dead one does not."""
    try:
        _ask(target, process)
    except NoAnswer:
        return True
    except TargetError:
        return False
    return False
