"""A connection that the application has open: its `AsyncSession` or `AsyncConnection`, in its own transaction."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigurationError
from .commit import Work, watch_connection
from .drivers import Driver
from .sources import NO_LOCK, PlainLease, check_driver, is_sqlalchemy

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

__all__ = ["JoinedLease", "join"]


@dataclass
class JoinedLease(PlainLease):
    """The application's `AsyncSession` or `AsyncConnection`, in its own transaction."""

    target: Any
    connection: AsyncConnection
    raw: Any
    in_transaction: bool = True
    statement_lock: AbstractAsyncContextManager[Any] = NO_LOCK

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
    check_driver(dialect)
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
