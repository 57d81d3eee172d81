"""Single rows: found exactly, locked, inserted once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, LargeBinary, Table, and_, cast, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..db import Row, Unit
from ..exceptions import Conflict, UserExists

__all__ = ["exactly", "insert_once", "locked", "taken"]


def exactly(column: ColumnElement[Any], text: str, dialect: str) -> ColumnElement[bool]:
    """The column holds this text and no other: the collations of MariaDB find too much equal."""
    if dialect != "mysql":
        return column == text
    return and_(column == text, cast(column, LargeBinary) == text.encode())


async def locked(unit: Unit, table: Table, id_: Any, *, shared: bool = False) -> Row | None:
    """The row as it is now: nobody deletes it until the unit is over, nor, unless `shared`, changes or locks it.
    What hangs on a user or a group is changed by who has locked that first: so no two units wait for each other.

    It is also the first thing to read in a unit: MariaDB shows a transaction the past, from its first plain SELECT on.
    """
    # FOR NO KEY UPDATE and FOR KEY SHARE: on PostgreSQL, foreign keys may refer to the row meanwhile
    return await unit.row(select(table).where(table.c.id == id_).with_for_update(read=shared, key_share=True))


async def insert_once(unit: Unit, table: Table, values: Mapping[str, Any]) -> bool:
    """Whether the row was missing, in one statement: nothing is left half done where another one was first."""
    if unit.dialect == "mysql":
        # IGNORE says nothing of a row either that refers to a missing one: make sure of that by `locked`
        return bool(await unit.changed(mysql.insert(table).prefix_with("IGNORE").values(values)))
    insert = postgresql.insert if unit.dialect == "postgresql" else sqlite.insert
    return bool(await unit.changed(insert(table).values(values).on_conflict_do_nothing()))


def taken(table: Table, conflict: Conflict) -> Exception:
    """`UserExists` with the field, where it was a unique column that refused the row of a user."""

    def names(column: Column[Any]) -> tuple[str, ...]:
        """As PostgreSQL, MariaDB and SQLite name what `unique=True` makes, and a primary key that is given."""
        if column.primary_key:
            return () if column.identity else (f"{table.name}_pkey", "PRIMARY", f"{table.name}.{column.name}")
        return f"{table.name}_{column.name}_key", column.name, f"{table.name}.{column.name}"

    found = [column.name for column in table.c if conflict.kind == "unique" and conflict.constraint in names(column)]
    return UserExists(found[0]) if found else conflict
