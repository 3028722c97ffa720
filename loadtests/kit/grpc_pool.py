"""gRPC unary calls for load, with protobuf bytes written by hand, through a pool of endpoints."""

from __future__ import annotations

import grpc
from grpc.experimental.gevent import init_gevent

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.endpoints import EndpointPool
from loadtests.kit.wire import REQUEST_LIMIT_S

init_gevent()  # gRPC's own threads would block the hub

_KINDS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: ErrorKind.BACK_PRESSURE,
    grpc.StatusCode.INVALID_ARGUMENT: ErrorKind.CLIENT_ERROR,
    grpc.StatusCode.NOT_FOUND: ErrorKind.CLIENT_ERROR,
    grpc.StatusCode.PERMISSION_DENIED: ErrorKind.CLIENT_ERROR,
    grpc.StatusCode.UNAUTHENTICATED: ErrorKind.CLIENT_ERROR,
}


class GrpcEndpoint:
    """One address, plaintext."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        # A dead node must show at once; the pool decides when to try it again.
        options = [("grpc.enable_retries", 0), ("grpc.max_reconnect_backoff_ms", 2000)]
        self.channel = grpc.insecure_channel(address, options=options)


class GrpcPool:
    """Unary calls to whichever endpoint works."""

    def __init__(self, endpoints: list[GrpcEndpoint]) -> None:
        self._pool = EndpointPool(endpoints)

    def unary(self, call: Call, method: str, request: bytes) -> bytes:
        """Return the answer's bytes. Raises CallFailed.

        UNAVAILABLE goes on to the next endpoint: these are queries, which may be asked twice.
        """
        why = ""
        for attempt in range(1, len(self._pool) + 1):
            endpoint = self._pool.choose()
            call.endpoint, call.attempts = endpoint.name, attempt
            try:
                unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = endpoint.channel.unary_unary(method)
                answer = unary(request, timeout=REQUEST_LIMIT_S)
            except grpc.RpcError as error:
                status = error.code()
                why = f"{endpoint.name}: {status.name} {error.details()}"
                if status is grpc.StatusCode.UNAVAILABLE:
                    self._pool.failed(endpoint)
                    continue
                if status is grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._pool.failed(endpoint)
                    raise CallFailed(ErrorKind.TIMEOUT, why, outcome=Outcome.UNKNOWN) from None
                raise CallFailed(_KINDS.get(status, ErrorKind.SERVER_ERROR), why) from None
            self._pool.worked(endpoint)
            call.answer_bytes = len(answer)
            return answer
        raise CallFailed(ErrorKind.REFUSED, why)
