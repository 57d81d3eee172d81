"""A session as values: what a store keeps, and what may be shown of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from ..db import Row
from ..exceptions import SessionTooLarge

__all__ = [
    "EXPIRY",
    "LONGEST_EXPIRY",
    "MAX_DATA",
    "SessionChanges",
    "SessionInfo",
    "SessionRecord",
    "key_of",
    "new_token",
]

MAX_DATA = 64 * 1024
"""Bytes of JSON that a session may hold (D-10)."""
EXPIRY = "_session_expiry"
"""Where `set_expiry` leaves its value, as in Django: an integer of seconds, or an ISO date."""
LONGEST_EXPIRY = 2**31
"""Seconds: far beyond any policy, and within what a date can hold."""


def new_token() -> str:
    """32 random bytes, base64url (D-10)."""
    return secrets.token_urlsafe(32)


def key_of(token: str) -> bytes:
    """What a store may know of a token."""
    return sha256(token.encode()).digest()


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """A session, as it may be shown: its id is not what the cookie holds.

    `methods` are the proofs that opened it, `device` the browser's own description, `address` where it was opened
    from; `current` marks the session of the request that asks. `authenticated_at` is None where nobody has noted it: a
    Django site has opened the session.
    """

    id: str
    backend: str
    methods: tuple[str, ...]
    remember: bool
    device: str
    address: str
    created: datetime
    authenticated_at: datetime | None
    last_seen: datetime
    expires_at: datetime
    current: bool = False

    @property
    def expires(self) -> datetime:
        """The same as `expires_at`."""
        return self.expires_at


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """What a store keeps under a key. `data` is a JSON object; `stamp` binds the session to the user's password, and to
    the user's epoch unless that is in `epoch`.

    `user_row` is the row of the user, with the `epoch` beside it, where a store can bring that along in its one query.
    """

    user_id: Any = None
    backend: str = ""
    methods: tuple[str, ...] = ()
    stamp: bytes | None = field(default=None, repr=False)
    epoch: int | None = None
    remember: bool = False
    created: datetime
    authenticated_at: datetime | None = None
    last_seen: datetime
    expires_at: datetime
    device: str = ""
    address: str = ""
    data: str = "{}"
    user_row: Row | None = field(default=None, repr=False)

    def info(self, public_id: str, *, current: bool = False) -> SessionInfo:
        return SessionInfo(
            id=public_id,
            backend=self.backend,
            methods=self.methods,
            remember=self.remember,
            device=self.device,
            address=self.address,
            created=self.created,
            authenticated_at=self.authenticated_at,
            last_seen=self.last_seen,
            expires_at=self.expires_at,
            current=current,
        )


@dataclass(frozen=True)
class SessionChanges:
    """What one request did to the data, key by key, so that requests at the same time do not undo each other."""

    set: Mapping[str, Any]
    removed: Sequence[str] = ()

    @classmethod
    def between(cls, before: Mapping[str, Any], after: Mapping[str, Any]) -> SessionChanges:
        """Raises as `encode` does, unless nothing has changed: what another framework has stored may be larger."""
        text = _json(after)
        after = json.loads(text)
        changed = {
            key: value
            for key, value in after.items()
            if key not in before or json.dumps(before[key]) != json.dumps(value)
        }
        removed = [key for key in before if key not in after]
        if changed or removed:
            _check_size(text)
        return cls(changed, removed)

    def applied_to(self, record: SessionRecord) -> SessionRecord:
        """Raises `SessionTooLarge`."""
        if not self.set and not self.removed:
            return record
        data = json.loads(record.data)
        for key in self.removed:
            data.pop(key, None)
        data.update(self.set)
        return replace(record, data=encode(data))


def encode(data: Mapping[str, Any]) -> str:
    """Raises `SessionTooLarge`, and `TypeError` or `ValueError` for what is not JSON."""
    text = _json(data)
    _check_size(text)
    return text


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _check_size(text: str) -> None:
    if len(text) > MAX_DATA:
        raise SessionTooLarge(len(text), MAX_DATA)
