from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import BigInteger, Insert, Table, bindparam, case, delete, func, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..db import Database, Unit
from .limit import Place

__all__ = ["SqlLimits"]


class SqlLimits:
    """The table `asgiauth_limit`: one conditional statement for each place, whatever comes at the same time.

    A reservation must outlive whatever the caller goes on to roll back, so it is a unit of work of its own, in a task
    of its own: on another connection than a transaction that the application has open. Inside of a unit of work or of
    `auth.joined()` it raises `RuntimeError`: SQLite would wait for itself there.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._take_one = database.prepare(_take(database.dialect, table))
        digest = bindparam("digest", type_=table.c.key.type)
        self._empty_at = database.prepare(select(table.c.empty_at).where(table.c.key == digest))

    async def take(self, places: Sequence[Place], now: int) -> int:
        if self._database.has_unit:
            raise RuntimeError(
                "a reservation would be rolled back with your unit of work: reserve before it begins, outside of "
                "auth.joined()"
            )

        async def work(unit: Unit) -> None:
            # in one order, so that two that want the same places do not wait for each other
            ordered = sorted(places, key=lambda place: place.key)
            wait = max([await self._wait(unit, place, now) for place in ordered], default=0)
            if wait > 0:
                raise _Refused(wait)

        try:
            await asyncio.create_task(self._database.atomic(work))
        except _Refused as refused:
            return refused.wait
        return 0

    async def _wait(self, unit: Unit, place: Place, now: int) -> int:
        """Takes the place, or says how long there is none."""
        latest = now + place.room
        values = {"digest": place.key, "now": now, "step": place.step, "filled": now + place.step, "latest": latest}
        if unit.dialect == "mysql":
            wait: int = (await unit.execute(self._take_one, **values)).key
            return wait
        if await unit.changed(self._take_one, **values):
            return 0
        (row,) = await unit.rows(self._empty_at, digest=place.key)
        return int(row["empty_at"]) - latest

    async def give_back(self, places: Sequence[Place], now: int) -> None:
        """In the unit of work that is open, if there is one: rolled back, the places stay taken."""
        table = self._table

        async def work(unit: Unit) -> None:
            for place in sorted(places, key=lambda place: place.key):
                filled = (table.c.key == place.key, table.c.empty_at > now)
                await unit.changed(update(table).where(*filled).values(empty_at=table.c.empty_at - place.step))

        await self._database.within(work)

    async def purge(self, now: int) -> int:
        empty = delete(self._table).where(self._table.c.empty_at <= now)
        return await self._database.within(lambda unit: unit.changed(empty))


class _Refused(Exception):
    def __init__(self, wait: int) -> None:
        self.wait = wait


def _take(dialect: str, table: Table) -> Insert:
    """Raises `empty_at` by `step` if it is `latest` at the latest; one row is changed then, and none otherwise.

    MariaDB/MySQL has no condition there, and its count of rows depends on how the connection was opened. What
    LAST_INSERT_ID(x) was given comes back in the statement's own answer: how long to wait, and 0 where the place was
    taken, because that branch has not called it.
    """
    now, step, filled, latest = (bindparam(name, type_=BigInteger) for name in ("now", "step", "filled", "latest"))
    digest = bindparam("digest", type_=table.c.key.type)
    empty_at = table.c.empty_at
    raised = ((empty_at > now, empty_at + step),)
    if dialect == "mysql":
        kept = func.last_insert_id(empty_at - latest) + latest
        inserted = mysql.insert(table).values(key=digest, empty_at=filled)
        return inserted.on_duplicate_key_update(empty_at=case((empty_at > latest, kept), *raised, else_=filled))
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return (
        insert(table)
        .values(key=digest, empty_at=filled)
        .on_conflict_do_update(
            index_elements=[table.c.key], set_={"empty_at": case(*raised, else_=filled)}, where=empty_at <= latest
        )
    )
