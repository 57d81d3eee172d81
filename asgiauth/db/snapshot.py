"""Somebody else's database, which is only read: opened read-only, in one transaction that sees one moment of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ..exceptions import Unavailable
from .seam import Database
from .sources import Lease, Source, source_for
from .statement import Arguments
from .unit import TOO_SLOW, Unit, deadline_from_now, translated_by

__all__ = ["columns_of", "is_database_of", "snapshot"]

_BEGIN = {
    "sqlite": ["BEGIN"],
    "postgresql": ["BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"],
    "mysql": [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ],
}
_FILE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
_COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info(?)",
    "postgresql": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = $1",
    "mysql": "SELECT column_name FROM information_schema.columns WHERE table_schema = database() AND table_name = %s",
}


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Unit]:
    """For reading alone: a unit that sees what was committed when it began. The server refuses whatever would write.

    Raises `ConfigurationError` for a URL that cannot be honoured, `NotReady` where the server refuses us, and
    `Unavailable` where it cannot be reached. None of them repeats the URL.
    """
    source = source_for(url, read_only=True)
    try:
        lease = await _guarded(source)
        unit = Unit(source.driver, lease, json_is_text=True, task=None)
        try:
            for statement in _BEGIN[unit.dialect]:
                await unit.text(statement)
            yield unit
        finally:
            await unit.rollback()
            await lease.release(broken=unit.unusable)
    finally:
        await source.disconnect()


async def columns_of(unit: Unit, table: str) -> set[str]:
    """The names of the table's columns; none where there is no such table."""
    return {name for (name,) in await unit.fetch(_COLUMNS[unit.dialect], Arguments([table]))}


async def is_database_of(unit: Unit, database: Database) -> bool:
    """Is it the very database that `database` works on, whatever the two URLs say?"""
    if unit.dialect != database.dialect:
        return False
    async with database.unit() as ours:
        return await _IS_SAME[unit.dialect](unit, ours)


async def _same_file(theirs: Unit, ours: Unit) -> bool:
    ((mine,),), ((other,),) = await ours.fetch(_FILE, Arguments()), await theirs.fetch(_FILE, Arguments())
    return await asyncio.to_thread(Path(other).samefile, mine)


async def _same_postgresql(theirs: Unit, ours: Unit) -> bool:
    """A server may have many addresses; its locks are of one database."""
    key = secrets.randbits(62)
    await ours.text(f"SELECT pg_advisory_xact_lock({key})")
    ((schema,),) = await ours.fetch("SELECT current_schema()", Arguments())
    asked = f"SELECT current_schema(), pg_try_advisory_xact_lock({key})"
    ((other, is_free),) = await theirs.fetch(asked, Arguments())
    return schema == other and not is_free


async def _same_mysql(theirs: Unit, ours: Unit) -> bool:
    """Here a lock is of the whole server."""
    name = Arguments([f"asgiauth:{secrets.token_hex(16)}"])
    ((mine, _),) = await ours.fetch("SELECT database(), get_lock(%s, 0)", name)
    ((other, is_free),) = await theirs.fetch("SELECT database(), is_free_lock(%s)", name)
    await ours.fetch("SELECT release_lock(%s)", name)
    return mine == other and not is_free


_IS_SAME = {"sqlite": _same_file, "postgresql": _same_postgresql, "mysql": _same_mysql}


async def _guarded(source: Source) -> Lease:
    try:
        async with asyncio.timeout_at(deadline_from_now()):
            await source.connect()
            return await source.opener()()
    except TimeoutError:
        raise Unavailable(TOO_SLOW) from None
    except Exception as error:  # noqa: BLE001  whatever it is, it is raised again in our words, or as it is
        raise translated_by(source.driver, error) from None
