"""A seam that only reads: what would write is refused before it reaches the server, and the server would refuse it."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import databases
import pytest
from sqlalchemy import URL, Column, Integer, MetaData, String, Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from asgiauth.db import Database, Prepared, Unit
from asgiauth.db.drivers import driver_for
from asgiauth.db.statement import Arguments
from asgiauth.exceptions import ReadOnly, Unavailable

from ..databases import SERVERS, engine_url, run
from ..readers import reader, reading
from ..sites import connected

THING = Table("thing", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(20)))
NAMES = select(THING.c.name)
Work = Callable[[Unit], Awaitable[Any]]

WRITES: dict[str, Work] = {
    "insert": lambda unit: unit.insert(THING, {"name": "b"}),
    "update": lambda unit: unit.changed(update(THING).values(name="b")),
    "delete": lambda unit: unit.changed(delete(THING)),
    "execute": lambda unit: unit.execute(insert(THING).values(name="b")),
    "rows of an insert": lambda unit: unit.rows(insert(THING).values(name="b")),
    "rows to be changed": lambda unit: unit.rows(NAMES.with_for_update()),
    "rows to be shared": lambda unit: unit.row(NAMES.with_for_update(read=True)),
    "DDL": lambda unit: unit.text("DROP TABLE thing"),
}


@pytest.fixture
async def things(url: str) -> str:
    """The URL of a database with one thing in it."""
    database = Database(url)
    await database.connect()
    async with database.unit() as unit:
        await unit.text("CREATE TABLE thing (id integer PRIMARY KEY, name varchar(20))")
        await unit.text("INSERT INTO thing (id, name) VALUES (1, 'a')")
    await database.disconnect()
    return url


@asynccontextmanager
async def opened(database: Any, *, read_only: bool = True) -> AsyncIterator[Database]:
    seam = Database(database, read_only=read_only)
    await seam.connect()
    try:
        yield seam
    finally:
        await seam.disconnect()


async def test_what_would_write_does_not_reach_the_server(server: str, things: str) -> None:
    """The whole list of what it got: transactions that only read, and no statement in them."""
    async with reading(server, things) as (auth, statements):
        before = len(statements)
        for work in WRITES.values():
            with pytest.raises(ReadOnly, match=r"Auth\(read_only=True\) only reads.* leave read_only out"):
                await auth._database.atomic(work)
        with pytest.raises(ReadOnly):
            await auth._database.fetch(insert(THING).values(name="b"))
        begin = {"sqlite": "BEGIN", "postgresql": "BEGIN READ ONLY", "mysql": "START TRANSACTION READ ONLY"}[server]
        assert statements[before:] == [begin, "ROLLBACK"] * len(WRITES)
        assert await auth._database.fetch(NAMES) == [{"name": "a"}]


def by_url(url: str) -> Any:
    return url


def by_databases(url: str) -> Any:
    return databases.Database(url.replace("mysql://", "mysql+asyncmy://"))


def by_engine(url: str) -> Any:
    return create_async_engine(engine_url(url), poolclass=NullPool)


@pytest.mark.parametrize("made", [by_url, by_databases, by_engine])
async def test_reads_go_on_in_units_and_savepoints(made: Any, things: str) -> None:
    """A refusal does not break the unit that it happens in: nothing was sent."""
    async with opened(made(things)) as database:
        for work in WRITES.values():
            async with database.unit() as unit:
                async with database.unit() as inner:
                    assert await inner.rows(NAMES) == [{"name": "a"}]
                with pytest.raises(ReadOnly):
                    await work(unit)
                assert await database.fetch(NAMES) == [{"name": "a"}]


async def test_inside_the_applications_transaction_the_seam_only_reads(things: str) -> None:
    """Which the application may write in: that is its own affair."""
    engine = by_engine(things)
    async with opened(engine) as database, engine.connect() as connection:
        await connection.execute(update(THING).values(name="c"))
        async with database.joined(connection):
            assert await database.fetch(NAMES) == [{"name": "c"}]
            for work in WRITES.values():
                with pytest.raises(ReadOnly):
                    await database.atomic(work)
        await connection.commit()
        assert await database.fetch(NAMES) == [{"name": "c"}]


async def test_what_the_seam_cannot_see_is_refused_by_the_server(things: str) -> None:
    """SQL of somebody else's, such as a function that writes: each transaction is one that only reads."""
    async with opened(things) as database:
        with pytest.raises(Unavailable, match="may only be read here"):
            async with database.unit() as unit:
                await unit.fetch("INSERT INTO thing (id, name) VALUES (2, 'b')", Arguments())
        assert await database.fetch(NAMES) == [{"name": "a"}]


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        (NAMES, False),
        (NAMES.union_all(select(THING.c.name)), False),
        (select(func.now().label("now")), False),
        (NAMES.where(THING.c.id.in_(select(THING.c.id))), False),
        (insert(THING).values(name="b"), True),
        (update(THING).values(name="b"), True),
        (delete(THING), True),
        (NAMES.with_for_update(), True),
        (NAMES.with_for_update(read=True), True),
        (NAMES.where(THING.c.id.in_(select(THING.c.id).with_for_update())), True),
        (select(insert(THING).values(name="b").returning(THING.c.id).cte("made").c.id), True),
        (NAMES.add_cte(delete(THING).returning(THING.c.id).cte("gone")), True),
    ],
)
def test_a_statement_writes_in_whatever_part_of_it(statement: Any, writes: bool) -> None:
    assert Prepared(statement, driver_for("postgresql").dialect).writes is writes


