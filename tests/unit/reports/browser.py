"""One headless Chromium, spoken to by its DevTools: what it shows, what it asked for, what it complains about."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# As in the project's notes on Chromium; as root it needs --no-sandbox. No name resolves, so nothing can be fetched.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
START_LIMIT_S, ANSWER_LIMIT_S = 30.0, 30.0


@dataclass
class Visit:
    """What happened when a page was opened."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console and the log, uncaught exceptions."""
    is_loaded: bool = False


class Tab:
    """One tab. Every wait ends: with what was waited for, or with an error."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._last = 0
        self._visit = Visit()
        for domain in ("Page", "Network", "Log", "Runtime", "DOM"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to one command; events that come before it are noted."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                answer: dict[str, Any] = message["result"]
                return answer

    def open(self, page: Path, *, scheme: str) -> Visit:
        """Open a file as a system with a light or dark scheme would, and return once it is loaded."""
        self._visit = Visit()
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=page.as_uri())
        while not self._visit.is_loaded:
            self._receive()
        return self._visit

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return (x, y, width, height) of the first element that a selector finds, in the page."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        assert node, f"there is no {selector}"
        corners = self.ask("DOM.getBoxModel", nodeId=node)["model"]["border"]
        return corners[0], corners[1], corners[4] - corners[0], corners[5] - corners[1]

    def picture(self, box: tuple[float, float, float, float]) -> bytes:
        """Return what is shown in a box of the page as PNG."""
        x, y, width, height = box
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        answer = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=ANSWER_LIMIT_S))
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self._visit.requests.append(parameters["request"]["url"])
            case "Network.webSocketCreated":
                self._visit.requests.append(parameters["url"])
            case "Log.entryAdded":
                self._visit.complaints.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown":
                self._visit.complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self._visit.complaints.append(str(parameters["args"]))
            case "Page.loadEventFired":
                self._visit.is_loaded = True
        return message


@contextmanager
def browser() -> Iterator[Tab]:
    """Give a tab of a new browser, which ends with the context."""
    assert BINARY is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [BINARY, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_tab_address(process, Path(profile)), max_size=None, open_timeout=START_LIMIT_S) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)


def _tab_address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Return the WebSocket address of the first tab: the browser writes its port into its profile."""
    from urllib.request import urlopen

    port_file, end = profile / "DevToolsActivePort", time.monotonic() + START_LIMIT_S
    while not (port_file.exists() and port_file.read_text(encoding="utf-8").count("\n") >= 1):
        assert process.poll() is None, f"the browser ended with code {process.returncode}"
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)
    port = port_file.read_text(encoding="utf-8").splitlines()[0]
    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_LIMIT_S) as answer:
        tabs = json.loads(answer.read())
    [address] = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
    return str(address)
