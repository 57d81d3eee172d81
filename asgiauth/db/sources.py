"""Where connections come from: a `databases.Database`, an SQLAlchemy `AsyncEngine`, or an open session of the
application. Each hands out the raw connection of the driver, so that one implementation runs every statement."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import databases
from sqlalchemy import Dialect
from sqlalchemy.pool import StaticPool

from ..exceptions import ConfigurationError
from .commit import Work, watch_connection, when_committed
from .drivers import Driver, LostConnection, driver_for
from .shield import finish
from .statement import Arguments
from .url import database_from_url

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

__all__ = ["Lease", "Source", "is_sqlalchemy", "join", "source_for"]


class Lease(Protocol):
    """A raw connection that no other unit of work uses until it is released."""

    in_transaction: bool
    """A transaction of the application is open on it: work in a savepoint."""

    @property
    def raw(self) -> Any: ...
    @property
    def statement_lock(self) -> AbstractAsyncContextManager[Any]:
        """Held for each statement, where the application may use the connection at the same time."""

    def deferred(self, work: Work) -> bool:
        """Whether `work` was left to the application's COMMIT; False: what was done here is durable."""

    async def release(self, *, broken: bool) -> None:
        """Gives it back, also when the caller is cancelled meanwhile; a broken one is closed."""


class Source(Protocol):
    driver: Driver
    json_is_text: bool

    async def connect(self) -> None: ...
    async def disconnect(self) -> None: ...
    def opener(self, *, reading: bool = False) -> Callable[[], Awaitable[Lease]]:
        """What acquires a connection for the task that asks; another task may then run it. `reading`: for a single read
        outside any unit of work."""

    def is_borrowed(self) -> bool:
        """Would this task be given a connection on which the application has a transaction open?"""

    def reader(self) -> Any:
        """A raw connection that takes reads from every task at once, if there is one."""


def source_for(database: object) -> Source:
    """Raises `ConfigurationError` for what is neither a URL, a `databases.Database` nor an `AsyncEngine`."""
    if isinstance(database, str):
        return _databases_source(database_from_url(database))
    if isinstance(database, databases.Database):
        return _databases_source(database)
    if is_sqlalchemy(database, "AsyncEngine"):
        return EngineSource(database)  # type: ignore[arg-type]  # recognised by name: importing the type needs greenlet
    raise ConfigurationError(
        f"a database URL, a databases.Database or an SQLAlchemy AsyncEngine is needed, not {type(database).__name__}"
    )


def is_sqlalchemy(value: object, name: str) -> bool:
    """Is it an instance of that class of `sqlalchemy.ext.asyncio`? Asked without importing it."""
    return any(c.__name__ == name and c.__module__.startswith("sqlalchemy.ext.asyncio") for c in type(value).__mro__)


def _databases_source(database: databases.Database) -> Source:
    backend = type(database._backend).__module__.rpartition(".")[2]
    if backend == "sqlite":
        return SqliteSource(database)
    if backend in ("asyncpg", "postgres"):
        return PoolSource(database, driver_for("postgresql"))
    if backend == "asyncmy":
        return PoolSource(database, driver_for("mysql"))
    raise ConfigurationError(
        f"databases.Database on {backend!r} is not supported: use sqlite://, postgresql:// or mysql+asyncmy://"
    )


_NO_LOCK = nullcontext()
_PATIENCE = 2000
"""Milliseconds that SQLite waits while another process writes: less than STATEMENT_TIMEOUT."""


class _Lease:
    def deferred(self, work: Work) -> bool:
        return False


@dataclass
class _PoolLease(_Lease):
    connection: Any
    driver: Driver
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = _NO_LOCK

    @property
    def raw(self) -> Any:
        return self.connection.raw_connection

    async def release(self, *, broken: bool) -> None:
        if broken:
            with suppress(Exception):  # asyncpg has taken a lost one back by itself
                self.driver.discard(self.raw)
        await self.connection.release()


@dataclass
class _BorrowedLease:
    """The connection on which the application has a transaction of `databases` open."""

    connection: Any
    statement_lock: asyncio.Lock
    unit_lock: asyncio.Lock
    is_everybodys: bool
    in_transaction: bool = True

    @property
    def raw(self) -> Any:
        return self.connection.raw_connection

    def deferred(self, work: Work) -> bool:
        return when_committed(self.connection, work, below=int(self.is_everybodys))

    async def release(self, *, broken: bool) -> None:
        self.unit_lock.release()


