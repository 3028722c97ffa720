"""Requests to a provider daemon's portal API.

    locust -f loadtests/provider.py --headless -u 5 -r 5 -t 60

The portal admits 120 requests a minute from one address under /api/v1. Beyond that it answers 429, which is
back-pressure: counted, shown, and no failure. `/health` is not limited.
"""

from __future__ import annotations

import base64
from typing import Any

from locust import task

from bundle import ErrorKind
from loadtests.kit import CallFailed, HarnessUser
from loadtests.kit.calls import Call
from loadtests.kit.http import Answer, HttpEndpoint, HttpPool, expect_status
from target.portal import portal_headers

BLOB_BYTES = 1024
_pools: dict[str, HttpPool] = {}


class ProviderUser(HarnessUser):
    """Looks at one provider, stores and fetches blobs. Users are spread over the providers."""

    scenario = "provider"

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        providers = self.session.target.providers
        self._provider = self.draw.choice(providers) if providers else None
        self._blob = self.draw.randbytes(BLOB_BYTES)

    @task(90)
    def health(self) -> None:
        with self.measured("provider.health", "HTTP") as call:
            answer = self._ask(call, "GET", "/health")
            if answer.body.strip() != b"ok":
                raise CallFailed(ErrorKind.BAD_ANSWER, f"health is {answer.body[:40]!r}")

    @task(2)
    def info(self) -> None:
        self._get_json("provider.info", "/api/v1/provider/info", "chain_id")

    @task(2)
    def pricing(self) -> None:
        self._get_json("provider.pricing", "/api/v1/provider/pricing", "currency")

    @task(2)
    def capacity(self) -> None:
        self._get_json("provider.capacity", "/api/v1/provider/capacity", "cpu_cores")

    @task(2)
    def attributes(self) -> None:
        self._get_json("provider.attributes", "/api/v1/provider/attributes", "attributes")

    @task(2)
    def blob(self) -> None:
        """Store a blob, read it back, delete it: what comes back has to be what was stored."""
        identity = None
        with self.measured("provider.blob_put", "HTTP") as call:
            body = {"scope": "market", "payload_base64": base64.b64encode(self._blob).decode()}
            answer = self._ask(call, "POST", "/api/v1/vault/blobs", body, expect=201)
            identity = _text(answer, "metadata", "id")
        if identity is None:
            return
        with self.measured("provider.blob_get", "HTTP") as call:
            answer = self._ask(call, "GET", f"/api/v1/vault/blobs/{identity}")
            if _text(answer, "data_base64") != base64.b64encode(self._blob).decode():
                raise CallFailed(ErrorKind.BAD_ANSWER, "the blob is not what was stored")
        with self.measured("provider.blob_delete", "HTTP") as call:
            self._ask(call, "DELETE", f"/api/v1/vault/blobs/{identity}", expect=204)

    def _get_json(self, operation: str, path: str, field: str) -> None:
        with self.measured(operation, "HTTP") as call:
            document = self._ask(call, "GET", path).json()
            if not isinstance(document, dict) or field not in document:
                raise CallFailed(ErrorKind.BAD_ANSWER, f"answer has no {field}")

    def _ask(
        self, call: Call, method: str, path: str, body: dict[str, Any] | None = None, *, expect: int = 200
    ) -> Answer:
        """Return the provider's answer. Raises CallFailed for another status."""
        if self._provider is None:
            raise CallFailed(ErrorKind.NOT_SENT, "the Target file names no provider")
        pool = _pools.get(self._provider.name)
        if pool is None:
            endpoint = HttpEndpoint(self._provider.name, self._provider.url)
            pool = _pools.setdefault(self._provider.name, HttpPool([endpoint]))
        headers, content = portal_headers(
            self._provider, method, path, body, chain_id=self.session.target.chain.chain_id
        )
        answer = pool.request(call, method, path, body=content, headers=headers)
        expect_status(answer, expect)
        return answer


def _text(answer: Answer, *path: str) -> str:
    """Return the text at the path in a JSON answer. Raises CallFailed when there is none, or it is empty."""
    value = answer.json()
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise CallFailed(ErrorKind.BAD_ANSWER, f"answer has no {'.'.join(path)}")
    return value
