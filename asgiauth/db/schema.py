"""Creating the tables that are not there yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Select, String, Table, column, create_mock_engine, func, literal_column, select, table
from sqlalchemy.schema import CreateIndex, CreateTable

from ..exceptions import Unavailable
from .beside_django import ForeignKeyLeft, foreign_keys_left, kept_foreign_keys
from .seam import Database
from .unit import Unit

__all__ = ["LOCK_KEY", "create_tables", "ddl", "has_table"]

LOCK_KEY = 0x6173676961757468
"""For PostgreSQL's advisory lock: "asgiauth" in ASCII."""
_LOCK_SECONDS = 4
"""Less than a statement may take."""
_LOCK_TRIES = 15


async def create_tables(database: Database, metadata: MetaData, tables: list[Table]) -> list[str]:
    """Creates those of `tables` that are missing, in one transaction where the server can, and returns their names.

    On a database that Django uses too they have no foreign keys to its tables, and lose those that they had. Safe to
    run in several processes at once, and as often as one likes.
    """

    async def work(unit: Unit) -> list[str]:
        if unit.dialect == "postgresql":
            await unit.text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})")
        if unit.dialect != "mysql":
            return await create(unit)
        # there DDL ends the transaction; a lock of the connection remains
        name = func.concat("asgiauth:", func.database())
        for _ in range(_LOCK_TRIES):
            (row,) = await unit.rows(select(func.get_lock(name, _LOCK_SECONDS).label("locked")))
            if row["locked"]:
                break
        else:
            raise Unavailable("another process creates the tables: try again when it is done")
        try:
            return await create(unit)
        finally:
            await unit.rows(select(func.release_lock(name).label("released")))

    async def create(unit: Unit) -> list[str]:
        present = {row["name"] for row in await unit.rows(_present(unit.dialect))}
        missing = [table for table in tables if table.name not in present]
        for statement in ddl(unit.dialect, metadata, missing, shared=database.shared_with_django):
            await unit.text(statement)
        left = foreign_keys_left(unit.dialect, tables) if database.shared_with_django else None
        for row in [] if left is None else await unit.rows(left):
            await unit.text(ForeignKeyLeft(**row).drop(unit.dialect))
        return [table.name for table in missing]

    return await database.atomic(work)


async def has_table(database: Database, name: str) -> bool:
    """Whether the database has a table of this name, whoever made it."""
    present = _present(database.dialect).subquery()
    return bool(await database.fetch(select(present.c.name).where(present.c.name == name)))


def _present(dialect: str) -> Select[Any]:
    if dialect == "sqlite":
        master = table("sqlite_master", column("name", String), column("type", String))
        return select(master.c.name).where(master.c.type == "table")
    names = table("tables", column("table_name", String), column("table_schema", String), schema="information_schema")
    current = "current_schema()" if dialect == "postgresql" else "database()"
    return select(names.c.table_name.label("name")).where(names.c.table_schema == literal_column(current))


def ddl(dialect: str, metadata: MetaData, tables: list[Table], *, shared: bool = False) -> list[str]:
    """The statements that create these tables, without doubled percent signs: they go to the driver as they are.
    `shared`: for a database that Django uses, too.

    On MariaDB/MySQL, where each of them commits, a table is there with its indexes or not at all: whoever finds it
    after a crash need not look further.
    """
    statements: list[str] = []

    def collect(ddl: Any, *_: object, **__: object) -> None:
        if shared and isinstance(ddl, CreateTable):
            ddl.include_foreign_key_constraints = kept_foreign_keys(ddl.element)
        statement = str(ddl.compile(dialect=engine.dialect))
        if dialect == "mysql" and isinstance(ddl, CreateIndex):
            statements[-1] = _with_index(statements[-1], statement)
        else:
            statements.append(statement)

    urls = {"sqlite": "sqlite+aiosqlite://", "postgresql": "postgresql+asyncpg://", "mysql": "mysql+asyncmy://"}
    engine = create_mock_engine(urls[dialect], collect, paramstyle="named")
    metadata.create_all(engine, tables=tables, checkfirst=False)
    return statements


def _with_index(create_table: str, create_index: str) -> str:
    head, _, options = create_table.rpartition("\n)")
    kind, _, rest = create_index.removeprefix("CREATE ").partition("INDEX ")
    name, _, columns = rest.partition(" ON ")
    return f"{head},\n\t{kind}INDEX {name} {columns[columns.index('(') :]}\n){options}"
