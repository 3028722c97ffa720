"""Child processes of a run: ended by request, by force after a grace, and what they leave says why."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gamedays.child import Child, tail

LIMIT_S = 30.0
SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
OBEYS = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True);"
    " time.sleep(600)"
)
IGNORES = (
    "import signal, time\nfor n in (signal.SIGTERM, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\n"
    "print('up', flush=True)\ntime.sleep(600)"
)
# A parent that ignores the request, and a child of its own that does too.
FAMILY = (
    "import subprocess, sys, time, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    f"child = subprocess.Popen([sys.executable, '-c', {IGNORES!r}], stdout=subprocess.PIPE, text=True)\n"
    "child.stdout.readline()\nprint(child.pid, flush=True)\ntime.sleep(600)"
)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def a_child(folder: Path, code: str, **environment: str) -> Child:
    return Child("it", [sys.executable, "-c", code], environment, folder / "it.log")


def up(folder: Path, code: str) -> Child:
    """Return a child that has said something."""
    child = a_child(folder, code)
    wait_for(lambda: (folder / "it.log").read_text() != "")
    return child


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_an_exit_code_is_told(tmp_path: Path, code: int) -> None:
    child = a_child(tmp_path, f"raise SystemExit({code})")
    assert child.wait(LIMIT_S) == code
    assert child.exit_code == code
    assert child.name == "it"


def test_a_signal_is_told_as_a_negative_code(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert child.wait(LIMIT_S) == -signal.SIGKILL


def test_waiting_ends_at_its_limit(tmp_path: Path) -> None:
    child = up(tmp_path, SLEEPS)
    assert child.wait(0.0) is None
    assert child.wait(0.05) is None
    assert child.exit_code is None
    child.stop(grace_s=LIMIT_S)


def test_stop_asks_with_sigterm(tmp_path: Path) -> None:
    child = up(tmp_path, SLEEPS)
    assert child.stop(grace_s=LIMIT_S) is True
    assert child.exit_code == -signal.SIGTERM
    assert child.stop(grace_s=LIMIT_S) is True  # again: no harm


def test_stop_lets_it_end_in_its_own_way(tmp_path: Path) -> None:
    child = up(tmp_path, OBEYS)
    assert child.stop(grace_s=LIMIT_S) is True
    assert child.exit_code == 7


def test_stop_may_ask_with_another_signal(tmp_path: Path) -> None:
    child = up(tmp_path, SLEEPS)
    assert child.stop(grace_s=LIMIT_S, number=signal.SIGUSR1) is True
    assert child.exit_code == -signal.SIGUSR1


def test_one_that_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = up(tmp_path, IGNORES)
    assert child.stop(grace_s=0.05) is False
    assert child.exit_code == -signal.SIGKILL


def test_its_own_children_are_killed_with_it(tmp_path: Path) -> None:
    child = up(tmp_path, FAMILY)
    grandchild = int((tmp_path / "it.log").read_text())
    assert not is_gone(grandchild)
    assert child.stop(grace_s=0.05) is False
    wait_for(lambda: is_gone(grandchild))


def test_one_that_has_ended_already_is_not_killed(tmp_path: Path) -> None:
    child = a_child(tmp_path, "raise SystemExit(3)")
    child.wait(LIMIT_S)
    assert child.stop(grace_s=0.0) is True
    assert child.exit_code == 3


def test_a_paused_one_is_killed_too(tmp_path: Path) -> None:
    child = up(tmp_path, SLEEPS)
    os.kill(child._process.pid, signal.SIGSTOP)
    wait_for(lambda: psutil.Process(child._process.pid).status() == psutil.STATUS_STOPPED)
    assert child.stop(grace_s=0.05) is False
    assert child.exit_code == -signal.SIGKILL


def test_it_is_out_of_reach_of_the_terminals_interrupt(tmp_path: Path) -> None:
    """Its session is its own, so Ctrl-C reaches the conductor alone."""
    child = a_child(tmp_path, "import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))")
    child.wait(LIMIT_S)
    assert (tmp_path / "it.log").read_text() == "True\n"


def test_its_output_is_added_to_the_log_and_its_input_is_empty(tmp_path: Path) -> None:
    (tmp_path / "it.log").write_text("before\n")
    code = "import sys; print(repr(sys.stdin.read())); print('trouble', file=sys.stderr)"
    a_child(tmp_path, code).wait(LIMIT_S)
    assert (tmp_path / "it.log").read_text().splitlines()[0] == "before"
    assert sorted((tmp_path / "it.log").read_text().splitlines()[1:]) == ["''", "trouble"]


def test_its_environment_is_ours_and_what_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN_BY_US", "ours")
    monkeypatch.setenv("CHANGED", "before")
    code = "import os; print(os.environ['GIVEN_BY_US'], os.environ['CHANGED'], os.environ['GIVEN'])"
    a_child(tmp_path, code, GIVEN="1", CHANGED="after").wait(LIMIT_S)
    assert (tmp_path / "it.log").read_text() == "ours after 1\n"


def test_a_program_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        Child("it", [str(tmp_path / "nothing")], {}, tmp_path / "it.log")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it logged nothing"),
        ("\n \n", "it logged nothing"),
        ("one\n", "one"),
        ("1\n2\n3\n4\n5\n", "3 | 4 | 5"),
        ("x" * 999, "x" * 300),
    ],
)
def test_the_tail_of_a_log_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    log = tmp_path / "it.log"
    log.write_text(text)
    assert tail(log) == expected


def test_the_tail_of_a_log_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing") == "it logged nothing"
    assert tail(tmp_path) == "it logged nothing"
    (tmp_path / "it.log").write_bytes(b"\xff\xfe ended\n")
    assert tail(tmp_path / "it.log").endswith("ended")
