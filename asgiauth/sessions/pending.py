"""Logins that wait for a step: on the server, under a short cookie of their own, and nobody is logged in by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from ..db import Database, Row, Unit
from ..db.tables import Tables
from .record import key_of, new_token
from .scheme import TOKEN

__all__ = ["MAX_CHOICES", "MAX_TRIES", "PENDING_LIFE", "PendingLogins", "PendingRecord"]

PENDING_LIFE = timedelta(minutes=10)
MAX_TRIES = 5
"""Proofs that may be tried for one pending login; then it starts anew with the password (D-16)."""
MAX_CHOICES = 25
"""New passwords, and proofs before them, that may be tried for one: that is no guessing, but each costs hashes."""


@dataclass(frozen=True, kw_only=True)
class PendingRecord:
    """`methods` and `passed` grow with each step; `stamp` binds it to the password and the epoch as they were."""

    key: bytes
    user_id: Any
    backend: str
    methods: tuple[str, ...]
    passed: tuple[str, ...]
    stamp: bytes
    remember: bool
    tries: int
    expires_at: datetime


class PendingLogins:
    """The table `asgiauth_pending_login`."""

    def __init__(self, database: Database, tables: Tables, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._table = tables.pending_login
        self._clock = clock
        key = self._table.c.key
        self._by_key = database.prepare(select(self._table).where(key == bindparam("key", type_=key.type)))

    async def find(self, token: str) -> PendingRecord | None:
        if not TOKEN.fullmatch(token):
            return None
        row = await self._database.fetch_one(self._by_key, key=key_of(token))
        return None if row is None or self._clock() >= row["expires_at"] else _record(row)

    async def begin(
        self, unit: Unit, user_id: Any, stamp: bytes, *, backend: str, methods: Sequence[str], remember: bool
    ) -> tuple[str, PendingRecord]:
        token = new_token()
        record = PendingRecord(
            key=key_of(token),
            user_id=user_id,
            backend=backend,
            methods=tuple(methods),
            passed=(),
            stamp=stamp,
            remember=remember,
            tries=0,
            expires_at=self._clock() + PENDING_LIFE,
        )
        lists = {"methods": json.dumps(record.methods), "passed": json.dumps(record.passed)}
        await unit.insert(self._table, {**vars(record), **lists})
        return token, record

    async def try_once(self, record: PendingRecord, *, limit: int = MAX_TRIES) -> bool:
        """Takes one of the tries; False when `limit` are taken."""
        table = self._table
        left = (table.c.key == record.key, table.c.tries < limit)
        taken = update(table).where(*left).values(tries=table.c.tries + 1)
        return bool(await self._database.atomic(lambda unit: unit.changed(taken)))

    async def advance(self, record: PendingRecord, method: str, requirement: str) -> PendingRecord | None:
        """Notes a passed requirement; None when the pending login has changed or ended meanwhile."""
        onward = replace(record, methods=(*record.methods, method), passed=(*record.passed, requirement))
        values = {"methods": json.dumps(onward.methods), "passed": json.dumps(onward.passed)}
        same = self._as_read(record)
        changed = await self._database.within(
            lambda unit: unit.changed(update(self._table).where(*same).values(values))
        )
        return onward if changed else None

    async def end(self, unit: Unit, record: PendingRecord) -> bool:
        """Whether it was there, as it was read: of two at once, one is told so."""
        return bool(await unit.changed(delete(self._table).where(*self._as_read(record))))

    async def purge_expired(self) -> int:
        expired = delete(self._table).where(self._table.c.expires_at <= self._clock())
        return await self._database.within(lambda unit: unit.changed(expired))

    def _as_read(self, record: PendingRecord) -> tuple[Any, Any]:
        return self._table.c.key == record.key, self._table.c.passed == json.dumps(record.passed)


def _record(row: Row) -> PendingRecord:
    lists = {name: tuple(json.loads(row[name])) for name in ("methods", "passed")}
    return PendingRecord(**{**row, **lists})
