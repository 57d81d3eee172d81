"""What happens when the server takes a connection, a transaction or itself away: nothing is half-written, the caller
gets `Unavailable`, and work goes on by itself as soon as it can."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from asyncpg import PostgresSyntaxError
from sqlalchemy import column, func, select, table, update

from asgiauth.db import Database, LostConnection, Unit
from asgiauth.db.schema import create_tables
from asgiauth.db.unit import STATEMENT_TIMEOUT
from asgiauth.exceptions import Conflict, Unavailable

from ..contracts.conftest import (
    SOURCES,
    app_database,
    app_engine,
    assert_pool_is_whole,
    connected,
    emptied,
    opened,
    shared_database,
    within,
)
from ..contracts.conftest import source as source
from ..contracts.tables import item, metadata
from ..databases import SERVERS
from ..server_process import family_of
from ..servers import PrivateServer, mariadb, mariadb_available, postgresql, postgresql_available

REMOTE = [server for server in SERVERS if server != "sqlite"]
Factory = Callable[[], PrivateServer]
FACTORIES: list[Factory] = [
    *([postgresql] if postgresql_available() else []),
    *([mariadb] if mariadb_available() else []),
]


DEADLINE = 8.0
"""Instead of STATEMENT_TIMEOUT: a busy machine that waits once must take less than one that waits twice."""


@pytest.fixture(autouse=True)
def _busy_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the deadline is what is tested."""
    monkeypatch.setattr("asgiauth.db.unit.STATEMENT_TIMEOUT", DEADLINE)


def test_D23_the_deadline_is_five_seconds() -> None:
    assert STATEMENT_TIMEOUT == 5


@pytest.fixture(scope="module", params=REMOTE)
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with shared_database(request.param, tmp_path_factory.mktemp("faults")) as url:
        yield url


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[[Factory], PrivateServer]]:
    """Gives a running server with our tables; each kind is installed once."""
    servers: dict[Factory, PrivateServer] = {}

    def launch(factory: Factory) -> PrivateServer:
        if factory not in servers:
            servers[factory] = factory()
            asyncio.run(_prepare(servers[factory].url))
        servers[factory].start()
        return servers[factory]

    yield launch
    for server in servers.values():
        server.close()


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__name__)
def private(request: pytest.FixtureRequest, launch: Callable[[Factory], PrivateServer]) -> PrivateServer:
    return launch(request.param)


async def _prepare(url: str) -> None:
    async with connected(url) as database:
        await create_tables(database, metadata, metadata.sorted_tables)


@pytest.fixture
async def sources(private: PrivateServer) -> AsyncIterator[list[Database]]:
    """All three at once on one server of our own, so that it need be restarted only once."""
    async with opened_all(private.url) as sources:
        yield sources
        await asyncio.to_thread(private.start)


@asynccontextmanager
async def opened_all(url: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(opened(name, url)) for name in SOURCES]
        await emptied(sources[0])
        yield sources


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await db.fetch(select(item.c.name).order_by(item.c.name))]


async def reading(db: Database) -> None:
    await names(db)


async def insert(db: Database, name: str) -> None:
    async with db.unit() as unit:
        await unit.insert(item, {"name": name})


async def kill_connections(url: str) -> None:
    """All but its own, of this database."""
    async with connected(url) as admin:
        if admin.dialect == "postgresql":
            activity = table("pg_stat_activity", column("pid"), column("datname"))
            others = activity.c.datname == func.current_database(), activity.c.pid != func.pg_backend_pid()
            await admin.fetch(select(func.pg_terminate_backend(activity.c.pid).label("ok")).where(*others))
        else:
            processes = table("processlist", column("id"), column("db"), schema="information_schema")
            others = processes.c.db == func.database(), processes.c.id != func.connection_id()
            for row in await admin.fetch(select(processes.c.id).where(*others)):
                with contextlib.suppress(RuntimeError):  # it has gone by itself meanwhile
                    async with admin.unit() as unit:
                        await unit.text(f"KILL {row['id']}")


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "postgresql"])
async def test_what_a_server_cannot_do_now_is_unavailable(url: str) -> None:
    """A row that somebody else has locked, for one who does not wait."""
    await _prepare(url)
    async with connected(url) as one, connected(url) as other:
        await insert(one, "a")
        locked = select(item.c.name).with_for_update(nowait=True)
        async with one.unit() as unit:
            await unit.rows(locked)
            with pytest.raises(Unavailable, match="PostgreSQL cannot answer: LockNotAvailable"):
                async with other.unit() as waiting:
                    await waiting.rows(locked)


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "postgresql"])
async def test_a_mistake_in_a_statement_comes_as_the_server_tells_it(url: str) -> None:
    """It is the programmer's: nothing that another try would mend."""
    async with connected(url) as database:
        with pytest.raises(PostgresSyntaxError, match="SELEC"):
            async with database.unit() as unit:
                await unit.text("SELEC 1")
        assert await database.fetch(select(func.length("ab").label("n"))) == [{"n": 2}]


