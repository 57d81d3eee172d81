"""What tables have in common that Django's migrations make: keys, constraints, indexes, and all of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeEngine

from .naming import MAX_LENGTHS, django_name
from .types import DjangoInteger

__all__ = ["OPTIONS", "id_column", "like_index", "link", "refers", "unique"]

OPTIONS: dict[str, Any] = {"sqlite_autoincrement": True}


def id_column(type_: TypeEngine[Any] | None = None, default: Callable[[], Any] | None = None) -> Column[Any]:
    """The column `id`: the server numbers integers, `default` makes other keys."""
    type_ = type_ or DjangoInteger()
    if not isinstance(type_, Integer):
        return Column("id", type_, default=default, primary_key=True)
    # SQLite generates keys for a column of type INTEGER alone, which holds 64 bits there
    numbered = type_.with_variant(DjangoInteger(), "sqlite")
    return Column("id", numbered, Identity(always=False), primary_key=True, info={_REFERENCE: type_})


def _reference(id_: Column[Any]) -> TypeEngine[Any]:
    """The type of a column that refers to this one."""
    type_: TypeEngine[Any] = id_.info.get(_REFERENCE, id_.type)
    return type_


_REFERENCE = "asgiauth_reference"


def unique(table: Table, *columns: str) -> None:
    """Django's `unique_together`: a constraint on PostgreSQL, elsewhere a unique index of the same name."""
    found = [table.c[column] for column in columns]
    names = [column.name for column in found]
    table.append_constraint(
        UniqueConstraint(*found, name=django_name(table.name, names, "_uniq")).ddl_if(dialect="postgresql")
    )
    for dialect, limit in MAX_LENGTHS.items():
        if dialect != "postgresql":
            name = django_name(table.name, names, "_uniq", limit=limit)
            Index(name, *found, unique=True).ddl_if(dialect=dialect)


def like_index(table: Table, column: str) -> None:
    """What Django adds on PostgreSQL to an index of text, for LIKE."""
    found = table.c[column]
    name = django_name(table.name, [found.name], "_like")
    Index(name, found, postgresql_ops={column: "varchar_pattern_ops"}).ddl_if(dialect="postgresql")


class _DjangoForeignKey(ForeignKeyConstraint):
    """Checked at the end of the transaction, never cascading. MariaDB/MySQL cannot defer."""


@compiles(_DjangoForeignKey, "mysql", "mariadb")
def _mysql_foreign_key(constraint: _DjangoForeignKey, compiler: Any, **options: Any) -> str:
    text: str = compiler.visit_foreign_key_constraint(constraint, **options)
    return text.replace(" DEFERRABLE INITIALLY DEFERRED", "")


def refers(table: Table, column: str, target: Table) -> None:
    """A foreign key to the id of `target`, with its index."""
    found = table.c[column]
    name = django_name(table.name, [found.name], f"_fk_{target.name}_id")
    table.append_constraint(
        _DjangoForeignKey([column], [target.c.id], name=name, deferrable=True, initially="DEFERRED")
    )
    for dialect, limit in MAX_LENGTHS.items():
        if dialect != "mysql":  # which makes one by itself
            Index(django_name(table.name, [found.name], limit=limit), found).ddl_if(dialect=dialect)
    if isinstance(found.type, String):
        like_index(table, column)


def link(metadata: MetaData, name: str, *ends: tuple[str, str, Table]) -> Table:
    """A table of pairs. An end: the column's name in the database, what it is called here, what it refers to.

    Django makes the id of such a table by the project's DEFAULT_AUTO_FIELD, not by its own app's."""
    columns = [Column(column, _reference(end.c.id), key=here, nullable=False) for column, here, end in ends]
    table = Table(name, metadata, id_column(BigInteger()), *columns, **OPTIONS)
    unique(table, *(here for _, here, _ in ends))
    for _, here, end in ends:
        refers(table, here, end)
    return table
