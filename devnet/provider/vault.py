"""The vault: encrypted blobs of four scopes in memory, with access rules and an audit trail.

Nothing is written to disk. A restart loses every blob, key and audit event, as with the real memory backend, the
only one that the daemon has; a kill test may rely on it. Nothing here knows about HTTP.

Source: `pkg/data_vault` of VirtEngine (access_control.go, vault_service.go, store.go).

    VaultError
    ├── AccessDenied   the requester may not
    ├── BlobMissing    no such blob
    └── VaultBroken    anything else: expired, unknown key, full
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from devnet.provider.clock import Clock
from devnet.provider.gotext import format_rfc3339
from devnet.provider.vault_audit import AuditEvent, AuditTrail
from devnet.provider.vault_keys import Scope, VaultKey, new_key, seal, unseal

PAYLOAD_BYTES_MAX = 10 * 1024 * 1024
# The real backend takes memory until there is none. A stand-in must not take the machine down with it.
STORE_BYTES_MAX = 1024 * 1024 * 1024


class VaultError(Exception):
    """The text is the daemon's: operation, detail, cause."""


class AccessDenied(VaultError):
    """The requester may not do this."""


class BlobMissing(VaultError):
    """There is no such blob."""


class VaultBroken(VaultError):
    """The vault cannot do what it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a client wants stored."""

    scope: Scope
    payload: bytes = field(repr=False)
    owner: str
    org_id: str = ""
    retention_policy: str = ""
    expires_at: datetime | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A stored upload: the request without its payload, the ciphertext, and what identifies both."""

    id: str
    key: VaultKey
    request: Upload
    sealed: bytes = field(repr=False)
    size_bytes: int  # of the plain content
    content_hash: str  # hex SHA-256 of the plain content
    created_at_s: float

    def as_json(self) -> dict[str, Any]:
        """The blob's metadata under its JSON names, empty optional ones left out."""
        expires_at = self.request.expires_at
        optional = {
            "org_id": self.request.org_id,
            "expires_at": format_rfc3339(expires_at) if expires_at else "",
            "retention_policy": self.request.retention_policy,
            "tags": self.request.tags,
        }
        return {
            "id": self.id,
            "scope": self.request.scope,
            "key_id": self.key.id,
            "key_version": self.key.version,
            "content_hash": self.content_hash,
            "size": self.size_bytes,
            "encrypted_size": len(self.sealed),
            "owner": self.request.owner,
            "created_at": format_rfc3339(self.created_at_s),
            **{name: value for name, value in optional.items() if value},
            "backend": "memory",
        }


