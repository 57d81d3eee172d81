"""The one seam through which every statement goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import NotReady, ReadOnly, Unavailable
from .commit import Work
from .drivers import LostConnection, SerializationFailure
from .joined import JoinedLease, join
from .shield import finish
from .sources import Lease, source_for
from .statement import Arguments, Prepared, Row, Statement
from .unit import TOO_SLOW, Unit, deadline_from_now, translated_by

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

__all__ = ["Database"]

logger = logging.getLogger("asgiauth")

T = TypeVar("T")

_RECONNECTS = 20
"""Dead connections of a pool that are thrown away in a row, after a restart of the server, before giving up."""
_ATTEMPTS = 3
"""How often a unit that met a deadlock is run in all (D-23)."""


class Database:
    """The seam over a database URL, a `databases.Database` or an SQLAlchemy `AsyncEngine`. With `read_only` whatever
    would write, or lock rows to do so, raises `ReadOnly` instead of reaching the server."""

    def __init__(self, database: object, *, read_only: bool = False) -> None:
        self._source = source_for(database, read_only=read_only)
        self.read_only = read_only
        self._driver = self._source.driver
        self._unit: ContextVar[Unit | None] = ContextVar("asgiauth_unit", default=None)
        self.connected = False
        self.shared_with_django = False
        """Whether Django uses it, too: `Auth` says so once it is connected, and who does otherwise then asks here."""

    @property
    def dialect(self) -> str:
        """`sqlite`, `postgresql` or `mysql`."""
        return self._driver.dialect.name

    async def connect(self) -> None:
        """Raises `Unavailable` when the server cannot be reached."""
        try:
            await self._guarded(self._source.connect())
        except BaseException:
            await finish(self._source.disconnect())
            raise
        self.connected = True

    async def disconnect(self) -> None:
        self.connected = False
        await finish(self._source.disconnect())

    def check_writable(self) -> None:
        """For what costs something before it writes. Raises `ReadOnly`."""
        if self.read_only:
            raise ReadOnly

    def prepare(self, statement: Statement) -> Prepared:
        """Compiles a statement that will run often, with `bindparam()` where its values go."""
        return Prepared(statement, self._driver.dialect)

    async def fetch(self, statement: Statement | Prepared, /, **parameters: Any) -> list[Row]:
        """Reads, in the unit of work that this task has open or else outside any transaction: the hot path."""
        if (unit := self._current()) is not None:
            await _catch_up(unit)
            return await unit.rows(statement, **parameters)
        prepared = statement if isinstance(statement, Prepared) else self.prepare(statement)
        if self.read_only and prepared.writes:
            raise ReadOnly
        sql, arguments = prepared.bind(parameters)
        return prepared.rows(await self._read(sql, arguments), json_is_text=self._source.json_is_text)

    async def fetch_one(self, statement: Statement | Prepared, /, **parameters: Any) -> Row | None:
        rows = await self.fetch(statement, **parameters)
        return rows[0] if rows else None

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """One transaction, committed at the end and rolled back by an exception; inside another one, a savepoint.

        Cancellation at any point loses no connection, and a COMMIT that has begun is finished. A unit belongs to the
        task that opened it. Nothing slow belongs inside: no hashing, mail, HTTP or sleep.
        """
        outer = self._current()
        if outer is not None:
            async with self._nested(outer):
                yield outer
            return
        unit, savepoint = await finish(self._begin(), undo=self._end)
        token = self._unit.set(unit)
        try:
            yield unit
        except BaseException:
            await finish(self._end((unit, savepoint)))
            raise
        else:
            await finish(self._commit(unit, savepoint))
        finally:
            self._unit.reset(token)

    async def within(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Runs `work(unit)` in the unit of work that this task has open, or else as one of its own."""
        unit = self._current()
        is_ours = unit is not None and (unit.depth or not isinstance(unit.lease, JoinedLease))
        return await (work(unit) if unit is not None and is_ours else self.atomic(work))

    async def after_commit(self, work: Work) -> None:
        """Runs `work` once the unit of work that is open is durable, before the call that opened it returns, and never
        if it is rolled back; without one, now. An exception in it is logged: what was done cannot be undone."""
        unit = self._current()
        if unit is None:
            await self._tell([work])
        else:
            unit.works.append(work)

    async def _tell(self, works: list[Work]) -> None:
        due, works[:] = list(works), []
        token = self._unit.set(None)  # the application may commit inside of joined(): that transaction is over
        try:
            for work in due:
                try:
                    await work()
                except Exception:
                    logger.exception("what was to happen after a commit has failed")
        finally:
            self._unit.reset(token)

    async def atomic(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Runs `work(unit)` as one unit, anew when the server sacrificed it to a deadlock: so it must change nothing
        but the database. Raises `Unavailable` when that happened three times."""
        attempts = 1 if self._current() is not None or self._source.is_borrowed() else _ATTEMPTS
        while True:
            attempts -= 1
            try:
                async with self.unit() as unit:
                    return await work(unit)
            except SerializationFailure:
                if not attempts:
                    raise

    @asynccontextmanager
    async def joined(self, target: AsyncSession | AsyncConnection) -> AsyncIterator[None]:
        """Units of this task run in savepoints of the application's own transaction, which stays its own to end."""
        self._check_connected()
        lease = await join(target, self._driver)
        unit = self._new_unit(lease, asyncio.current_task())
        lease.watch(unit.works, partial(self._tell, unit.works))
        token = self._unit.set(unit)
        try:
            yield
        finally:
            self._unit.reset(token)

    @property
    def has_unit(self) -> bool:
        """Has this task a unit of work open, or is it inside a `joined()` block?"""
        return self._current() is not None

    @property
    def is_joined(self) -> bool:
        """Is this task inside a `joined()` block?"""
        unit = self._current()
        return unit is not None and isinstance(unit.lease, JoinedLease)

    def _current(self) -> Unit | None:
        unit = self._unit.get()
        return unit if unit is not None and unit.task is asyncio.current_task() else None

    def _check_connected(self) -> None:
        if not self.connected:
            raise NotReady(
                "the database is not connected: work inside `async with auth:`, or give the application "
                "lifespan=auth.lifespan"
            )

    def _begin(self) -> Coroutine[Any, Any, tuple[Unit, str]]:
        """Prepared in the task that opens the unit, run in another one that is not cancelled."""
        self._check_connected()
        open_lease, task = self._source.opener(), asyncio.current_task()

        reconnects = 0 if self._source.is_borrowed() else _RECONNECTS
        deadline = deadline_from_now()

        async def begin() -> tuple[Unit, str]:
            nonlocal reconnects
            while True:
                unit = self._new_unit(await self._guarded(open_lease(), deadline), task, deadline)
                try:
                    savepoint = await unit.begin()
                except BaseException as error:
                    unit.deadline = None
                    if unit.interrupted:  # SQLite may have begun nevertheless
                        await unit.rollback()
                    await unit.lease.release(broken=unit.unusable)
                    if not isinstance(error, LostConnection) or not reconnects:
                        raise
                    reconnects -= 1
                else:
                    unit.deadline = None
                    return unit, savepoint

        return begin()

    async def _commit(self, unit: Unit, savepoint: str) -> None:
        await self._end((unit, savepoint), commit=True)
        tell = partial(self._tell, unit.works)
        if unit.works and not unit.lease.deferred(tell):
            await tell()

    async def _end(self, opened: tuple[Unit, str], *, commit: bool = False) -> None:
        unit, savepoint = opened
        try:
            if commit:
                await unit.keep(savepoint)
            else:
                await unit.rollback(savepoint)
        finally:
            await unit.lease.release(broken=unit.unusable)

    @asynccontextmanager
    async def _nested(self, outer: Unit) -> AsyncIterator[None]:
        await _catch_up(outer)
        savepoint, waiting = await outer.savepoint(), len(outer.works)
        outer.depth += 1
        try:
            yield
        except BaseException:
            del outer.works[waiting:]
            await finish(outer.rollback(savepoint))
            raise
        else:
            await finish(outer.keep(savepoint))
        finally:
            outer.depth -= 1

    async def _read(self, sql: str, arguments: Arguments) -> Any:
        self._check_connected()
        raw = self._source.reader()
        if raw is not None:
            return await self._guarded(self._driver.fetch(raw, sql, arguments))
        open_lease, task, deadline = self._source.opener(reading=True), asyncio.current_task(), deadline_from_now()
        reconnects = 0 if self._source.is_borrowed() else _RECONNECTS
        while True:
            lease = await finish(self._guarded(open_lease(), deadline), undo=_release)
            unit = self._new_unit(lease, task, deadline)
            try:
                return await unit.fetch(sql, arguments)
            except LostConnection:
                if not reconnects:
                    raise
                reconnects -= 1
            finally:
                await unit.lease.release(broken=unit.unusable)

    def _new_unit(self, lease: Lease, task: asyncio.Task[Any] | None, deadline: float | None = None) -> Unit:
        is_text = self._source.json_is_text and not isinstance(lease, JoinedLease)
        return Unit(self._driver, lease, json_is_text=is_text, read_only=self.read_only, task=task, deadline=deadline)

    async def _guarded(self, work: Awaitable[T], deadline: float | None = None) -> T:
        try:
            async with asyncio.timeout_at(deadline or deadline_from_now()):
                return await work
        except TimeoutError:
            raise Unavailable(TOO_SLOW) from None
        except Exception as error:
            translated = translated_by(self._driver, error)
            if translated is error:
                raise
            raise translated from None


async def _catch_up(unit: Unit) -> None:
    if isinstance(unit.lease, JoinedLease) and not unit.depth:
        await unit.lease.catch_up()


async def _release(lease: Lease) -> None:
    await lease.release(broken=False)
