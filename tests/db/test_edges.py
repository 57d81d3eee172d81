"""What rarely happens to a connection, made to happen."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

import databases
import pytest
from asyncmy.errors import InterfaceError
from sqlalchemy import Integer, column, literal, select, table
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth.db import Database
from asgiauth.db.drivers import LostConnection, driver_for
from asgiauth.db.shield import finish
from asgiauth.db.url import database_from_url
from asgiauth.exceptions import ConfigurationError, MissingDependency, Unavailable

from ..databases import SERVERS

ONE = select(literal(1, Integer).label("n"))
POSTGRESQL = [server for server in SERVERS if server == "postgresql"]


async def test_sqlite_opens_the_file_anew_when_it_can(tmp_path: Path) -> None:
    """A connection that broke is replaced; while the file is away that is an outage, and it ends by itself."""
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    database = Database(f"sqlite:///{here}/app.db")
    await database.connect()
    try:
        with pytest.raises(Unavailable):
            async with database.unit() as unit:
                await unit.lease.raw.close()
                await unit.rows(ONE)
        await asyncio.to_thread(here.rename, away)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await database.fetch(ONE)
        await asyncio.to_thread(away.rename, here)
        assert await database.fetch(ONE) == [{"n": 1}]
        async with database.unit() as unit:
            assert await unit.row(ONE) == {"n": 1}
    finally:
        await database.disconnect()


@pytest.mark.parametrize("server", POSTGRESQL)
async def test_a_transaction_that_may_not_write_is_an_outage(server: str, url: str) -> None:
    """A read-only standby, say: nobody gets in, and nothing is a 500."""
    database = Database(url)
    await database.connect()
    with pytest.raises(Unavailable):
        async with database.unit() as unit:
            await unit.text("SET TRANSACTION READ ONLY")
            await unit.text("CREATE TABLE t (n int)")
    assert await database.fetch(ONE) == [{"n": 1}]
    await database.disconnect()


async def test_a_read_in_the_applications_lost_transaction_is_not_tried_elsewhere(sqlite_url: str) -> None:
    """On another connection it would not see what the transaction has done."""
    application = databases.Database(sqlite_url)
    database = Database(application)
    await database.connect()
    with contextlib.suppress(ValueError):  # its own rollback finds the connection closed
        async with application.transaction():
            await application.connection().raw_connection.close()
            with pytest.raises(Unavailable):
                await database.fetch(ONE)
    assert await database.fetch(ONE) == [{"n": 1}]
    await database.disconnect()


async def test_a_cancellation_that_asyncmy_hides_is_one_only_where_it_happened() -> None:
    """asyncmy 0.2 answers later users of the connection with the same error."""
    driver, hidden = driver_for("mysql"), InterfaceError(0, "Cancelled during execution")

    async def cancelled() -> BaseException:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return driver.translate(hidden)
        raise TimeoutError

    task = asyncio.create_task(cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert isinstance(await task, asyncio.CancelledError)
    assert isinstance(driver.translate(hidden), Unavailable)


async def test_protected_work_ends_with_the_event_loop() -> None:
    """When everything is cancelled, the work itself too, nothing waits for it for ever."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(60)

    before = asyncio.all_tasks()
    waiting = asyncio.create_task(finish(work()))
    await begun.wait()
    for task in asyncio.all_tasks() - before:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("url", "driver", "backend", "extra"),
    [
        ("sqlite:///app.db", "aiosqlite", "sqlite", "sqlite"),
        ("postgresql://h/d", "asyncpg", "postgres", "postgresql"),
        ("mysql://h/d", "asyncmy", "asyncmy", "mysql"),
    ],
)
def test_a_missing_driver_is_told_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, url: str, driver: str, backend: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"databases.backends.{backend}", raising=False)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(MissingDependency, match=rf'pip install "asgiauth\[{extra}\]"'):
        database_from_url(url)


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_a_warning_of_the_server_is_no_error(server: str, url: str) -> None:
    """asyncmy would fetch it, and log it with the values that it quotes."""
    database = Database(url)
    await database.connect()
    async with database.unit() as unit:
        await unit.text("DROP TABLE IF EXISTS no_such_table")
        assert await unit.row(ONE) == {"n": 1}
    await database.disconnect()


@pytest.mark.parametrize("server", POSTGRESQL)
async def test_a_migration_under_a_running_process_is_survived(server: str, url: str) -> None:
    """PostgreSQL refuses the plan that asyncpg has kept; the read is done anew."""
    database = Database(url)
    await database.connect()
    everything = select(table("kept", column("n", Integer), column("m", Integer)))
    async with database.unit() as unit:
        await unit.text("CREATE TABLE kept (n int, m int)")
    assert await database.fetch(everything) == []
    async with database.unit() as unit:
        await unit.text("ALTER TABLE kept ALTER COLUMN m TYPE bigint")
    assert await database.fetch(everything) == []
    await database.disconnect()


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_a_mode_in_which_a_value_could_leave_its_quotes_is_refused(server: str, url: str) -> None:
    """asyncmy escapes with backslashes, which NO_BACKSLASH_ESCAPES takes literally (ASVS 1.2.4)."""
    unsafe = databases.Database(
        urlsplit(url)._replace(scheme="mysql+asyncmy").geturl(), init_command="SET sql_mode='NO_BACKSLASH_ESCAPES'"
    )
    database = Database(unsafe)
    await database.connect()
    for work in (database.fetch(ONE), database.atomic(lambda unit: unit.text("SELECT 1"))):
        with pytest.raises(ConfigurationError, match="NO_BACKSLASH_ESCAPES"):
            await work
    await database.disconnect()


async def test_nothing_is_opened_after_disconnecting(sqlite_url: str) -> None:
    """A unit that waited for its turn meanwhile is refused: no thread is left that would keep the process alive."""
    database = Database(sqlite_url)
    await database.connect()
    begun, disconnected = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        async with database.unit():
            begun.set()
            await disconnected.wait()

    first = asyncio.create_task(wait())
    await begun.wait()
    second = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await database.disconnect()
    disconnected.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LostConnection, LostConnection]


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_a_connection_in_autocommit_is_not_joined(server: str, url: str) -> None:
    """There each statement would stand alone, and half of a failed unit stay."""
    engine = create_async_engine(url.replace("mysql://", "mysql+asyncmy://"), isolation_level="AUTOCOMMIT")
    database = Database(url)
    await database.connect()
    async with engine.connect() as connection:
        with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            async with database.joined(connection):
                raise TimeoutError
    await database.disconnect()
    await engine.dispose()
