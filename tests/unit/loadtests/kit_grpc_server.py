"""A gRPC server as a process of its own: `python kit_grpc_server.py`. Prints its port; ends with its standard input.

/test/Echo gives the request back, /test/Wait answers when the caller has gone, /test/<STATUS> fails with that status.
Every call's method is printed on a line.
"""

from __future__ import annotations

import sys
from concurrent import futures
from threading import Event

import grpc


class Handlers(grpc.GenericRpcHandler):
    """Serves every method of a service `test`."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        verb = handler_call_details.method.removeprefix("/test/")
        print(verb, flush=True)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if verb == "Wait":
                gone = Event()
                context.add_callback(gone.set)
                gone.wait()
            elif verb != "Echo":
                context.abort(getattr(grpc.StatusCode, verb), "as asked")
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


if __name__ == "__main__":
    main()
