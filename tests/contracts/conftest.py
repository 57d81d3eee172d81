"""Every way in which an application may hand us its database, on each server."""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import databases
import pytest
from sqlalchemy import column, event, func, select, table
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from asgiauth.db import Database
from asgiauth.db.schema import create_tables

from ..databases import SERVERS, create_database, drop_database, innodb_status, run
from .tables import metadata, owner

SOURCES = ["url", "databases", "engine"]
PLACES = [*SOURCES, "transaction", "force_rollback", "session", "connection"]

T = TypeVar("T")

POOL = 3
"""Connections that a source may have open at once."""


class ForeignKeys(sqlite3.Connection):
    """As an application does it that wants its foreign keys enforced."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA foreign_keys=ON")


def app_database(url: str, **options: Any) -> databases.Database:
    if url.startswith("sqlite:"):
        return databases.Database(url, factory=ForeignKeys, **options)
    return databases.Database(url.replace("mysql:", "mysql+asyncmy:"), min_size=1, max_size=POOL, **options)


def app_engine(url: str, **options: Any) -> AsyncEngine:
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
    scheme, _, rest = url.partition("://")
    engine = create_async_engine(f"{drivers[scheme]}://{rest}", echo=True, pool_size=POOL, max_overflow=0, **options)
    if scheme == "sqlite":
        event.listen(engine.sync_engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
    return engine


@asynccontextmanager
async def connected(given: str | databases.Database | AsyncEngine) -> AsyncIterator[Database]:
    database = Database(given)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


@asynccontextmanager
async def opened(place: str, url: str) -> AsyncIterator[Database]:
    """A connected seam, within the application's own transaction if the place says so."""
    async with AsyncExitStack() as stack:
        given: Any = url if url.startswith("sqlite:") else f"{url}?max_size={POOL}"
        if place == "engine":
            given = app_engine(url)
            stack.push_async_callback(given.dispose)
        elif place == "force_rollback":
            given = app_database(url, force_rollback=True)
        elif place in ("databases", "transaction"):
            given = await stack.enter_async_context(app_database(url))
        database = await stack.enter_async_context(connected(given))
        if place == "transaction":
            await stack.enter_async_context(given.transaction(force_rollback=True))
        elif place in ("session", "connection"):
            engine = app_engine(url)
            stack.push_async_callback(engine.dispose)
            target: Any = AsyncSession(engine) if place == "session" else engine.connect()
            await stack.enter_async_context(target)
            await stack.enter_async_context(database.joined(target))
        yield database


async def emptied(database: Database) -> None:
    async with database.unit() as unit:
        for table in reversed(metadata.sorted_tables):
            await unit.changed(table.delete())


@contextmanager
def shared_database(server: str, directory: Path) -> Iterator[str]:
    """The URL of a database with the tables of `tables`, for a whole module: creating one takes long."""
    name = f"asgiauth_{secrets.token_hex(6)}"
    yield asyncio.run(_create(server, name, directory))
    asyncio.run(drop_database(server, name))


@pytest.fixture(scope="module", params=SERVERS)
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with shared_database(request.param, tmp_path_factory.mktemp("contract")) as url:
        yield url


async def _create(server: str, name: str, directory: Path) -> str:
    url = await create_database(server, name, directory)
    if server == "postgresql":
        await run(server, f"ALTER DATABASE {urlsplit(url).path[1:]} SET deadlock_timeout = '20ms'")
    async with opened("url", url) as database:
        await create_tables(database, metadata, metadata.sorted_tables)
    return url


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def db(place: str, shared_url: str) -> AsyncIterator[Database]:
    """Connected and empty, in each place and on each server."""
    async with opened(place, shared_url) as database:
        await emptied(database)
        yield database


@pytest.fixture(params=SOURCES)
async def source(request: pytest.FixtureRequest, shared_url: str) -> AsyncIterator[Database]:
    """The same where units are transactions of their own."""
    async with opened(request.param, shared_url) as database:
        await emptied(database)
        yield database


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Its result; fails, and does not wait for work that cannot even be cancelled, when it takes longer."""
    task = asyncio.create_task(work)
    await asyncio.wait([task], timeout=seconds)
    assert task.done(), f"still at it after {seconds} s"
    return task.result()


async def assert_pool_is_whole(database: Database) -> None:
    """All connections can be used, all at once."""
    together = asyncio.Barrier(1 if database.dialect == "sqlite" else POOL)

    async def use() -> None:
        async with database.unit() as unit:
            await unit.changed(owner.delete().where(owner.c.id == -1))
            await together.wait()
        await database.fetch(select(owner))

    async def use_all() -> None:
        await asyncio.gather(*(use() for _ in range(together.parties)))

    await within(30, use_all())


async def open_transactions(url: str) -> int:
    """How many the server has open in this database, and keeps open: it may take a while to notice that a client has
    gone."""
    if url.startswith("sqlite:"):
        return 0
    left = 0
    async with opened("url", url) as admin:
        for _ in range(200):
            left = await _open_transactions(admin, url)
            if not left:
                break
            await asyncio.sleep(0.05)
    return left


async def _open_transactions(admin: Database, url: str) -> int:
    if admin.dialect == "mysql":
        return len(await innodb_transactions(admin, url, "ACTIVE"))
    activity = table("pg_stat_activity", column("datname"), column("xact_start"), column("pid"))
    mine = activity.c.datname == func.current_database()
    others = select(activity.c.pid).where(mine, activity.c.xact_start.is_not(None))
    return len(await admin.fetch(others.where(activity.c.pid != func.pg_backend_pid())))


async def innodb_transactions(admin: Database, url: str, state: str) -> list[str]:
    """Those of this database that are in a state. Not from `information_schema.innodb_trx`, which shows what it showed to
    whoever looked in the last 0.1 s, in whatever database: another suite on the server would spoil it."""
    processes = table("processlist", column("id"), column("db"), schema="information_schema")
    ours = {row["id"] for row in await admin.fetch(select(processes.c.id).where(processes.c.db == func.database()))}
    listed = (await innodb_status(url)).partition("LIST OF TRANSACTIONS")[2].partition("\nFILE I/O")[0]
    found = [
        (re.search(r"thread id (\d+)", transaction), transaction)
        for transaction in listed.split("---TRANSACTION ")[1:]
        if state in transaction
    ]
    return [text for thread, text in found if thread is not None and int(thread[1]) in ours]
