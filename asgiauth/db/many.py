"""Many rows at once: inserted by few statements, found by many keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Table, bindparam, select

from ..exceptions import Conflict
from .seam import Database
from .statement import Prepared, Row
from .unit import Unit

__all__ = ["Inserts", "found_by"]

_AT_ONCE = 200
_KEYS = 10_000
"""In one statement: SQLite and PostgreSQL take 32,766."""


class Inserts:
    """Inserts rows that have the same columns, the same ones each time for a table. What it compiles it keeps: that
    takes longer than to insert the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._full: dict[Table, Prepared] = {}

    async def add(self, unit: Unit, table: Table, rows: Sequence[Row]) -> list[tuple[Row, Conflict | ValueError]]:
        """Inserts them in the unit of work that is open, and returns those that the database refuses."""
        refused: list[tuple[Row, Conflict | ValueError]] = []
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            if await self._refusal(unit, table, some) is not None:
                tried = [(row, await self._refusal(unit, table, [row])) for row in some]
                refused += [(row, error) for row, error in tried if error is not None]
        return refused

    async def _refusal(self, unit: Unit, table: Table, rows: Sequence[Row]) -> Conflict | ValueError | None:
        try:
            async with self._database.unit():
                if len(rows) < _AT_ONCE:
                    await unit.execute(table.insert().values(rows))
                else:
                    values = {f"{name}_{at}": value for at, row in enumerate(rows) for name, value in row.items()}
                    await unit.execute(self._prepared(table, rows[0]), **values)
        except (Conflict, ValueError) as error:
            return error
        return None

    def _prepared(self, table: Table, row: Row) -> Prepared:
        if table not in self._full:
            columns = {name: table.c[name].type for name in row}
            rows = [
                {name: bindparam(f"{name}_{at}", type_=type_) for name, type_ in columns.items()}
                for at in range(_AT_ONCE)
            ]
            self._full[table] = self._database.prepare(table.insert().values(rows))
        return self._full[table]


async def found_by(unit: Unit, columns: Sequence[Column[Any]], key: Column[Any], keys: Iterable[Any]) -> list[Row]:
    """The `columns` of the rows whose `key` is one of these."""
    wanted = list(dict.fromkeys(keys))
    return [
        row
        for start in range(0, len(wanted), _KEYS)
        for row in await unit.rows(select(*columns).where(key.in_(wanted[start : start + _KEYS])))
    ]
