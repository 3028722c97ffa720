"""The vault over HTTP: `/api/v1/vault/...`.

Source: `pkg/provider_daemon/portal_vault.go`, and for the status of an unknown scope the measured answer (403).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from devnet.provider.answers import Refused, json_answer
from devnet.provider.auth import Principal
from devnet.provider.bodies import Fields, decode_object
from devnet.provider.gotext import decode_base64, parse_int, parse_rfc3339
from devnet.provider.vault import (
    PAYLOAD_BYTES_MAX,
    AccessDenied,
    BlobMissing,
    Upload,
    Vault,
    VaultError,
)
from devnet.provider.vault_audit import AuditFilter
from devnet.provider.vault_keys import Scope

# The daemon's source says 400 for a scope outside the four; the running daemon was seen to answer 403.
INVALID_SCOPE_STATUS = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRoutes:
    """Handlers over one vault; each takes the request and the authenticated principal."""

    vault: Vault
    payload_bytes_max: int = PAYLOAD_BYTES_MAX

    async def upload(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """201 with the metadata of the new blob; 400, 403 or 413."""
        fields = decode_object(await request.read())
        scope = _scope(fields.text("scope"))
        payload = _payload(fields, self.payload_bytes_max)
        wanted = Upload(
            scope=scope,
            payload=payload,
            owner=principal.name,
            org_id=fields.text("org_id").strip(),
            retention_policy=fields.text("retention_policy").strip(),
            expires_at=_expiry(fields),
            tags=fields.text_map("tags"),
        )
        _check_recipients(fields)
        try:
            blob = self.vault.upload(wanted)
        except VaultError as problem:
            raise _refusal(problem) from problem
        return json_answer({"metadata": blob.as_json()}, status=201)

    async def read(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """200 with the content in base64 and the metadata; 403, 404, or 500 where it has expired."""
        why = {name: text for name in ("purpose", "reason") if (text := _parameter(request, name))}
        try:
            content, blob = self.vault.read(_blob_id(request), principal.name, _parameter(request, "org_id"), why)
        except VaultError as problem:
            raise _refusal(problem) from problem
        return json_answer({"data_base64": base64.b64encode(content).decode(), "metadata": blob.as_json()})

    async def metadata(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """200 with the metadata; 403 or 404."""
        try:
            blob = self.vault.metadata(_blob_id(request), principal.name, _parameter(request, "org_id"))
        except VaultError as problem:
            raise _refusal(problem) from problem
        return json_answer(blob.as_json())

    async def delete(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """204; 403 or 404."""
        try:
            self.vault.delete(_blob_id(request), principal.name)
        except VaultError as problem:
            raise _refusal(problem) from problem
        return web.Response(status=204)

    async def keys(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """200 with the list of the scope's keys; 403."""
        scope = _scope(request.query.get("scope", ""))
        try:
            keys = self.vault.keys(scope, principal.name, _parameter(request, "org_id"))
        except VaultError as problem:
            raise _refusal(problem) from problem
        return json_answer([key.as_json() for key in keys])

    async def key(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """200 with one key; 403, or 500 where there is none."""
        scope = _scope(request.query.get("scope", ""))
        key_id = request.match_info["key_id"].strip()
        try:
            key = self.vault.key(scope, key_id, principal.name, _parameter(request, "org_id"))
        except VaultError as problem:
            raise _refusal(problem) from problem
        return json_answer(key.as_json())

    async def audit(self, request: web.Request, principal: Principal) -> web.StreamResponse:
        """200 with the requester's own events; 403 for anybody else's, 400 for a filter that is not a number."""
        wanted = AuditFilter(
            blob_id=_parameter(request, "blob_id"),
            scope=_parameter(request, "scope"),
            requester=_parameter(request, "requester"),
            org_id=_parameter(request, "org_id"),
            start_s=_number(request, "start"),
            end_s=_number(request, "end"),
            limit=_number(request, "limit") or 0,
        )
        if wanted.org_id:
            # The no-op chain query knows no administrators.
            raise Refused(403, "not authorized for organization")
        if wanted.requester != principal.name:
            raise Refused(403, "org_id required")
        return json_answer({"events": [event.as_json() for event in self.vault.trail.find(wanted)]})


def _refusal(problem: VaultError) -> Refused:
    if isinstance(problem, AccessDenied):
        return Refused(403, str(problem))
    if isinstance(problem, BlobMissing):
        return Refused(404, "blob not found")
    return Refused(500, str(problem))


def _parameter(request: web.Request, name: str) -> str:
    return request.query.get(name, "").strip()


def _blob_id(request: web.Request) -> str:
    return request.match_info["blob_id"]


def _number(request: web.Request, name: str) -> int | None:
    text = _parameter(request, name)
    if not text:
        return None
    try:
        return parse_int(text)
    except ValueError as problem:
        raise Refused(400, f"invalid {name}") from problem


def _scope(text: str) -> Scope:
    try:
        return Scope(text.strip().lower())
    except ValueError as problem:
        raise Refused(INVALID_SCOPE_STATUS, "invalid scope") from problem


def _payload(fields: Fields, bytes_max: int) -> bytes:
    text = fields.text("payload_base64").strip() or fields.text("content_base64").strip()
    try:
        payload = decode_base64(text)
    except ValueError as problem:
        raise Refused(400, "invalid payload_base64") from problem
    if not payload:
        raise Refused(400, "invalid payload_base64")
    if len(payload) > bytes_max:
        raise Refused(413, "payload exceeds size limit")
    return payload


def _check_recipients(fields: Fields) -> None:
    """Refuse keys that are not base64; valid ones are ignored, since nothing is sealed for third parties here."""
    for recipient in fields.objects("recipients"):
        try:
            decode_base64(recipient.text("public_key_base64").strip())
        except ValueError as problem:
            raise Refused(400, "invalid recipient public key") from problem


def _expiry(fields: Fields) -> datetime | None:
    text = fields.text("expires_at").strip()
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as problem:
        raise Refused(400, "invalid expires_at") from problem
