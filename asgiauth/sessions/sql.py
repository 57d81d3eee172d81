from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Table, bindparam, delete, func, select, update

from ..db import Database, Prepared, Row, Unit
from ..db.tables import Tables
from ..users.permission_version import PermissionVersions
from .record import SessionRecord
from .scheme import EPOCH
from .store import Edit

__all__ = ["SqlSessionStore"]

_PREFIX = "asgiauth_session_"


class SqlSessionStore:
    """Sessions in the table `asgiauth_session`: the default. Each method is a part of the unit of work that is open, so
    that a login and its session are one; a request's session and its user come in one query."""

    _database: Database
    _table: Table
    _load: Prepared
    _lock: Prepared

    def bound_to(self, database: Database, tables: Tables) -> Self:
        """`Auth` calls this: a store is named before the tables exist."""
        bound = copy.copy(self)
        session, user, state = tables.session, tables.user, tables.user_state
        versions = PermissionVersions(tables)
        by_key = session.c.key == bindparam("key", type_=session.c.key.type)
        bound._database, bound._table = database, session
        bound._load = database.prepare(
            select(
                user,
                func.coalesce(state.c.epoch, 0).label(EPOCH),
                *versions.columns,
                *(column.label(_PREFIX + column.name) for column in session.c),
            )
            .select_from(session.outerjoin(user, user.c.id == session.c.user_id))
            .outerjoin(state, state.c.user_id == session.c.user_id)
            .where(by_key)
        )
        bound._lock = database.prepare(
            select(*(column.label(_PREFIX + column.name) for column in session.c)).where(by_key).with_for_update()
        )
        return bound

    async def load(self, key: bytes) -> SessionRecord | None:
        row = await self._database.fetch_one(self._load, key=key)
        return None if row is None else _record(row, user_row=None if row["id"] is None else row)

    async def create(self, key: bytes, record: SessionRecord) -> None:
        await self._database.within(lambda unit: unit.insert(self._table, {"key": key, **_values(record)}))

    async def edit(self, key: bytes, change: Edit, *, new_key: bytes | None = None) -> SessionRecord | None:
        async def work(unit: Unit) -> SessionRecord | None:
            row = await unit.row(self._lock, key=key)
            if row is None:
                return None
            record = change(_record(row))
            if record is None:
                await unit.changed(delete(self._table).where(self._table.c.key == key))
            else:
                values = {**_values(record), **({"key": new_key} if new_key else {})}
                await unit.changed(update(self._table).where(self._table.c.key == key).values(values))
            return record

        return await self._database.within(work)

    async def touch(self, key: bytes, *, seen: datetime, now: datetime, expires_at: datetime) -> None:
        unseen = (self._table.c.key == key, self._table.c.last_seen == seen)
        statement = update(self._table).where(*unseen).values(last_seen=now, expires_at=expires_at)
        await self._database.within(lambda unit: unit.changed(statement))

    async def delete(self, key: bytes) -> bool:
        return bool(await self._delete(self._table.c.key == key))

    async def of_user(self, user_id: Any) -> Sequence[tuple[bytes, SessionRecord]]:
        columns = [column.label(_PREFIX + column.name) for column in self._table.c]
        rows = await self._database.fetch(select(*columns).where(self._table.c.user_id == user_id))
        return [(row[_PREFIX + "key"], _record(row)) for row in rows]

    async def delete_of_user(self, user_id: Any, *, keep: bytes | None = None) -> int:
        others = [self._table.c.key != keep] if keep else []
        return await self._delete(self._table.c.user_id == user_id, *others)

    async def restamp(self, user_id: Any, old: Sequence[bytes], new: bytes) -> None:
        stamped = (self._table.c.user_id == user_id, self._table.c.stamp.in_(old))
        await self._database.within(lambda unit: unit.changed(update(self._table).where(*stamped).values(stamp=new)))

    async def purge(self, now: datetime) -> int:
        return await self._delete(self._table.c.expires_at <= now)

    async def _delete(self, *conditions: ColumnElement[bool]) -> int:
        return await self._database.within(lambda unit: unit.changed(delete(self._table).where(*conditions)))


def _record(row: Row, user_row: Row | None = None) -> SessionRecord:
    return SessionRecord(
        methods=tuple(json.loads(row[_PREFIX + "methods"])),
        user_row=user_row,
        **{name: row[_PREFIX + name] for name in _PLAIN},
    )


def _values(record: SessionRecord) -> dict[str, Any]:
    return {"methods": json.dumps(record.methods), **{name: getattr(record, name) for name in _PLAIN}}


_PLAIN = (
    "user_id",
    "backend",
    "stamp",
    "remember",
    "created",
    "authenticated_at",
    "last_seen",
    "expires_at",
    "device",
    "address",
    "data",
)
