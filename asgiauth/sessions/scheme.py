"""How the token of a session looks, what binds a session to its user, how long it lasts: asgiauth's own ways, which a
store that shares its sessions with another framework replaces by that one's."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

from ..db import Row
from ..signing import Signing
from .record import SessionRecord, key_of, new_token

__all__ = ["EPOCH", "TOKEN", "OwnScheme", "SessionScheme"]

EPOCH = "asgiauth_epoch"
"""Beside the columns of a user's row."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[0-9a-f]{64}")
_STAMP = "session stamp"


@runtime_checkable
class SessionScheme(Protocol):
    """A store that has all of this brings its own ways.

    `is_shared`: somebody else opens and ends these sessions too, and keeps no index of them by user. `cookie_name` is
    the whole name of the cookie, or None for the one of `SessionPolicy(cookie=...)`. `lifetime` is counted from the
    last change of the session, whose use is not noted then; None for the limits of the `SessionPolicy`.
    """

    is_shared: bool
    cookie_name: str | None
    lifetime: timedelta | None

    def new_token(self) -> str:
        """Nobody can guess it."""

    def is_token(self, token: str) -> bool:
        """Whether a cookie could hold it."""

    def key_of(self, token: str) -> bytes:
        """The key under which the store has the session."""

    def public_id(self, key: bytes) -> str:
        """What may be shown: 64 hexadecimal digits, and no token can be told from them."""

    async def key_with(self, public_id: str) -> bytes | None:
        """The key that has this public id, None where there is none."""

    def bound(self, record: SessionRecord, user_id: Any, epoch: int, password: str) -> SessionRecord:
        """The record as a session of that user, who has this epoch and hash."""

    def is_bound(self, record: SessionRecord, user_row: Row) -> bool:
        """Whether it still is: neither password nor epoch has changed."""


class OwnScheme:
    """The token is 32 random bytes, the key its SHA-256, shown as hex; the stamp is a MAC under a key of our own."""

    is_shared = False
    cookie_name: str | None = None
    lifetime: timedelta | None = None

    def __init__(self, signing: Signing) -> None:
        self._signing = signing
        self.new_token = new_token
        self.key_of = key_of

    def is_token(self, token: str) -> bool:
        return TOKEN.fullmatch(token) is not None

    def public_id(self, key: bytes) -> str:
        return key.hex()

    async def key_with(self, public_id: str) -> bytes | None:
        return bytes.fromhex(public_id) if _ID.fullmatch(public_id) else None

    def bound(self, record: SessionRecord, user_id: Any, epoch: int, password: str) -> SessionRecord:
        return replace(record, user_id=user_id, stamp=self.stamps(user_id, epoch, password)[0])

    def is_bound(self, record: Any, user_row: Row) -> bool:
        """Also for a login that waits for a step."""
        message = _stamped(user_row["id"], user_row[EPOCH], user_row.get("password", ""))
        return self._signing.matches(_STAMP, message, record.stamp or b"")

    def stamps(self, user_id: Any, epoch: int, password: str) -> list[bytes]:
        """Under each key, the newest first."""
        return self._signing.macs(_STAMP, _stamped(user_id, epoch, password))


def _stamped(user_id: Any, epoch: int, password: str) -> bytes:
    return f"{user_id}:{epoch}:{password}".encode()
