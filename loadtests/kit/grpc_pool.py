"""gRPC unary calls for load, with protobuf bytes written by hand, through a pool of endpoints.

They go over libcurl's HTTP/2: many at once in one connection. Why not over gRPC's own library: docs/decisions/0012.
"""

from __future__ import annotations

import ssl
import time

import pycurl

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.curl import (
    BadAnswer,
    Broken,
    CurlFailed,
    CurlMulti,
    HttpVersion,
    NotConnected,
    TimedOut,
    TooLarge,
    Transfer,
    shared_multi,
)
from loadtests.kit.endpoints import EndpointPool
from loadtests.kit.grpc_wire import GrpcStatus, NotGrpc, NotOk, parse_answer, request_headers, to_frame
from loadtests.kit.wire import CONNECT_LIMIT_S, REQUEST_LIMIT_S

_KINDS = {
    GrpcStatus.RESOURCE_EXHAUSTED: ErrorKind.BACK_PRESSURE,
    GrpcStatus.INVALID_ARGUMENT: ErrorKind.CLIENT_ERROR,
    GrpcStatus.NOT_FOUND: ErrorKind.CLIENT_ERROR,
    GrpcStatus.PERMISSION_DENIED: ErrorKind.CLIENT_ERROR,
    GrpcStatus.UNAUTHENTICATED: ErrorKind.CLIENT_ERROR,
}


class _Unavailable(CallFailed):
    """The endpoint cannot serve now: another one may have the call."""


class GrpcEndpoint:
    """One address: `host:port` without TLS, or `https://host:port`."""

    def __init__(
        self, name: str, address: str, *, limit_s: float = REQUEST_LIMIT_S, multi: CurlMulti | None = None
    ) -> None:
        self.name = name
        self._url = address if "://" in address else f"http://{address}"
        self._limit_s = limit_s
        self._multi = multi or shared_multi()
        self._idle: list[Transfer] = []  # as many as were ever on their way at once

    def unary(self, method: str, request: bytes) -> bytes:
        """Return the answer's message. Raises CallFailed, and of it _Unavailable when another endpoint may be asked."""
        transfer = None
        start_s = time.monotonic()
        try:
            transfer = self._idle.pop() if self._idle else self._new_transfer()
            transfer.set_url(self._url + method)
            transfer.easy.setopt(pycurl.POSTFIELDS, to_frame(request))
            self._multi.perform(transfer)
            return parse_answer(transfer.head_lines, transfer.body)
        except NotOk as error:
            raise self._refusal(error) from None
        except (CurlFailed, NotGrpc) as error:
            raise self._failure(error, time.monotonic() - start_s) from None
        finally:
            if transfer is not None:
                self._idle.append(transfer)

    def _refusal(self, error: NotOk) -> CallFailed:
        """Return what a status means for the call."""
        why = f"{self.name}: {error}"
        if error.status is GrpcStatus.UNAVAILABLE:
            return _Unavailable(ErrorKind.REFUSED, why)
        if error.status is GrpcStatus.DEADLINE_EXCEEDED:
            return CallFailed(ErrorKind.TIMEOUT, why, outcome=Outcome.UNKNOWN)
        return CallFailed(_KINDS.get(error.status, ErrorKind.SERVER_ERROR), why)

    def _failure(self, error: CurlFailed | NotGrpc, after_s: float) -> CallFailed:
        """Return what an error on the way means for the call, which began `after_s` before."""
        # A server ends the stream of a call whose deadline has passed, perhaps just before we do.
        if isinstance(error, TimedOut) or (isinstance(error, Broken) and after_s >= self._limit_s):
            why = f"{self.name}: DEADLINE_EXCEEDED {error}"
            return CallFailed(ErrorKind.TIMEOUT, why, outcome=Outcome.UNKNOWN)
        if isinstance(error, NotGrpc | TooLarge):
            return CallFailed(ErrorKind.BAD_ANSWER, f"{self.name}: {error}")
        why = f"{self.name}: UNAVAILABLE {error}"
        if isinstance(error, NotConnected):
            return _Unavailable(ErrorKind.REFUSED, why)
        if isinstance(error, BadAnswer):
            return _Unavailable(ErrorKind.BAD_ANSWER, why)
        return _Unavailable(ErrorKind.BROKEN, why, outcome=Outcome.UNKNOWN)

    def _new_transfer(self) -> Transfer:
        """Return a transfer with everything set that calls to this endpoint have in common."""
        transfer = self._multi.take()
        transfer.easy.setopt(pycurl.HTTPHEADER, request_headers(self._limit_s))
        transfer.set_limits(whole_s=self._limit_s, connect_s=min(CONNECT_LIMIT_S, self._limit_s / 2))
        is_tls = self._url.startswith("https:")
        version = HttpVersion.HTTP_2 if is_tls else HttpVersion.HTTP_2_PRIOR_KNOWLEDGE
        transfer.easy.setopt(pycurl.HTTP_VERSION, version.value)
        transfer.easy.setopt(pycurl.PIPEWAIT, 1)  # calls wait for a connection that is being made, and share it
        if is_tls and (ca_file := ssl.get_default_verify_paths().cafile):
            transfer.easy.setopt(pycurl.CAINFO, ca_file)
        return transfer


class GrpcPool:
    """Unary calls to whichever endpoint works."""

    def __init__(self, endpoints: list[GrpcEndpoint]) -> None:
        self._pool = EndpointPool(endpoints)

    def unary(self, call: Call, method: str, request: bytes) -> bytes:
        """Return the answer's bytes. Raises CallFailed.

        What is UNAVAILABLE goes on to the next endpoint: these are queries, which may be asked twice.
        """
        for attempt in range(1, len(self._pool) + 1):
            endpoint = self._pool.choose()
            call.endpoint, call.attempts = endpoint.name, attempt
            try:
                answer = endpoint.unary(method, request)
            except _Unavailable:
                self._pool.failed(endpoint)
                if attempt == len(self._pool):
                    raise
                continue
            except CallFailed as failure:
                if failure.kind is ErrorKind.TIMEOUT:
                    self._pool.failed(endpoint)
                raise
            self._pool.worked(endpoint)
            call.answer_bytes = len(answer)
            return answer
        raise AssertionError("a pool has an endpoint")