async def test_idle_connections_that_died_are_replaced(source: Database, shared_url: str) -> None:
    """A whole pool of them: the next read and the next unit do not notice."""
    for use in (names, lambda db: insert(db, "a"), lambda db: db.atomic(names_in)):
        await assert_pool_is_whole(source)
        await kill_connections(shared_url)
        await use(source)
    assert await names(source) == ["a"]
    await assert_pool_is_whole(source)


async def names_in(unit: Unit) -> list[Any]:
    return await unit.rows(select(item.c.name))


async def test_a_unit_that_loses_its_connection_leaves_nothing(source: Database, shared_url: str) -> None:
    """The statement after says LostConnection; nothing of the unit is there, and the next one works."""
    for swallowed in (False, True):
        with pytest.raises(Unavailable):
            async with source.unit() as unit:
                await unit.insert(item, {"name": "gone"})
                await kill_connections(shared_url)
                with contextlib.suppress(LostConnection) if swallowed else contextlib.nullcontext():
                    await unit.insert(item, {"name": "gone too"})
        assert await names(source) == []
    await insert(source, "a")
    assert await names(source) == ["a"]
    await assert_pool_is_whole(source)


async def test_a_commit_that_meets_a_dead_connection_is_not_claimed(source: Database, shared_url: str) -> None:
    """Leaving the unit raises."""
    with pytest.raises(Unavailable):
        async with source.unit() as unit:
            await unit.insert(item, {"name": "gone"})
            await kill_connections(shared_url)
    assert await names(source) == []


async def test_a_restart_of_the_server_is_survived(sources: list[Database], private: PrivateServer) -> None:
    """Down: Unavailable, at once and not after the statement timeout. Up again: everything works, without connecting
    anew."""
    for db in sources:
        await assert_pool_is_whole(db)
    await asyncio.to_thread(private.stop)
    started = time.monotonic()
    for db in sources:
        for use in (names(db), insert(db, "x"), db.atomic(names_in)):
            with pytest.raises(Unavailable):
                await within(30, use)
    with pytest.raises(Unavailable):
        async with connected(private.url):
            raise AssertionError
    assert time.monotonic() - started < 5 * DEADLINE  # of ten uses
    await asyncio.to_thread(private.start)
    for number, db in enumerate(sources):
        await insert(db, str(number))
        assert len(await names(db)) == number + 1
        await assert_pool_is_whole(db)


async def test_a_crash_between_begin_and_commit_leaves_nothing(sources: list[Database], private: PrivateServer) -> None:
    """kill -9 of the server while three units are open: each is Unavailable, each pool recovers by itself."""
    crashed = asyncio.Event()
    begun = asyncio.Barrier(4)

    async def interrupted(db: Database) -> None:
        async with db.unit() as unit:
            await unit.insert(item, {"name": f"gone {id(db)}"})
            async with db.unit():
                await unit.insert(item, {"name": f"gone too {id(db)}"})
            await begun.wait()
            await crashed.wait()

    tasks = [asyncio.create_task(interrupted(db)) for db in sources]
    await begun.wait()
    await asyncio.to_thread(private.kill)
    crashed.set()
    for task in tasks:
        with pytest.raises(Unavailable):
            await within(30, asyncio.wait_for(task, None))
    await asyncio.to_thread(private.start)
    for db in sources:
        assert await names(db) == []
        await assert_pool_is_whole(db)


async def test_disconnecting_from_a_dead_server_ends(private: PrivateServer) -> None:
    """Also when it is gone for good."""
    async with AsyncExitStack() as stack:
        dying = [await stack.enter_async_context(opened(name, private.url)) for name in SOURCES]
        for db in dying:
            await assert_pool_is_whole(db)
        await asyncio.to_thread(private.kill)
        await within(30, stack.aclose())
    assert not any(db.connected for db in dying)


