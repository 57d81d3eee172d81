"""Inside the application's own transactions: what asgiauth writes lives and dies with them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import databases
import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, registry

from asgiauth.db import Database
from asgiauth.exceptions import ConfigurationError, Conflict

from ..contracts.conftest import app_database, app_engine, connected, emptied, opened, within
from ..contracts.conftest import shared_url as shared_url
from ..contracts.tables import item, owner, typed

Joinable = AsyncSession | AsyncConnection


class Owner:
    id: int
    name: str


registry().map_imperatively(Owner, owner)


@pytest.fixture
async def db(shared_url: str) -> AsyncIterator[Database]:
    async with opened("url", shared_url) as database:
        await emptied(database)
        yield database


@pytest.fixture
async def engine(shared_url: str) -> AsyncIterator[AsyncEngine]:
    engine = app_engine(shared_url)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["session", "connection"])
async def target(request: pytest.FixtureRequest, engine: AsyncEngine) -> AsyncIterator[Joinable]:
    async with AsyncSession(engine) if request.param == "session" else engine.connect() as target:
        yield target


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await db.fetch(select(item.c.name).order_by(item.c.name))]


async def test_the_application_ends_its_transaction(db: Database, target: Joinable) -> None:
    """What was done in the block is durable by its commit and gone by its rollback, and by nothing else."""
    for ending in ("rollback", "commit"):
        await target.execute(insert(item).values(name=f"{ending} before"))
        async with db.joined(target):
            assert (db.is_joined, await names(db)) == (True, [f"{ending} before"])
            async with db.unit() as unit:
                await unit.insert(item, {"name": f"{ending} inside"})
        assert target.in_transaction()
        assert (db.is_joined, await names(db)) == (False, [])
        await target.execute(insert(item).values(name=f"{ending} after"))
        await (target.commit() if ending == "commit" else target.rollback())
        assert await names(db) == ([] if ending == "rollback" else ["commit after", "commit before", "commit inside"])


async def test_a_block_begins_the_transaction_if_need_be(db: Database, target: Joinable) -> None:
    """Also when the application has sent nothing yet, its rollback takes everything back."""
    async with db.joined(target):
        assert await db.atomic(lambda unit: unit.insert(item, {"name": "a"}))
        assert await names(db) == ["a"]
    await target.rollback()
    assert await names(db) == []


async def test_units_in_a_block_are_savepoints(db: Database, target: Joinable) -> None:
    """One that fails takes nothing of the application's with it, and an exception ends no transaction."""
    await target.execute(insert(item).values(name="app"))
    with pytest.raises(ValueError, match="block"):
        async with db.joined(target):
            with pytest.raises(Conflict):
                async with db.unit() as unit:
                    await unit.insert(item, {"name": "ours"})
                    await unit.insert(item, {"name": "app"})
            async with db.unit() as unit:
                await unit.insert(item, {"name": "kept"})
            raise ValueError("block")
    await target.commit()
    assert await names(db) == ["app", "kept"]


async def test_a_session_is_flushed_first(db: Database, engine: AsyncEngine) -> None:
    """Rows that the application has only added so far are there for asgiauth's foreign keys; scoped sessions too."""
    for session in (AsyncSession(engine), async_scoped_session(async_sessionmaker(engine), asyncio.current_task)):
        added = Owner()
        session.add(added)
        async with db.joined(session):  # type: ignore[arg-type]  # a scoped session is a stand-in for one
            async with db.unit() as unit:
                await unit.insert(item, {"name": "a", "owner_id": added.id})
            assert await db.fetch(select(item.c.owner_id)) == [{"owner_id": added.id}]
        await session.rollback()
        await session.close()


async def test_a_block_belongs_to_its_task(db: Database, target: Joinable) -> None:
    """Tasks started inside it work on their own; another block inside it has its own connection."""

    async def elsewhere() -> tuple[bool, list[str]]:
        return db.is_joined, await names(db)

    async with db.joined(target):
        async with db.unit() as unit:
            await unit.insert(item, {"name": "a"})
        assert await within(30, elsewhere()) == (False, [])
        assert await elsewhere() == (True, ["a"])


async def test_json_is_decoded_alike_in_a_block(db: Database, target: Joinable) -> None:
    """A statement prepared for the pool reads the same values through SQLAlchemy's connection."""
    values: list[Any] = [{"a": "🦊"}, "text", '"quoted"', 1, None]
    prepared = db.prepare(select(typed.c.json).where(typed.c.integer == 1))
    async with db.joined(target):
        for value in values:
            async with db.unit() as unit:
                await unit.changed(typed.delete())
                await unit.insert(typed, {"integer": 1, "json": value})
            assert await db.fetch(prepared) == [{"json": value}]
    await target.rollback()


