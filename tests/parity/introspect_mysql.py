"""Reads a MariaDB or MySQL schema from information_schema, through asyncmy.

A unique index is a constraint here. An index that InnoDB made to support a foreign key is listed like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, unquote

import asyncmy

_COLUMNS = """
SELECT c.COLUMN_NAME, c.COLUMN_TYPE, c.IS_NULLABLE, c.COLUMN_DEFAULT, c.EXTRA,
       CASE WHEN c.COLLATION_NAME <> t.TABLE_COLLATION THEN c.COLLATION_NAME END
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = %s
"""

_INDEXES = """
SELECT INDEX_NAME, COLUMN_NAME, SUB_PART, COLLATION, NON_UNIQUE
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s
ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""

_FOREIGN_KEYS = """
SELECT k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME,
       r.DELETE_RULE, r.UPDATE_RULE
FROM information_schema.KEY_COLUMN_USAGE k
JOIN information_schema.REFERENTIAL_CONSTRAINTS r
  ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME
 AND r.TABLE_NAME = k.TABLE_NAME
WHERE k.TABLE_SCHEMA = DATABASE() AND k.TABLE_NAME = %s AND k.REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION
"""

_CHECKS = """
SELECT c.CONSTRAINT_NAME, c.CHECK_CLAUSE
FROM information_schema.TABLE_CONSTRAINTS t
JOIN information_schema.CHECK_CONSTRAINTS c
  ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = %s AND t.CONSTRAINT_TYPE = 'CHECK'
"""


async def read(url: SplitResult, tables: Sequence[str]) -> dict[str, Any]:
    async with asyncmy.connect(
        host=url.hostname or "127.0.0.1",
        port=url.port or 3306,
        user=unquote(url.username or "root"),
        password=unquote(url.password or ""),
        database=unquote(url.path[1:]),
    ) as connection:
        [(version,)] = await _rows(connection, "SELECT VERSION()")
        mariadb = "mariadb" in version.lower()
        described = {table: await _table(connection, table, mariadb) for table in tables}
        return {table: description for table, description in described.items() if description["columns"]}


async def _rows(connection: Any, statement: str, *arguments: str) -> list[tuple[Any, ...]]:
    async with connection.cursor() as cursor:
        await cursor.execute(statement, arguments)
        return list(await cursor.fetchall())


async def _table(connection: Any, table: str, mariadb: bool) -> dict[str, Any]:
    columns = {}
    for name, type_, nullable, default, extra, collation in await _rows(connection, _COLUMNS, table):
        columns[name] = {
            "type": type_,
            "nullable": nullable == "YES",
            "default": None if mariadb and default == "NULL" else default,
            "identity": extra.lower() or None,
        }
        if collation is not None:
            columns[name]["collation"] = collation

    keys: dict[str, dict[str, Any]] = {}
    for name, column, prefix, order, non_unique in await _rows(connection, _INDEXES, table):
        key = keys.setdefault(name, {"columns": [], "unique": not non_unique})
        length = f"({prefix})" if prefix else ""
        key["columns"].append(f"{column}{length}{' desc' if order == 'D' else ''}")
    primary = keys.pop("PRIMARY", None)

    foreign_keys: dict[str, dict[str, Any]] = {}
    for name, column, target, target_column, on_delete, on_update in await _rows(connection, _FOREIGN_KEYS, table):
        foreign_key = foreign_keys.setdefault(
            name,
            {
                "columns": [],
                "target": target,
                "target_columns": [],
                "on_delete": on_delete,
                "on_update": on_update,
                "deferrable": None,
            },
        )
        foreign_key["columns"].append(column)
        foreign_key["target_columns"].append(target_column)

    # A check's name is unique in the schema on MySQL, and only in its table on MariaDB.
    checks = _CHECKS + (" AND c.TABLE_NAME = t.TABLE_NAME" if mariadb else "")
    return {
        "columns": columns,
        "primary_key": None if primary is None else {"name": "PRIMARY", "columns": primary["columns"]},
        "unique_constraints": {
            name: {"columns": key["columns"], "deferrable": None} for name, key in keys.items() if key["unique"]
        },
        "indexes": {name: {**key, "where": None} for name, key in keys.items() if not key["unique"]},
        "foreign_keys": foreign_keys,
        "checks": dict(await _rows(connection, checks, table)),
    }
