from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from .record import SessionRecord
from .store import Edit

__all__ = ["MemorySessionStore"]


class MemorySessionStore:
    """Sessions in this process, for tests and trials: a restart logs everybody out, and a second process knows none of
    them. What it has done is not taken back with the database's transaction. Nothing here awaits, so each method is
    one step."""

    def __init__(self) -> None:
        self._records: dict[bytes, SessionRecord] = {}

    async def load(self, key: bytes) -> SessionRecord | None:
        return self._records.get(key)

    async def create(self, key: bytes, record: SessionRecord) -> None:
        self._records[key] = record

    async def edit(self, key: bytes, change: Edit, *, new_key: bytes | None = None) -> SessionRecord | None:
        record = self._records.get(key)
        changed = None if record is None else change(record)
        self._records.pop(key, None)
        if changed is not None:
            self._records[new_key or key] = changed
        return changed

    async def touch(self, key: bytes, *, seen: datetime, now: datetime, expires_at: datetime) -> None:
        record = self._records.get(key)
        if record is not None and record.last_seen == seen:
            self._records[key] = replace(record, last_seen=now, expires_at=expires_at)

    async def delete(self, key: bytes) -> bool:
        return self._records.pop(key, None) is not None

    async def of_user(self, user_id: Any) -> Sequence[tuple[bytes, SessionRecord]]:
        return [(key, record) for key, record in self._records.items() if record.user_id == user_id]

    async def delete_of_user(self, user_id: Any, *, keep: bytes | None = None) -> int:
        return self._delete(key for key, _ in list(await self.of_user(user_id)) if key != keep)

    async def restamp(self, user_id: Any, old: Sequence[bytes], new: bytes) -> None:
        for key, record in await self.of_user(user_id):
            if record.stamp in old:
                self._records[key] = replace(record, stamp=new)

    async def purge(self, now: datetime) -> int:
        return self._delete(key for key, record in list(self._records.items()) if record.expires_at <= now)

    def _delete(self, keys: Any) -> int:
        return sum(self._records.pop(key, None) is not None for key in list(keys))