class Vault:
    """All blobs of one daemon; uploads, reads, metadata and deletions leave an event in `trail`, refused ones too."""

    def __init__(self, *, clock: Clock, store_bytes_max: int = STORE_BYTES_MAX) -> None:
        self._clock = clock
        self._store_bytes_max = store_bytes_max
        self._stored_bytes = 0
        self._blobs: dict[str, Blob] = {}
        self._keys = {scope: new_key(scope, clock.wall_at_s()) for scope in Scope}
        self.trail = AuditTrail(clock=clock)

    def upload(self, request: Upload) -> Blob:
        """The stored blob; AccessDenied or VaultBroken."""
        event = AuditEvent(
            event_type="upload", blob_id="", scope=request.scope, requester=request.owner, org_id=request.org_id
        )
        try:
            _authorize(request.scope, request.owner, request.owner, request.org_id, "")
            blob = self._store(request)
        except VaultError as problem:
            self._record(event, problem)
            raise
        self._record(replace(event, blob_id=blob.id, metadata={"size": str(blob.size_bytes)}))
        return blob

    def read(self, blob_id: str, requester: str, org_id: str, why: dict[str, str]) -> tuple[bytes, Blob]:
        """The plain content and the blob; BlobMissing, AccessDenied or VaultBroken. `why` goes into the trail."""
        blob, event = self._accessed("read", blob_id, requester, org_id, why)
        expires_at = blob.request.expires_at
        if expires_at is not None and self._clock.wall_at_s() > expires_at.timestamp():
            problem = VaultBroken(f"Retrieve: {blob_id}: blob expired")
            self._record(event, problem)
            raise problem
        content = unseal(blob.key, blob.sealed)
        self._record(event)
        return content, blob

    def metadata(self, blob_id: str, requester: str, org_id: str) -> Blob:
        """The blob, for its metadata; BlobMissing or AccessDenied."""
        blob, event = self._accessed("metadata", blob_id, requester, org_id, {})
        self._record(event)
        return blob

    def delete(self, blob_id: str, requester: str) -> None:
        """Forget the blob; BlobMissing or AccessDenied."""
        held = self._blobs.get(blob_id)
        # The real daemon vouches for the blob's own organization here, and then asks for membership of it.
        blob, event = self._accessed("delete", blob_id, requester, held.request.org_id if held else "", {})
        del self._blobs[blob_id]
        self._stored_bytes -= len(blob.sealed)
        self._record(event)

    def keys(self, scope: Scope, requester: str, org_id: str) -> list[VaultKey]:
        """The keys of a scope; AccessDenied."""
        _authorize(scope, requester, requester, org_id, org_id)
        return [self._keys[scope]]

    def key(self, scope: Scope, key_id: str, requester: str, org_id: str) -> VaultKey:
        """The key with this identifier; AccessDenied, or VaultBroken if there is none."""
        for key in self.keys(scope, requester, org_id):
            if key.id == key_id:
                return key
        raise VaultBroken(f"GetKeyMetadata: key not found: key {key_id} not found for scope {scope}")

    def _accessed(
        self, action: str, blob_id: str, requester: str, org_id: str, why: dict[str, str]
    ) -> tuple[Blob, AuditEvent]:
        """The blob and the event to record, if `requester` may do `action`; a refusal is recorded here."""
        blob = self._blobs.get(blob_id)
        event = AuditEvent(
            event_type=action,
            blob_id=blob_id,
            scope=blob.request.scope if blob else "",
            requester=requester,
            org_id=org_id,
            metadata=why,
        )
        try:
            if blob is None:
                raise BlobMissing(f"GetMetadata: {blob_id}: blob not found")
            _authorize(blob.request.scope, requester, blob.request.owner, org_id, blob.request.org_id)
        except VaultError as problem:
            self._record(event, problem)
            raise
        return blob, event

    def _store(self, request: Upload) -> Blob:
        key = self._keys[request.scope]
        sealed = seal(key, request.payload)
        if self._stored_bytes + len(sealed) > self._store_bytes_max:
            raise VaultBroken("Store: backend store failed: memory is full: storage backend error")
        content_hash = hashlib.sha256(request.payload)
        blob = Blob(
            # The real daemon mixes the time in; random bytes cannot repeat within one tick of the clock.
            id=hashlib.sha256(content_hash.digest() + secrets.token_bytes(16)).hexdigest(),
            key=key,
            request=replace(request, payload=b""),
            sealed=sealed,
            size_bytes=len(request.payload),
            content_hash=content_hash.hexdigest(),
            created_at_s=self._clock.wall_at_s(),
        )
        self._blobs[blob.id] = blob
        self._stored_bytes += len(sealed)
        return blob

    def _record(self, event: AuditEvent, problem: VaultError | None = None) -> None:
        self.trail.append(replace(event, success=problem is None, error=str(problem or "")))


def _authorize(scope: Scope, requester: str, owner: str, org_id: str, resource_org_id: str) -> None:
    """Return if access is granted, else raise AccessDenied.

    Owners may use their blobs, except in the scope `audit`, which is for administrators of an organization. The
    no-op chain query knows no members, so every other way ends in a refusal, as it does in the real daemon.
    """
    if owner == requester and scope is not Scope.AUDIT:
        return
    organization = resource_org_id or org_id
    if not organization:
        reason = "org required"
    elif org_id not in ("", organization):
        reason = "org mismatch"
    else:
        reason = "org membership required"
    raise AccessDenied(f"Authorize: {reason}: unauthorized access")
