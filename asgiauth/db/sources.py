"""Where connections come from: a `databases.Database` or an SQLAlchemy `AsyncEngine`. Each hands out the raw connection
of the driver, so that one implementation runs every statement."""

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
from .commit import Work, when_committed
from .drivers import Driver, LostConnection, driver_for
from .shield import finish
from .statement import Arguments
from .url import database_from_url

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ["NO_LOCK", "Lease", "PlainLease", "Source", "check_driver", "is_sqlalchemy", "source_for"]


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


def source_for(database: object, *, read_only: bool = False) -> Source:
    """`read_only`: what it begins only reads, and a URL opens a file of SQLite so that nobody could write to it. Raises
    `ConfigurationError` for what is neither a URL, a `databases.Database` nor an `AsyncEngine`."""
    if isinstance(database, str):
        return _databases_source(database_from_url(database, read_only=read_only), read_only=read_only)
    if isinstance(database, databases.Database):
        return _databases_source(database, read_only=read_only)
    if is_sqlalchemy(database, "AsyncEngine"):
        return EngineSource(database, read_only=read_only)  # type: ignore[arg-type]  # recognised by name: importing the type needs greenlet
    raise ConfigurationError(
        f"a database URL, a databases.Database or an SQLAlchemy AsyncEngine is needed, not {type(database).__name__}"
    )


def is_sqlalchemy(value: object, name: str) -> bool:
    """Is it an instance of that class of `sqlalchemy.ext.asyncio`? Asked without importing it."""
    return any(c.__name__ == name and c.__module__.startswith("sqlalchemy.ext.asyncio") for c in type(value).__mro__)


def _databases_source(database: databases.Database, *, read_only: bool) -> Source:
    backend = type(database._backend).__module__.rpartition(".")[2]
    if backend == "sqlite":
        return SqliteSource(database, read_only=read_only)
    if backend in ("asyncpg", "postgres"):
        return PoolSource(database, driver_for("postgresql", read_only=read_only))
    if backend == "asyncmy":
        return PoolSource(database, driver_for("mysql", read_only=read_only))
    raise ConfigurationError(
        f"databases.Database on {backend!r} is not supported: use sqlite://, postgresql:// or mysql+asyncmy://"
    )


NO_LOCK = nullcontext()
_PATIENCE = 2000
"""Milliseconds that SQLite waits while another process writes: less than STATEMENT_TIMEOUT."""


class PlainLease:
    """A lease without a transaction of the application's to wait for."""

    def deferred(self, work: Work) -> bool:
        return False


@dataclass
class _PoolLease(PlainLease):
    connection: Any
    driver: Driver
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = NO_LOCK

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
class _HeldLease(PlainLease):
    source: SqliteSource
    raw: Any
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = NO_LOCK

    async def release(self, *, broken: bool) -> None:
        if broken:
            await self.source.close()
        self.source.free.release()


class SqliteSource(PoolSource):
    """Two connections kept open, because `databases` opens a file and a thread for each query: one that writes, a unit
    of work at a time, and one that reads beside it (WAL)."""

    def __init__(self, database: databases.Database, *, read_only: bool) -> None:
        super().__init__(database, driver_for("sqlite", read_only=read_only))
        self._held: list[Any] = []
        self._read_only = read_only

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
            writing = ["query_only=ON"] if self._read_only else ["synchronous=NORMAL", "foreign_keys=ON"]
            for pragma in (f"busy_timeout={_PATIENCE}", *writing):
                await self.driver.fetch(connection.raw_connection, f"PRAGMA {pragma}", Arguments())
            if not self._read_only:
                await self._write_ahead(connection.raw_connection)

    async def _write_ahead(self, raw: Any) -> None:
        """SQLite does not wait for its busy timeout here, when several processes start on one file. A file that is
        read-only stays as it is."""
        while True:
            try:
                await self.driver.fetch(raw, "PRAGMA journal_mode=WAL", Arguments())
            except sqlite3.OperationalError as error:
                code = error.sqlite_errorcode & 0xFF
                if code == sqlite3.SQLITE_READONLY:
                    break
                if code != sqlite3.SQLITE_BUSY:
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
class _EngineLease(PlainLease):
    connection: AsyncConnection
    raw: Any
    driver: Driver
    unit_lock: AbstractAsyncContextManager[Any]
    in_transaction: bool = False
    statement_lock: AbstractAsyncContextManager[Any] = NO_LOCK

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

    def __init__(self, engine: AsyncEngine, *, read_only: bool) -> None:
        check_driver(engine.dialect)
        self.engine = engine
        self.driver = driver_for(engine.dialect.name.replace("mariadb", "mysql"), read_only=read_only)

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


def check_driver(dialect: Dialect) -> None:
    if dialect.driver not in ("aiosqlite", "asyncpg", "asyncmy"):
        raise ConfigurationError(
            f"the driver {dialect.driver!r} is not supported: use sqlite+aiosqlite, postgresql+asyncpg or mysql+asyncmy"
        )