async def _borrow(connection: Any, unit_lock: asyncio.Lock, *, is_everybodys: bool) -> Lease:
    await unit_lock.acquire()
    return _BorrowedLease(connection, connection._query_lock, unit_lock, is_everybodys)


class PoolSource:
    """`databases.Database`, used for its pool and its open transactions alone: its own execute() loses connections
    when it is cancelled, ignores column defaults and has no row counts."""

    json_is_text = True

    def __init__(self, database: databases.Database, driver: Driver) -> None:
        self.database = database
        self.driver = driver
        self._connected_here = False

    async def connect(self) -> None:
        self._global_lock = asyncio.Lock()
        self._connected_here = not self.database.is_connected
        await self.database.connect()

    async def disconnect(self) -> None:
        if self._connected_here:
            await self.database.disconnect()

    def opener(self, *, reading: bool = False) -> Callable[[], Awaitable[Lease]]:
        borrowed = self._borrowed()
        if borrowed is None:
            return self._own
        # force_rollback: one connection for all tasks, whose units must not mix; else it is this task's alone
        everybodys = borrowed is self.database._global_connection
        lock = self._global_lock if everybodys else asyncio.Lock()
        return partial(_borrow, borrowed, lock, is_everybodys=everybodys)

    def reader(self) -> Any:
        return None

    def is_borrowed(self) -> bool:
        return self._borrowed() is not None

    def _borrowed(self) -> Any:
        """`Database(force_rollback=True)`, or `async with database.transaction()` around us in this task."""
        connection = self.database._global_connection or self.database._connection
        return connection if connection is not None and connection._transaction_stack else None

    async def _own(self) -> Lease:
        connection = self.database._backend.connection()
        await connection.acquire()
        return _PoolLease(connection, self.driver)


@dataclass
class _HeldLease(_Lease):
    source: SqliteSource
    raw: Any
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = _NO_LOCK

    async def release(self, *, broken: bool) -> None:
        if broken:
            await self.source.close()
        self.source.free.release()


class SqliteSource(PoolSource):
    """Two connections kept open, because `databases` opens a file and a thread for each query: one that writes, a unit
    of work at a time, and one that reads beside it (WAL)."""

    def __init__(self, database: databases.Database) -> None:
        super().__init__(database, driver_for("sqlite"))
        self._held: list[Any] = []

    async def connect(self) -> None:
        await super().connect()
        self.free = asyncio.Lock()
        self._disconnected = False
        if self.database._global_connection is None:
            await self.open()

    async def disconnect(self) -> None:
        self._disconnected = True
        await self.close()
        await super().disconnect()

    async def open(self) -> None:
        while len(self._held) < 2:
            connection = self.database._backend.connection()
            await connection.acquire()
            self._held.append(connection)
            for pragma in (f"busy_timeout={_PATIENCE}", "synchronous=NORMAL", "foreign_keys=ON"):
                await self.driver.fetch(connection.raw_connection, f"PRAGMA {pragma}", Arguments())
            await self._write_ahead(connection.raw_connection)

    async def _write_ahead(self, raw: Any) -> None:
        """SQLite does not wait for its busy timeout here, when several processes start on one file."""
        while True:
            try:
                await self.driver.fetch(raw, "PRAGMA journal_mode=WAL", Arguments())
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                await asyncio.sleep(0.02)
            else:
                break

    async def close(self) -> None:
        while self._held:
            with suppress(Exception):
                await self._held.pop().release()

    def reader(self) -> Any:
        return self._held[1].raw_connection if len(self._held) == 2 and self._borrowed() is None else None

    async def _own(self) -> Lease:
        await self.free.acquire()
        if self._disconnected:  # while this unit waited
            self.free.release()
            raise LostConnection("the database is disconnected")
        try:
            await self.open()
        except BaseException:
            await self.close()
            self.free.release()
            raise
        return _HeldLease(self, self._held[0].raw_connection)


@dataclass
class _EngineLease(_Lease):
    connection: AsyncConnection
    raw: Any
    driver: Driver
    unit_lock: AbstractAsyncContextManager[Any]
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = _NO_LOCK

    async def release(self, *, broken: bool) -> None:
        await finish(self._release(broken=broken))

    async def _release(self, *, broken: bool) -> None:
        try:
            if broken:
                with suppress(Exception):  # at once: SQLAlchemy would wait for a server that hangs to say goodbye
                    self.driver.discard(self.raw)
                await self.connection.invalidate()
            await self.connection.close()
        finally:
            await self.unit_lock.__aexit__(None, None, None)


