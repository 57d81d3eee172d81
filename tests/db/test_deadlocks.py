"""What the server sacrifices is tried again, where nothing else has happened, and is never half-written."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Select, column, func, literal_column, select, table, update

from asgiauth.db import Database, SerializationFailure, Unit
from asgiauth.exceptions import Unavailable

from ..contracts.conftest import (
    app_database,
    assert_pool_is_whole,
    connected,
    emptied,
    innodb_transactions,
)
from ..contracts.conftest import source as source
from ..contracts.tables import item
from .test_faults import insert, names
from .test_faults import shared_url as shared_url

A, B = 1_000_001, 1_000_002


class Opponent:
    """Another client. Who holds the row A when it is provoked, and reaches for B then, is sacrificed."""

    def __init__(self, url: str, rival: Database, watcher: Database) -> None:
        self._url = url
        self._rival = rival
        self._watcher = watcher
        self._fight: asyncio.Task[None] | None = None

    async def calm(self) -> None:
        """Its last transaction is over."""
        if self._fight is not None:
            await self._fight

    async def provoke(self) -> None:
        """It holds B now, and waits for A."""
        has_b = asyncio.Event()
        self._fight = asyncio.create_task(self._transaction(has_b))
        async with asyncio.timeout(30):
            await has_b.wait()
            while not await self._waits():
                await asyncio.sleep(0.02)

    async def _transaction(self, has_b: asyncio.Event) -> None:
        async with self._rival.unit() as unit:
            if unit.dialect == "postgresql":
                await unit.text("SET LOCAL deadlock_timeout = '1min'")  # the other one notices, and dies
            for _ in range(30):  # MariaDB sacrifices who has written less
                await unit.insert(item, {"name": str(uuid.uuid4())})
            await unit.changed(update(item).where(item.c.id == B).values(amount=1))
            has_b.set()
            await unit.changed(update(item).where(item.c.id == A).values(amount=1))

    async def _waits(self) -> bool:
        if self._watcher.dialect == "postgresql":
            activity = table("pg_stat_activity", column("datname"), column("wait_event_type"))
            waiting = activity.c.datname == func.current_database(), activity.c.wait_event_type == "Lock"
            return bool(await self._watcher.fetch(select(activity.c.datname).where(*waiting)))
        return bool(await innodb_transactions(self._watcher, self._url, "LOCK WAIT"))


@asynccontextmanager
async def opponent(url: str) -> AsyncIterator[Opponent]:
    """With the rows A and B to fight for."""
    async with connected(url) as rival, connected(url) as watcher:
        await emptied(rival)
        async with rival.unit() as unit:
            for key in (A, B):
                await unit.insert(item, {"id": key, "name": f"row {key}"})
        opponent = Opponent(url, rival, watcher)
        yield opponent
        await opponent.calm()


async def take(unit: Unit, key: int) -> None:
    await unit.changed(update(item).where(item.c.id == key).values(amount=100))


@pytest.mark.parametrize("deadlocks", [1, 2, 3])
async def test_a_deadlock_is_tried_again_twice(source: Database, shared_url: str, deadlocks: int) -> None:
    """D-23: PostgreSQL's 40P01 and MariaDB's 1213, provoked for real; the third time it is Unavailable."""
    runs = 0

    async def work(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        await other.calm()
        await unit.insert(item, {"name": f"run {runs}"})
        await take(unit, A)
        if runs <= deadlocks:
            await other.provoke()
        await take(unit, B)

    async with opponent(shared_url) as other:
        with pytest.raises(SerializationFailure) if deadlocks == 3 else contextlib.nullcontext():
            await source.atomic(work)
    assert runs == min(deadlocks + 1, 3)
    made = [name for name in await names(source) if name.startswith("run")]
    assert made == ([f"run {runs}"] if deadlocks < 3 else [])
    await assert_pool_is_whole(source)


async def test_a_swallowed_deadlock_commits_nothing_halfway(source: Database, shared_url: str) -> None:
    """MariaDB ends the whole transaction, not only the savepoint: what follows must not be written on its own, nor
    may the outer unit claim to be committed."""
    async with opponent(shared_url) as other:
        with contextlib.suppress(Unavailable):
            async with source.unit() as outer:
                await outer.insert(item, {"name": "before"})
                with contextlib.suppress(SerializationFailure):
                    async with source.unit() as unit:
                        await take(unit, A)
                        await other.provoke()
                        await take(unit, B)
                await outer.insert(item, {"name": "after"})
    assert {"before", "after"} & set(await names(source)) in (set(), {"before", "after"})
    assert await source.fetch(select(item).where(item.c.amount == 100)) == []


async def test_a_deadlock_in_the_applications_transaction_writes_nothing_outside_it(shared_url: str) -> None:
    """There MariaDB has ended that transaction: to try again would be to write without one."""
    runs = 0

    async def work(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        await take(unit, A)
        if runs == 1:
            await other.provoke()
        await take(unit, B)

    async with app_database(shared_url) as database, connected(database) as ours, opponent(shared_url) as other:
        async with database.transaction(force_rollback=True):
            with contextlib.suppress(Unavailable):
                await ours.atomic(work)
        assert runs >= 1
        assert await ours.fetch(select(item).where(item.c.amount == 100)) == []


async def test_a_statement_that_the_server_stops_is_unavailable(source: Database, shared_url: str) -> None:
    """By a timeout that the application has set: once, not again on each connection of the pool."""
    limits: dict[str, tuple[dict[str, Any], str, Any]] = {
        "postgresql": ({"server_settings": {"statement_timeout": "1000"}}, "nextval('runs')", func.pg_sleep(60)),
        "mysql": ({"init_command": "SET max_statement_time = 1"}, "nextval(runs)", func.sleep(60)),
    }
    options, run, sleep = limits[source.dialect]
    count: Select[Any] = select(literal_column(run).label("run"))  # a sequence counts what is rolled back, too
    await source.atomic(lambda unit: unit.text("CREATE SEQUENCE runs"))
    try:
        async with connected(app_database(shared_url, **options)) as database:
            async with asyncio.timeout(30):  # well before we give the statement up ourselves
                with pytest.raises(Unavailable):
                    await database.fetch(count.add_columns(sleep.label("slept")))
            assert await database.fetch(count) == [{"run": 2}]
            await assert_pool_is_whole(database)
    finally:
        await source.atomic(lambda unit: unit.text("DROP SEQUENCE runs"))


async def test_a_snapshot_conflict_is_tried_again(source: Database, shared_url: str) -> None:
    """MariaDB 11.6 answers 1020 by default, PostgreSQL 40001 at REPEATABLE READ, where others changed what was read."""
    levels: dict[str, dict[str, Any]] = {
        "postgresql": {"server_settings": {"default_transaction_isolation": "repeatable read"}},
        "mysql": {"init_command": "SET innodb_snapshot_isolation = ON"},
    }
    await insert(source, "a")
    runs = 0

    async def work(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        await unit.rows(select(item))
        if runs == 1:
            await asyncio.create_task(change())
        await unit.changed(update(item).values(amount=item.c.amount + 1))

    async def change() -> None:
        async with source.unit() as unit:
            await unit.changed(update(item).values(amount=41))

    async with connected(app_database(shared_url, **levels[source.dialect])) as database:
        await database.atomic(work)
    assert runs == 2
    assert await source.fetch(select(item.c.amount)) == [{"amount": 42}]