def _signal(server: PrivateServer, number: signal.Signals) -> None:
    assert server.pid is not None
    for pid in family_of(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.fixture
def everything(launch: Callable[[Factory], PrivateServer]) -> list[PrivateServer]:
    return [launch(factory) for factory in FACTORIES]


async def test_a_database_that_hangs_is_unavailable_in_time(everything: list[PrivateServer], tmp_path: Path) -> None:
    """D-23: reads and units, on old connections and new ones, take the statement timeout and no more; afterwards
    everything works. The same of SQLite, locked by another process for longer."""
    path = f"{tmp_path}/locked.db"
    await _prepare(f"sqlite:///{path}")
    open_lock = partial(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    engine = app_engine(f"sqlite:///{path}")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        sqlite = [await stack.enter_async_context(connected(given)) for given in (f"sqlite:///{path}", engine)]
        remote: list[Database] = []
        for server in everything:
            remote += await stack.enter_async_context(opened_all(server.url))
        for db in remote:
            await assert_pool_is_whole(db)
        stopped, begun = asyncio.Event(), asyncio.Barrier(len(remote) + 1)

        async def open_unit(db: Database) -> None:
            async with db.unit() as unit:
                await unit.insert(item, {"name": f"gone {id(db)}"})
                await begun.wait()
                await stopped.wait()
                await names(db)

        tasks = {
            f"open {SOURCES[i % 3]} {db.dialect}": asyncio.create_task(open_unit(db)) for i, db in enumerate(remote)
        }
        await begun.wait()
        other = await asyncio.to_thread(open_lock)
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        for server in everything:
            await asyncio.to_thread(_signal, server, signal.SIGSTOP)
        try:
            stopped.set()
            for i, db in enumerate(remote):
                tasks[f"read {SOURCES[i % 3]} {db.dialect}"] = asyncio.create_task(reading(db))
                tasks[f"insert {SOURCES[i % 3]} {db.dialect}"] = asyncio.create_task(insert(db, "x"))
            tasks["insert url sqlite"] = asyncio.create_task(insert(sqlite[0], "x"))
            tasks["insert engine sqlite"] = asyncio.create_task(insert(sqlite[1], "x"))
            await asyncio.wait(tasks.values(), timeout=2 * DEADLINE - 0.5)  # twice would be too often
            late = [name for name, task in tasks.items() if not task.done()]
        finally:
            for server in everything:
                await asyncio.to_thread(_signal, server, signal.SIGCONT)
            await asyncio.to_thread(other.close)
        await asyncio.wait(tasks.values(), timeout=30)
        assert (late, [name for name, task in tasks.items() if not task.done()]) == ([], [])
        assert {name: type(task.exception()) for name, task in tasks.items()} == dict.fromkeys(tasks, Unavailable)
        for db in remote + sqlite:
            await insert(db, f"after {id(db)}")
            assert f"gone {id(db)}" not in await names(db)
            await assert_pool_is_whole(db)


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
def test_a_server_in_another_language_counts_alike(server: str, tmp_path: Path) -> None:
    """MariaDB says in a sentence how many rows an UPDATE matched, and which constraint was broken."""

    async def work(url: str) -> None:
        async with connected(app_database(url, init_command="SET lc_messages = 'de_DE'")) as db:
            await insert(db, "a")
            for _ in range(2):
                async with db.unit() as unit:
                    assert await unit.changed(update(item).values(name="a", revision=None)) == 1
            with pytest.raises(Conflict) as caught:
                await insert(db, "a")
            assert (caught.value.kind, caught.value.constraint) == ("unique", "item_name_uniq")

    with shared_database(server, tmp_path) as url:
        asyncio.run(work(url))


@pytest.mark.parametrize("place", ["url", "databases", "engine"])
async def test_a_file_that_is_no_database_leaves_no_thread(tmp_path: Path, place: str) -> None:
    """Connecting fails, in a directory that does not exist likewise, and the process can end."""
    await anyio.Path(tmp_path / "garbage.db").write_bytes(b"not a database" * 1000)
    before = threading.active_count()
    for path in (tmp_path / "garbage.db", tmp_path / "no" / "such.db"):
        with pytest.raises((Unavailable, sqlite3.DatabaseError)):
            async with opened(place, f"sqlite:///{path}") as database:
                await database.fetch(select(item))
    for _ in range(3000):
        if threading.active_count() > before:
            await asyncio.sleep(0.01)
    assert threading.active_count() <= before
