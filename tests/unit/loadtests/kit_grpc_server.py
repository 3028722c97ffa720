"""A gRPC server as a process of its own: `python kit_grpc_server.py HOST:PORT`.

Prints its port; ends with its standard input.

/test/Echo gives the request back, /test/Wait answers when the caller has gone, /test/Together answers when as many
calls are there as the request says, with the caller's address, /test/Say fails with the request as its message,
/test/<STATUS> fails with that status. Every call's method is printed on a line.
"""

from __future__ import annotations

import sys
from concurrent import futures
from threading import Barrier, Event, Lock

import grpc

_AT_ONCE = 256
_LIMIT_S = 30.0


class Handlers(grpc.GenericRpcHandler):
    """Serves every method of a service `test`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._barriers: dict[int, Barrier] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        verb = handler_call_details.method.removeprefix("/test/")
        print(verb, flush=True)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if verb == "Wait":
                gone = Event()
                context.add_callback(gone.set)
                gone.wait()
            elif verb == "Together":
                with self._lock:
                    barrier = self._barriers.setdefault(int(request), Barrier(int(request)))
                barrier.wait(_LIMIT_S)
                return context.peer().encode()
            elif verb == "Say":
                context.abort(grpc.StatusCode.INTERNAL, request.decode())
            elif verb != "Echo":
                context.abort(getattr(grpc.StatusCode, verb), "as asked")
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


def main() -> None:
    options = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(_AT_ONCE), handlers=[Handlers()], options=options)
    port = server.add_insecure_port(sys.argv[1])
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
