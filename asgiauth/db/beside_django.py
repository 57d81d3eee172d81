"""A database that Django uses, too: our rows hang on Django's there without foreign keys.

On PostgreSQL Django's `flush` (TRUNCATE) fails where a table that it does not know refers to one of its own; on MariaDB
it leaves our rows behind whatever there is. So what a foreign key did is done by queries: rows of what Django has
deleted count for nothing, and are deleted by `purge_orphans`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Select,
    String,
    Table,
    column,
    delete,
    literal_column,
    select,
    table,
)

from .seam import Database
from .tables import OF_DJANGO
from .unit import Unit

__all__ = ["ForeignKeyLeft", "foreign_keys_left", "kept_foreign_keys", "purge_orphans", "to_django"]

_BATCH = 500


class ForeignKeyLeft(NamedTuple):
    """A foreign key that was made before Django came."""

    table: str
    name: str

    def drop(self, dialect: str) -> str:
        """The statement that drops it."""
        if dialect == "mysql":
            return f"ALTER TABLE `{self.table}` DROP FOREIGN KEY `{self.name}`"
        return f'ALTER TABLE "{self.table}" DROP CONSTRAINT "{self.name}"'


def to_django(one: Table) -> list[ForeignKeyConstraint]:
    """The foreign keys of a table that is not Django's to tables that are."""
    if one.info.get(OF_DJANGO):
        return []
    return [key for key in one.foreign_key_constraints if key.referred_table.info.get(OF_DJANGO)]


def kept_foreign_keys(one: Table) -> list[ForeignKeyConstraint]:
    """The foreign keys that a table has on a shared database, too."""
    return list(one.foreign_key_constraints.difference(to_django(one)))


def foreign_keys_left(dialect: str, tables: Sequence[Table]) -> Select[Any] | None:
    """Selects `ForeignKeyLeft`s of these tables, with what they refer to. None on SQLite, which cannot drop one, and
    need not: Django's `flush` deletes row by row there, and what cascades goes along."""
    if dialect == "sqlite":
        return None
    names = [one.name for one in tables if to_django(one)]
    django = {key.referred_table.name for one in tables for key in to_django(one)}
    if dialect == "mysql":
        keys = table(
            "referential_constraints",
            *_columns("constraint_schema", "constraint_name", "table_name", "referenced_table_name"),
            schema="information_schema",
        )
        found = select(keys.c.table_name.label("table"), keys.c.constraint_name.label("name")).where(
            keys.c.constraint_schema == literal_column("database()"), keys.c.referenced_table_name.in_(django)
        )
    else:
        keys = table("pg_constraint", *_columns("conname", "conrelid", "confrelid", "contype"), schema="pg_catalog")
        classes = table("pg_class", *_columns("oid", "relname", "relnamespace"), schema="pg_catalog")
        ours, theirs = classes.alias(), classes.alias()
        found = (
            select(ours.c.relname.label("table"), keys.c.conname.label("name"))
            .join_from(keys, ours, ours.c.oid == keys.c.conrelid)
            .join(theirs, theirs.c.oid == keys.c.confrelid)
            .where(
                keys.c.contype == literal_column("'f'"),
                ours.c.relnamespace == literal_column("CAST(current_schema() AS regnamespace)"),
                theirs.c.relname.in_(django),
            )
        )
    of_ours = found.selected_columns["table"]
    return found.where(of_ours.in_(names)).order_by(of_ours, found.selected_columns["name"])


async def purge_orphans(database: Database, tables: Sequence[Table]) -> int:
    """Deletes the rows of `tables` whose user, group or permission Django has deleted; how many. Where the database is
    not shared, its foreign keys have done so already."""
    if not database.shared_with_django:
        return 0
    return sum([await _purge(database, *reference) for one in tables for reference in _references(one)])


def _references(one: Table) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """Each column that holds the key of one of Django's rows, and that key."""
    for constraint in to_django(one):
        for key in constraint.elements:
            yield key.parent, key.column


async def _purge(database: Database, ours: Column[Any], theirs: Column[Any]) -> int:
    """Read first, and deleted by the key: MariaDB would lock what it has looked through."""
    is_gone = ~select(theirs).where(theirs == ours).exists()
    orphans = select(ours.label("key")).where(ours.is_not(None), is_gone).distinct().limit(_BATCH)
    count = 0
    while True:
        keys = [row["key"] for row in await database.fetch(orphans)]
        due = delete(ours.table).where(ours.in_(keys), is_gone)

        async def work(unit: Unit) -> int:
            return await unit.changed(due)  # noqa: B023  awaited before the next one

        count += await database.atomic(work) if keys else 0
        if len(keys) < _BATCH:
            return count


def _columns(*names: str) -> list[Any]:
    return [column(name, String) for name in names]