# where the role may only read, and nobody has said so


async def test_a_role_that_may_only_read_is_told_of_the_setting(server: str, things: str) -> None:
    """`Auth(read_only=True)` was forgotten: an outage that names it, and reading goes on."""
    async with reader(server, things) as theirs, opened(theirs, read_only=False) as database:
        for name in ("insert", "update", "delete"):
            with pytest.raises(Unavailable, match=r"Auth\(read_only=True\)") as refused:
                await database.atomic(WRITES[name])
            assert not isinstance(refused.value, ReadOnly)
        assert await database.fetch(NAMES) == [{"name": "a"}]


@pytest.mark.parametrize("server", [server for server in SERVERS if server != "sqlite"])
async def test_a_role_that_may_not_even_read_is_told_what_it_needs(server: str, things: str) -> None:
    name = things.rpartition("/")[2]
    async with reader(server, things) as theirs:
        role = urlsplit(theirs).username
        if server == "postgresql":
            await run(server, f"REVOKE SELECT ON thing FROM {role}", name)
        else:
            await run(server, f"REVOKE SELECT ON {name}.* FROM {role}@'%'")
            await run(server, f"GRANT SELECT (id) ON {name}.thing TO {role}@'%'")
        async with opened(theirs) as database:
            with pytest.raises(Unavailable, match="grant it SELECT") as refused:
                await database.fetch(NAMES)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "postgresql"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_standby_is_read_and_told_of_the_setting(server: str, things: str, read_only: bool) -> None:
    """Every transaction only reads there, whatever the role may do."""
    async with reader(server, things) as theirs:
        role, name = urlsplit(theirs).username, urlsplit(theirs).path[1:]
        await run(
            server, f"GRANT ALL ON thing TO {role}; ALTER ROLE {role} SET default_transaction_read_only = on", name
        )
        async with opened(theirs, read_only=read_only) as database:
            assert await database.fetch(NAMES) == [{"name": "a"}]
            async with database.unit() as unit:
                assert await unit.rows(NAMES) == [{"name": "a"}]
            with pytest.raises(Unavailable, match=r"read_only=True"):
                await database.atomic(WRITES["update"])


# files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of SQLite that has one thing in it and is not in WAL mode; its name is no pleasure."""
    path = tmp_path / "a ?b#c%20d&é.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE thing (id integer PRIMARY KEY, name varchar(20))")
        connection.execute("INSERT INTO thing (id, name) VALUES (1, 'a')")
    connection.close()
    return path