async def test_only_sessions_and_connections_are_joined(db: Database, engine: AsyncEngine) -> None:
    """Anything else is a ConfigurationError that says what is wanted."""
    for wrong in (None, "session", engine, Session(), db, object()):
        with pytest.raises(ConfigurationError, match="AsyncSession or AsyncConnection"):
            async with db.joined(wrong):  # type: ignore[arg-type]
                raise AssertionError


async def test_another_kind_of_server_is_not_joined(db: Database) -> None:
    """Nor is one whose driver asgiauth does not know."""
    other = "sqlite+aiosqlite://" if db.dialect != "sqlite" else "postgresql+asyncpg://postgres@127.0.0.1:1/x"
    engine = create_async_engine(other)
    async with AsyncSession(engine) as session:
        with pytest.raises(ConfigurationError, match="but Auth was built for"):
            async with db.joined(session):
                raise AssertionError
    await engine.dispose()


@pytest.fixture
async def database(db: Database, shared_url: str) -> AsyncIterator[databases.Database]:
    async with app_database(shared_url) as database:
        yield database


async def test_a_transaction_of_databases_is_the_applications(database: databases.Database, db: Database) -> None:
    """Units inside `async with database.transaction()` are savepoints in it, on its connection, in its task alone."""
    async with connected(database) as ours:
        for ending in ("rollback", "commit"):
            async with database.transaction(force_rollback=ending == "rollback"):
                await database.execute(insert(item).values(name="app"))
                async with ours.unit() as unit:
                    await unit.insert(item, {"name": "ours"})
                    assert await names(ours) == ["app", "ours"]
                with pytest.raises(Conflict):
                    async with ours.unit() as unit:
                        await unit.insert(item, {"name": "gone"})
                        await unit.insert(item, {"name": "app"})
                assert await names(ours) == ["app", "ours"]
                assert await within(30, names(ours)) == []
                assert await database.fetch_val(select(func.count()).select_from(item)) == 2
            assert await names(ours) == await names(db) == ([] if ending == "rollback" else ["app", "ours"])
    assert database.is_connected, "who connected it disconnects it"


async def test_force_rollback_is_honoured(db: Database, shared_url: str) -> None:
    """Reads see what the application wrote in the one global transaction, from every task; disconnecting undoes all."""
    database = app_database(shared_url, force_rollback=True)
    async with connected(database) as ours:
        await database.execute(insert(item).values(name="app"))
        async with ours.unit() as unit:
            await unit.insert(item, {"name": "ours"})
        assert await names(ours) == await within(30, names(ours)) == ["app", "ours"]
        assert await names(db) == []
    assert not database.is_connected
    assert await names(db) == []


async def test_units_of_one_global_transaction_do_not_mix(db: Database, shared_url: str) -> None:
    """Twenty tasks at once, each second one fails: those leave nothing, the others everything."""

    async def work(number: int) -> None:
        with contextlib.suppress(ValueError):
            async with ours.unit() as unit:
                await unit.insert(item, {"name": f"{number} a", "amount": number})
                await asyncio.sleep(0)
                await unit.insert(item, {"name": f"{number} b", "amount": number})
                if number % 2:
                    raise ValueError

    async with connected(app_database(shared_url, force_rollback=True)) as ours:
        await asyncio.gather(*(work(number) for number in range(20)))
        rows = await ours.fetch(select(item.c.amount, func.count().label("n")).group_by(item.c.amount))
        assert {row["amount"]: row["n"] for row in rows} == dict.fromkeys(range(0, 20, 2), 2)


async def test_a_unit_cancelled_in_the_queue_for_a_shared_connection_is_undone(db: Database, shared_url: str) -> None:
    """Cancelled before its second statement was even sent: the first is taken back, and the connection still works."""
    database = app_database(shared_url, force_rollback=True)

    async def work() -> None:
        async with ours.unit() as unit:
            await unit.insert(item, {"name": "half"})
            await database.connection()._query_lock.acquire()
            await unit.insert(item, {"name": "other half"})

    async with connected(database) as ours:
        lock = database.connection()._query_lock
        task = asyncio.create_task(work())
        while not lock._waiters:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        lock.release()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await names(ours) == []
