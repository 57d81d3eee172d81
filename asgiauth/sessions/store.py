"""What a session store must do: the whole interface, and the words of its promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from .record import SessionRecord

__all__ = ["Edit", "SessionStore"]

Edit = Callable[[SessionRecord], SessionRecord | None]
"""From a record to what it shall be; None deletes it. It may be called more than once, so it only computes."""


class SessionStore(Protocol):
    """Where sessions are kept, each under a key of 32 bytes: the SHA-256 of its token, which no store ever sees. (One
    that shares its sessions with another framework has that one's keys, and is a `SessionScheme`, too.)

    `asgiauth.testing.SessionStoreContract` tests all of this. A store raises `Unavailable` when it cannot answer. It
    does not know what time it is: the caller does, and asks no store whether a session has expired.
    """

    async def load(self, key: bytes) -> SessionRecord | None:
        """The record, or None."""

    async def create(self, key: bytes, record: SessionRecord) -> None:
        """Adds a record under a key that was never used."""

    async def edit(self, key: bytes, change: Edit, *, new_key: bytes | None = None) -> SessionRecord | None:
        """Reads, changes and writes a record as one step that no other `edit`, `touch` or `delete` comes between, and
        moves it to `new_key` if there is one. Returns what is there now; None when the record was not there, or is
        gone now: it is never made anew."""

    async def touch(self, key: bytes, *, seen: datetime, now: datetime, expires_at: datetime) -> None:
        """Sets `last_seen` and `expires_at`, if `last_seen` still is `seen`."""

    async def delete(self, key: bytes) -> bool:
        """Whether it was there: of two at once, one is told so."""

    async def of_user(self, user_id: Any) -> Sequence[tuple[bytes, SessionRecord]]:
        """Every session of a user, expired ones too."""

    async def delete_of_user(self, user_id: Any, *, keep: bytes | None = None) -> int:
        """Deletes a user's sessions, except one; how many."""

    async def restamp(self, user_id: Any, old: Sequence[bytes], new: bytes) -> None:
        """Gives the user's sessions that have one of the stamps `old` the stamp `new`."""

    async def purge(self, now: datetime) -> int:
        """Deletes what has expired; how many."""