def url_of(path: Path, query: str = "") -> str:
    escaped = re.sub("[%?#]", lambda found: f"%{ord(found[0]):02X}", str(path))
    return f"sqlite:///{escaped}{query}"


def engine_on(path: Path, query: str) -> Any:
    """`mode` is a part of the file's URI, in which a name is escaped."""
    options = {**dict(parse_qsl(query.removeprefix("?"))), "uri": "true"}
    url = URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path))}", query=options)
    return create_async_engine(url, poolclass=NullPool)


@pytest.mark.parametrize("query", ["?mode=ro", "?immutable=1", "?immutable=1&mode=ro&timeout=2"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_that_is_opened_read_only_stays_as_it_is(file: Path, query: str, read_only: bool) -> None:
    """Not in WAL mode, and without files beside it."""
    before = file.read_bytes()
    async with opened(url_of(file, query), read_only=read_only) as database:
        assert await database.fetch(NAMES) == [{"name": "a"}]
        with pytest.raises(Unavailable, match="read_only=True"):
            await database.atomic(WRITES["update"])
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("query", ["?mode=ro", "?immutable=1"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_an_engine_may_open_a_file_read_only(file: Path, query: str, read_only: bool) -> None:
    before, engine = file.read_bytes(), engine_on(file, query)
    async with opened(engine, read_only=read_only) as database:
        assert await database.fetch(NAMES) == [{"name": "a"}]
        with pytest.raises(Unavailable, match="read_only=True"):
            await database.atomic(WRITES["update"])
    assert file.read_bytes() == before


async def test_without_a_word_in_the_url_a_reader_leaves_the_file_as_it_is(file: Path) -> None:
    before = file.read_bytes()
    async with opened(url_of(file)) as database:
        assert await database.fetch(NAMES) == [{"name": "a"}]
    assert file.read_bytes() == before
    database_of_theirs = databases.Database(url_of(file))
    async with opened(database_of_theirs) as database:
        assert await database.fetch(NAMES) == [{"name": "a"}]
    assert file.read_bytes() == before


async def test_a_reader_does_not_make_the_file_that_is_missing(tmp_path: Path) -> None:
    """A slip in the path is told at the start, and no blank database left in its place."""
    with pytest.raises(Unavailable, match="the file cannot be opened"):
        await Database(f"sqlite:///{tmp_path / 'nowhere.db'}", read_only=True).connect()
    await asyncio.to_thread(_end_of_threads)
    assert list(tmp_path.iterdir()) == []


def _end_of_threads() -> None:
    """That of aiosqlite still tells the event loop that it ends, where a file could not be opened."""
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join()


async def test_a_file_that_another_process_writes_is_read_beside_it(sqlite_url: str) -> None:
    """WAL: the reader sees each commit at once."""
    async with connected(sqlite_url) as writing, opened(sqlite_url) as database:
        names = select(writing.tables.user.c.username)
        assert await database.fetch(names) == []
        await writing.users.create("ann", password=None)
        assert await database.fetch(names) == [{"username": "ann"}]


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A file in WAL mode in a directory where nobody may write, root neither: it becomes somebody else for the test."""
    directory = Path(tempfile.mkdtemp())
    file = directory / "app.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE thing (id integer PRIMARY KEY, name varchar(20))")
        connection.execute("INSERT INTO thing (id, name) VALUES (1, 'a')")
    connection.close()
    file.chmod(0o444)
    directory.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield file
    os.seteuid(user)
    directory.chmod(0o755)
    file.unlink()
    directory.rmdir()


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_in_wal_mode_where_nothing_may_be_written_is_told_the_cure(
    unwritable: Path, read_only: bool
) -> None:
    with pytest.raises(Unavailable, match=r"\?immutable=1"):
        async with opened(f"sqlite:///{unwritable}", read_only=read_only) as database:
            await database.fetch(NAMES)
    async with opened(f"sqlite:///{unwritable}?immutable=1", read_only=read_only) as database:
        assert await database.fetch(NAMES) == [{"name": "a"}]
