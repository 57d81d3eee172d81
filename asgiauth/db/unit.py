"""A unit of work: one transaction on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import Table

from ..exceptions import Conflict, ReadOnly, Unavailable
from .commit import Work
from .drivers import Done, Driver, Fetched, LostConnection, SerializationFailure
from .sources import Lease
from .statement import Arguments, Prepared, Row, Statement, computed

__all__ = ["TOO_SLOW", "Unit", "deadline_from_now", "translated_by"]

T = TypeVar("T")

STATEMENT_TIMEOUT = 5.0
"""Seconds that a statement, or getting a connection, may take before it counts as `Unavailable` (D-23)."""
_CUT_OFF = "a statement of this unit of work was cut off: nothing of it is kept"
TOO_SLOW = "the database does not answer in time"


class Unit:
    """A unit of work: one transaction, or a savepoint in one. Statements run one after the other."""

    def __init__(
        self,
        driver: Driver,
        lease: Lease,
        *,
        json_is_text: bool,
        read_only: bool = False,
        task: asyncio.Task[Any] | None,
        deadline: float | None = None,
    ) -> None:
        self._driver = driver
        self.deadline = deadline
        """When its statements must be done, in the event loop's time; None: each has STATEMENT_TIMEOUT for itself."""
        self._json_is_text = json_is_text
        self.read_only = read_only
        """What would write raises `ReadOnly`."""
        self._names = count(1)
        self.lease = lease
        self.task = task
        self.interrupted = False
        """A statement was cut off: what it did is unknown, so this unit must not be committed."""
        self.unusable = False
        """The connection cannot even roll back."""
        self._failed = False
        """A statement failed, and nothing was rolled back since: PostgreSQL would answer COMMIT with a rollback."""
        self.depth = 0
        """How many savepoints of ours are open in it."""
        self.works: list[Work] = []
        """What waits until all this is durable."""

    @property
    def dialect(self) -> str:
        """`sqlite`, `postgresql` or `mysql`."""
        return self._driver.dialect.name

    async def rows(self, statement: Statement | Prepared, /, **parameters: Any) -> list[Row]:
        """All rows, as dictionaries."""
        prepared = self._prepare(statement)
        return prepared.rows(await self.fetch(*prepared.bind(parameters)), json_is_text=self._json_is_text)

    async def fetch(self, sql: str, arguments: Arguments) -> Fetched:
        """The driver's own rows."""
        return await self._run(lambda: self._driver.fetch(self.lease.raw, sql, arguments))

    async def row(self, statement: Statement | Prepared, /, **parameters: Any) -> Row | None:
        """The first row, or None."""
        rows = await self.rows(statement, **parameters)
        return rows[0] if rows else None

    async def insert(self, table: Table, values: Mapping[str, Any]) -> Any:
        """Inserts one row, with the columns' own defaults, and returns its primary key."""
        values = {**_defaults(table, values), **values}
        statement = table.insert().values(values)
        (key,) = table.primary_key
        if self.dialect == "postgresql":
            statement = statement.returning(key)
        done = await self.execute(statement)
        return values.get(key.key, done.key)

    async def changed(self, statement: Statement | Prepared, /, **parameters: Any) -> int:
        """Runs an UPDATE or DELETE and returns how many rows it matched: exactly, on every server."""
        return (await self.execute(statement, **parameters)).matched

    async def execute(self, statement: Statement | Prepared, /, **parameters: Any) -> Done:
        """Runs a statement that returns no rows, and tells what the driver tells of it."""
        sql, arguments = self._prepare(statement).bind(parameters)
        return await self._run(lambda: self._driver.execute(self.lease.raw, sql, arguments))

    async def text(self, sql: str) -> None:
        """Runs SQL text that has no parameters, such as DDL."""
        if self.read_only:
            raise ReadOnly
        await self._say(sql)

    async def begin(self) -> str:
        """Opens a transaction, or a savepoint where the application has one open; returns the savepoint's name."""
        if self.lease.in_transaction:
            return await self.savepoint()
        await self._say(self._driver.begin)
        return ""

    async def savepoint(self) -> str:
        name = f"asgiauth_{next(self._names)}"
        await self._say(f"SAVEPOINT {name}")
        return name

    async def keep(self, savepoint: str = "") -> None:
        """Commits, or takes everything back when that is not possible."""
        try:
            await self._commit(savepoint)
        except BaseException:
            await self.rollback(savepoint)
            raise

    async def _commit(self, savepoint: str) -> None:
        if self._failed and not self.interrupted:
            raise Conflict("other", "an earlier statement failed: put what may fail into a unit of its own")
        await self._say(f"RELEASE SAVEPOINT {savepoint}" if savepoint else "COMMIT")

    async def rollback(self, savepoint: str = "") -> None:
        """Never raises: it must not hide the error that led here."""
        if self.unusable and not self.lease.in_transaction:
            return
        try:
            await self._end(f"ROLLBACK TO SAVEPOINT {savepoint}" if savepoint else "ROLLBACK")
            if savepoint:
                await self._end(f"RELEASE SAVEPOINT {savepoint}")
            self._failed = False
        except Exception:  # noqa: BLE001  whatever it is, the connection is thrown away
            self.unusable = True

    def _prepare(self, statement: Statement | Prepared) -> Prepared:
        prepared = statement if isinstance(statement, Prepared) else Prepared(statement, self._driver.dialect)
        if self.read_only and prepared.writes:
            raise ReadOnly
        return prepared

    async def _say(self, sql: str) -> None:
        await self._run(lambda: self._driver.execute(self.lease.raw, sql, None))

    async def _run(self, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self.interrupted:
            raise Unavailable(_CUT_OFF)
        return await self._attempt(run)

    async def _end(self, sql: str) -> None:
        await self._attempt(lambda: self._driver.execute(self.lease.raw, sql, None))

    async def _attempt(self, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        sent = False
        try:
            async with asyncio.timeout_at(self.deadline or deadline_from_now()), self.lease.statement_lock:
                sent = True
                return await run()
        except asyncio.CancelledError:
            self._cut_off(usable=self._driver.survives_cancellation or not sent)
            raise
        except TimeoutError:
            self._cut_off(usable=self.dialect == "sqlite" or not sent)
            raise Unavailable(TOO_SLOW) from None
        except Exception as error:
            self._failed = True
            translated = translated_by(self._driver, error)
            if isinstance(translated, (LostConnection, asyncio.CancelledError)):
                self._cut_off(usable=False)
            if isinstance(translated, SerializationFailure):
                self._cut_off(usable=True)  # MariaDB has ended the transaction: what follows would stand alone
            if translated is error:
                raise
            raise translated from None

    def _cut_off(self, *, usable: bool) -> None:
        self.interrupted = True
        self.unusable = self.unusable or not usable


def translated_by(driver: Driver, error: Exception) -> BaseException:
    original: Exception = getattr(error, "orig", None) or error  # SQLAlchemy wraps what happens when it connects
    translated = driver.translate(original)
    return error if translated is original else translated


def deadline_from_now() -> float:
    return asyncio.get_running_loop().time() + STATEMENT_TIMEOUT


def _defaults(table: Table, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `Column(default=...)`, known beforehand because one may be the primary key."""
    defaults: dict[str, Any] = {}
    for column in table.columns:
        default: Any = column.default
        if column.key not in given and default is not None and not default.is_sequence:
            defaults[column.key] = computed(default)
    return defaults