class EngineSource:
    """An SQLAlchemy engine, used for its pool: its statements, and its log of them, are passed by."""

    json_is_text = False

    def __init__(self, engine: AsyncEngine) -> None:
        _check_driver(engine.dialect)
        self.engine = engine
        self.driver = driver_for(engine.dialect.name.replace("mariadb", "mysql"))

    async def connect(self) -> None:
        # writers queue here: polling SQLite's file lock is slow and unfair
        self._unit_lock: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.driver.dialect.name == "sqlite" else nullcontext()
        )
        await (await self._acquire(self._unit_lock)).release(broken=False)

    async def disconnect(self) -> None:
        """The engine is the application's to dispose of."""

    def opener(self, *, reading: bool = False) -> Callable[[], Awaitable[Lease]]:
        # a pool of one connection for everybody, as SQLAlchemy makes for `:memory:`: giving it back would end the unit
        alone = isinstance(self.engine.pool, StaticPool)
        return partial(self._acquire, nullcontext() if reading and not alone else self._unit_lock)

    async def _acquire(self, unit_lock: AbstractAsyncContextManager[Any]) -> Lease:
        await unit_lock.__aenter__()
        try:
            connection = await self.engine.connect()
            raw = (await connection.get_raw_connection()).driver_connection
        except BaseException:
            await unit_lock.__aexit__(None, None, None)
            raise
        return _EngineLease(connection, raw, self.driver, unit_lock)

    def is_borrowed(self) -> bool:
        return False

    def reader(self) -> Any:
        return None


@dataclass
class JoinedLease(_Lease):
    """The application's `AsyncSession` or `AsyncConnection`, in its own transaction."""

    target: Any
    connection: AsyncConnection
    raw: Any
    in_transaction: bool = True
    statement_lock: AbstractAsyncContextManager[Any] = _NO_LOCK

    async def catch_up(self) -> None:
        """A session sends the SAVEPOINT of `begin_nested()` with its next statement, and does not see ours."""
        if self.target is not self.connection:
            await self.target.connection()

    def watch(self, works: list[Work], tell: Work) -> None:
        """Calls `tell` after each commit; a rollback empties `works`."""
        watch_connection(self.connection.sync_connection, works, tell)

    async def release(self, *, broken: bool) -> None:
        """It stays the application's."""


async def join(target: AsyncSession | AsyncConnection, driver: Driver) -> JoinedLease:
    """Flushes a session, makes sure that a transaction is open, and hands out the connection it is open on.

    Raises `ConfigurationError` for anything else, and for a connection to another kind of server.
    """
    is_session = is_sqlalchemy(target, "AsyncSession") or is_sqlalchemy(target, "async_scoped_session")
    if not is_session and not is_sqlalchemy(target, "AsyncConnection"):
        raise ConfigurationError(
            f"joined() takes an SQLAlchemy AsyncSession or AsyncConnection, not {type(target).__name__}"
        )
    work: Any = target
    dialect = (work.get_bind() if is_session else work).dialect
    _check_driver(dialect)
    if dialect.name.replace("mariadb", "mysql") != driver.dialect.name:
        raise ConfigurationError(
            f"joined() got a connection to {dialect.name}, but Auth was built for {driver.dialect.name}"
        )
    if is_session:
        await work.flush()
    connection = await work.connection() if is_session else work
    await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy sends BEGIN with the first statement
    raw = (await connection.get_raw_connection()).driver_connection
    if driver.dialect.name == "sqlite" and not raw.in_transaction:
        await raw.execute(driver.begin)  # pysqlite begins later still, and an outermost savepoint would commit itself
    _check_transaction(driver, raw)
    return JoinedLease(work, connection, raw)


def _check_transaction(driver: Driver, raw: Any) -> None:
    if driver.dialect.name == "mysql" and raw.get_autocommit():
        raise ConfigurationError("joined() got a connection in AUTOCOMMIT: there is no transaction to join")


def _check_driver(dialect: Dialect) -> None:
    if dialect.driver not in ("aiosqlite", "asyncpg", "asyncmy"):
        raise ConfigurationError(
            f"the driver {dialect.driver!r} is not supported: use sqlite+aiosqlite, postgresql+asyncpg or mysql+asyncmy"
        )
