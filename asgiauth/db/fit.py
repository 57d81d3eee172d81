"""Does the `UserModel` fit the tables that are there already, whoever made them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, Integer, Table, inspect, select

from .django_history import MIGRATIONS, history_table
from .user_table import UserTable

__all__ = ["misfits"]


def misfits(connection: Connection, tables: Sequence[Table], users: Table, *, shared: bool) -> Iterator[str]:
    """What no revision can mend, each with its cure: `users` is Django's table under another name, or has keys of
    another type, or those of `tables` that refer to it were made when its keys were said to be so."""
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    if users.name not in present:
        history = history_table()
        by_django = shared and users.name == UserTable.name and MIGRATIONS in present
        if by_django and connection.scalar(select(history.c.id).where(history.c.app == "auth").limit(1)) is not None:
            yield (
                f"table {users.name} is missing, although Django has run its migrations: the site has a user model of "
                "its own, so name that table and its columns, Auth(user_model=UserModel(table=...))"
            )
        return

    def differs(column: Column[object]) -> bool:
        there = {one["name"]: one["type"] for one in inspector.get_columns(column.table.name)}
        known = column.name in there
        return known and isinstance(there[column.name], Integer) != isinstance(column.type, Integer)

    if differs(users.c.id):
        kind = "integers" if isinstance(users.c.id.type, Integer) else "UUIDs or text"
        yield f"column {users.name}.id does not hold {kind}: give UserModel(id_type=...) what it holds"
        return
    others = [
        table.name
        for table in tables
        if table.name in present and any(key.column is users.c.id and differs(key.parent) for key in table.foreign_keys)
    ]
    if others:
        yield (
            f"keys of another type are in {', '.join(others)}, made for another UserModel(id_type=...): drop these "
            "tables, and run `asgiauth db upgrade`"
        )
