"""A server that answers every HTTP request with the same few bytes, as fast as one core can: `python canned_server.py`.

Prints its port; ends with its standard input. It counts requests by their blank lines and parses nothing, and it never
sleeps, so that a client is measured against something faster than itself. It keeps a core busy all the time.
"""

from __future__ import annotations

import select
import socket
import sys

BODY = b'{"jsonrpc":"2.0","id":1,"result":{}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
_END_OF_HEAD = b"\r\n\r\n"
_READ_BYTES = 65_536


def serve(listener: socket.socket) -> None:
    """Answer until standard input ends. Requests have no body."""
    poll = select.epoll()
    listener.setblocking(False)
    poll.register(listener.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    clients: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll(0):  # never asleep: to wake another core costs whoever sends
            if number == sys.stdin.fileno():
                return
            if number == listener.fileno():
                _accept(listener, poll, clients)
            elif not _answer(clients[number]):
                poll.unregister(number)
                clients.pop(number).close()


def _accept(listener: socket.socket, poll: select.epoll, clients: dict[int, socket.socket]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLIN)


def _answer(client: socket.socket) -> bool:
    """Answer what has arrived; returns whether the connection stays."""
    try:
        data = client.recv(_READ_BYTES)
        if data:
            client.sendall(ANSWER * data.count(_END_OF_HEAD))
    except OSError:
        return False
    return bool(data)


def main() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        print(listener.getsockname()[1], flush=True)
        serve(listener)


if __name__ == "__main__":
    main()
