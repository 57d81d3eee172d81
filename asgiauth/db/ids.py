"""Ids that come from somewhere else, in a table that makes its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Integer, Table, func, select

from .seam import Database
from .statement import Arguments
from .unit import Unit

__all__ = ["largest_id", "reserve_ids"]

_SQLITE_COUNTS = "SELECT 1 FROM sqlite_master WHERE name = ? AND sql LIKE '%AUTOINCREMENT%'"
_SQLITE_FIRST = "INSERT INTO sqlite_sequence (name, seq) SELECT ?, 0 WHERE ? NOT IN (SELECT name FROM sqlite_sequence)"
_SQLITE = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
_POSTGRESQL = """
SELECT setval(sequence, $1) FROM (SELECT CAST(pg_get_serial_sequence($2, 'id') AS regclass) AS sequence) AS found
WHERE coalesce(pg_sequence_last_value(sequence), 0) < $1 AND sequence IS NOT NULL
"""
_MYSQL_NEXT = "SELECT auto_increment FROM information_schema.tables WHERE table_schema = database() AND table_name = %s"


async def largest_id(unit: Unit, table: Table) -> int:
    """The largest id in use that the column of the table can hold; 0 for keys that are not counted."""
    key = table.c.id
    if not isinstance(key.type, Integer):
        return 0
    limit = 2 ** (63 if isinstance(key.type, BigInteger) else 31) - 1
    (row,) = await unit.rows(select(func.coalesce(func.max(key), 0).label("largest")).where(key <= limit))
    return int(row["largest"])


async def reserve_ids(database: Database, table: Table, largest: int) -> None:
    """From now on the table makes ids larger than this one only."""
    if largest > 0:
        await database.atomic(partial(_RESERVE[database.dialect], table, largest))


async def _sqlite(table: Table, largest: int, unit: Unit) -> None:
    if await unit.fetch(_SQLITE_COUNTS, Arguments([table.name])):
        await unit.fetch(_SQLITE_FIRST, Arguments([table.name, table.name]))
        await unit.fetch(_SQLITE, Arguments([largest, table.name]))


async def _postgresql(table: Table, largest: int, unit: Unit) -> None:
    await unit.fetch(_POSTGRESQL, Arguments([largest, f'"{table.name}"']))


async def _mysql(table: Table, largest: int, unit: Unit) -> None:
    """An `ALTER TABLE` waits for everybody who is reading: only if it is needed."""
    ((following,),) = await unit.fetch(_MYSQL_NEXT, Arguments([table.name]))
    if following is not None and following <= largest:
        await unit.text(f"ALTER TABLE `{table.name}` AUTO_INCREMENT = {largest + 1}")


_RESERVE: dict[str, Any] = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}
