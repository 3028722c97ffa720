"""Subscribers to new blocks and transactions: how long after the block's commit does its message arrive?

    locust -f loadtests/websocket.py --headless -u 10 -r 10 -t 60

A block's header carries the time at which the block *before* it was committed (BFT time: the median of the
precommits). So the delay of block H is known when H + 1 has come: arrival of H minus header time of H + 1.
On several machines it holds the difference between their clocks.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
from locust import task
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

from bundle import ErrorKind, Outcome
from loadtests.kit import CallFailed, HarnessUser
from loadtests.kit.calls import Call, report
from loadtests.kit.web_socket import EventSocket, SocketClosed
from target.rpc import parse_time

NEW_BLOCK, NEW_TX, CONNECT = "ws.new_block", "ws.tx", "ws.connect"
_BLOCK_ID, _TX_ID = 1, 2
_LOOK_UP_S = 0.5  # how often a waiting subscriber looks whether the test is over
_RECONNECT_S = 0.2
_ENDED = (STATE_STOPPING, STATE_STOPPED, STATE_CLEANUP)


class WebSocketUser(HarnessUser):
    """Stays connected, reconnects to another node when it must, and misses nothing unnoticed."""

    scenario = "websocket"
    takes_arrivals = False

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._last_height = 0
        self._node = ""
        self._arrivals: list[tuple[int, str, float]] = []
        """(height, operation, arrival) of messages whose block's commit time is not known yet."""

    def on_start(self) -> None:
        """Subscribers that start together connect over a second."""
        gevent.sleep(self.draw.random())

    def wait_time(self) -> float:
        """A subscriber does not act on a schedule: it reconnects after a moment."""
        return _RECONNECT_S

    @task
    def listen(self) -> None:
        stream = self._connect()
        if stream is None:
            return
        try:
            while self.environment.runner.state not in _ENDED:
                received = stream.receive(_LOOK_UP_S)
                if received is not None:
                    self._take(*received)
        except SocketClosed:
            pass  # the reconnection is measured, and so is every block that it costs
        finally:
            stream.close()

    def _connect(self) -> EventSocket | None:
        node = self.session.subscription_nodes.choose()
        self._node = node.name
        call = Call(operation=CONNECT, protocol="WS", intended_at_s=time.time(), sent_at_s=time.time())
        call.endpoint = node.name
        stream: EventSocket | None = None
        try:
            stream = EventSocket(node.rpc_url)
            stream.subscribe("tm.event='NewBlock'", identity=_BLOCK_ID)
            stream.subscribe("tm.event='Tx'", identity=_TX_ID)
            self.session.subscription_nodes.worked(node)
        except SocketClosed as error:
            self.session.subscription_nodes.failed(node)
            call.failure = CallFailed(ErrorKind.REFUSED, str(error))
        call.ended_at_s = time.time()
        report(self.environment, call)
        return stream

    def _take(self, message: Any, arrived_at_s: float) -> None:
        """Take one message: the answer to a subscription, a refusal, or an event."""
        if "error" in message:
            kind = ErrorKind.BACK_PRESSURE if "max_subscription" in str(message["error"]) else ErrorKind.SERVER_ERROR
            self._report(CONNECT, time.time(), None, CallFailed(kind, str(message["error"])))
            return
        result = message.get("result")
        if not result:
            return
        try:
            value = result["data"]["value"]
            if message["id"] == _TX_ID:
                self._arrivals.append((int(value["TxResult"]["height"]), NEW_TX, arrived_at_s))
            else:
                header = value["block"]["header"]
                self._take_block(int(header["height"]), parse_time(header["time"]), arrived_at_s)
        except (KeyError, TypeError, ValueError) as error:
            failure = CallFailed(ErrorKind.BAD_ANSWER, f"event of another shape: {error!r}")
            self._report(NEW_BLOCK, arrived_at_s, arrived_at_s, failure)

    def _take_block(self, height: int, header_time_s: float, arrived_at_s: float) -> None:
        """A new block tells when the one before it was committed, and whether one was missed."""
        due = [arrival for arrival in self._arrivals if arrival[0] < height]
        self._arrivals = [arrival for arrival in self._arrivals if arrival[0] >= height]
        for seen_height, operation, seen_at_s in due:
            if seen_height == height - 1:
                self._report(operation, header_time_s, seen_at_s)
        if self._last_height:
            for missed in range(self._last_height + 1, height):
                failure = CallFailed(ErrorKind.LOST, f"block {missed} was not announced", outcome=Outcome.FAIL)
                self._report(NEW_BLOCK, header_time_s, None, failure)
        self._last_height = max(self._last_height, height)
        self._arrivals.append((height, NEW_BLOCK, arrived_at_s))

    def _report(
        self, operation: str, began_at_s: float, ended_at_s: float | None, failure: CallFailed | None = None
    ) -> None:
        call = Call(
            operation=operation,
            protocol="WS",
            intended_at_s=began_at_s,
            sent_at_s=began_at_s,
            ended_at_s=ended_at_s,
            endpoint=self._node,
            failure=failure,
        )
        report(self.environment, call)
