"""One connection, driven by the hub's callbacks: a request goes out, its answer comes in, the greenlet wakes.

The read watcher stays on while the connection lives, so that nothing is registered anew for a request, and the end of
an idle connection is noticed. A greenlet that is thrown out of its wait leaves the connection closed: nobody else can
get the rest of its answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from gevent.hub import Hub, Waiter
from gevent.monkey import get_original

from loadtests.kit.wire.answers import Answer, AnswerReader
from loadtests.kit.wire.deadlines import NEVER, Deadlines, deadlines_of
from loadtests.kit.wire.errors import BadAnswer, Broken, TimedOut, WireError

READ, WRITE = 1, 2  # libev's events
_RECEIVE_BYTES = 16 * 1024
_RECEIVE_MORE_BYTES = 256 * 1024  # for the rest of an answer that the first piece did not hold
_POLLIN = 1
_original_poll: Any = get_original("select", "poll")  # gevent's would wait in the hub
_NOT_YET = (BlockingIOError, InterruptedError)


class Unused(Exception):
    """The connection was of no use before a byte of the request was written: the request may go by another one."""

    def __init__(self, why: WireError) -> None:
        self.why = why
        super().__init__(str(why))


class Connection:
    """A connected, non-blocking socket of the original kind, not gevent's. One request at a time."""

    __slots__ = (
        "__weakref__",
        "_answers",
        "_asking",
        "_deadlines",
        "_ending",
        "_idle_at",
        "_loop",
        "_on_idle_end",
        "_poll",
        "_reader",
        "_socket",
        "_unsent",
        "_waiter",
        "_why",
        "_writer",
        "closed",
        "due_s",
        "looked_at_s",
    )

    def __init__(
        self, sock: socket.socket, hub: Hub, answers: AnswerReader, on_idle_end: Callable[[Connection], None]
    ) -> None:
        """`on_idle_end` is called from the hub when the connection ends while nobody asks."""
        self._socket = sock
        self._answers = answers
        self._on_idle_end = on_idle_end
        self._loop: Any = hub.loop
        self._deadlines: Deadlines = deadlines_of(hub)
        self._waiter: Waiter[Answer] = Waiter(hub)
        self._asking = self.closed = False
        self._ending = False  # what has been received includes the other side's end
        self._why: WireError = Broken("the connection is closed", sent=False)
        self._unsent: memoryview | None = None
        self.due_s = self.looked_at_s = NEVER
        self._idle_at: float = self._loop.iteration
        poller = _original_poll()
        poller.register(sock.fileno(), _POLLIN)
        self._poll: Callable[[int], list[tuple[int, int]]] = poller.poll  # a quarter of the price of a vain recv
        self._writer: Any = None
        self._reader: Any = self._loop.io(sock.fileno(), READ)
        self._reader.start(self._on_readable)

    def ask(self, request: bytes, *, head_only: bool, due_s: float) -> Answer:
        """Send a request and return its answer. `due_s` is monotonic.

        Raises Unused, TimedOut, Broken, BadAnswer, TooLarge; after each, and after whatever else is thrown into the
        greenlet, the connection is closed.
        """
        if self._idle_at == self._loop.iteration and self._poll(0):
            self._on_readable()  # the hub has not looked since the last answer: the other side may have gone with it
        if self.closed:
            raise Unused(self._why)
        self._answers.begin(head_only=head_only)
        self._asking = True
        try:
            self._send(request)
            self._deadlines.watch(self, due_s)
            answer = self._waiter.get()
            if self._asking:
                raise Broken("the waiting greenlet was woken by somebody else")
            return answer
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection. A greenlet that waits for an answer is not woken by this."""
        if self.closed:
            return
        self.closed = True
        self.due_s = NEVER
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = self._unsent = None
        self._socket.close()
        self._answers.drop()

    def expire(self) -> None:
        """The limit has passed."""
        begun = "the answer was not whole" if self._answers.begun else "there was no answer"
        self._fail(TimedOut(f"{begun} in time"))

    def _send(self, data: bytes) -> None:
        """Send, now or as the socket takes it. Raises Unused when it takes nothing at all."""
        try:
            sent = self._socket.send(data)
        except _NOT_YET:
            sent = 0
        except OSError as error:
            raise Unused(Broken(f"the connection takes nothing: {error.strerror or error}", sent=False)) from None
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._start_writing()

    def _start_writing(self) -> None:
        if self._writer is None:
            self._writer = self._loop.io(self._socket.fileno(), WRITE)
        self._writer.start(self._on_writable)

    def _on_writable(self) -> None:
        assert self._unsent is not None
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except _NOT_YET:
            return
        except OSError:
            # It takes no more. What it said before it went, if anything, is still to be read: a 413, or its end.
            self._writer.stop()
            return
        if not self._unsent:
            self._unsent = None
            self._writer.stop()

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_MORE_BYTES if self._answers.begun else _RECEIVE_BYTES)
        except _NOT_YET:
            return
        except OSError as error:
            self._fail(Broken(f"the connection broke: {error.strerror or error}"))
            return
        if data:
            self._take(data)
        else:
            self._end("the other side closed the connection")

    def _take(self, data: bytes) -> None:
        """Take bytes of an answer."""
        if not self._asking:
            self._fail(BadAnswer("something came before it was asked for"))
            return
        try:
            whole = self._answers.feed(data)
        except WireError as error:
            self._fail(error)
            return
        if whole:
            self._finish()

    def _end(self, how: str) -> None:
        """The other side sends no more."""
        if self._asking:
            try:
                self._answers.end(how)
            except WireError as error:
                self._fail(error)
                return
            self._finish()
        else:
            self._fail(Broken(how))

    def _finish(self) -> None:
        """Hand the answer to the greenlet that waits for it."""
        self._asking = False
        self.due_s = NEVER
        self._idle_at = self._loop.iteration
        answer = self._answers.take()
        if not self._answers.keep_alive or self._answers.extra or self._ending or self._unsent is not None:
            self.close()
        self._waiter.switch(answer)

    def _fail(self, error: WireError) -> None:
        """Close the connection; tell the greenlet that waits, or the owner when none does."""
        was_asking, self._asking = self._asking, False
        self.close()
        if was_asking and self._waiter.greenlet is not None:
            self._waiter.throw(error)
        elif not was_asking:
            error.sent = False
            self._why = error
            self._on_idle_end(self)
