"""Reads a PostgreSQL schema from pg_catalog, through asyncpg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult

import asyncpg

_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       pg_get_expr(d.adbin, d.adrelid) AS default, a.attidentity::text AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN c.collname::text END AS collation
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
"""

_INDEXES = """
SELECT c.relname::text AS name, i.indisunique AS unique, con.contype::text AS constraint,
       con.condeferrable AS deferrable, con.condeferred AS deferred,
       pg_get_expr(i.indpred, i.indrelid) AS where,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true)
                    || CASE WHEN (i.indoption[k - 1] & 1) = 1 THEN ' desc' ELSE '' END
             FROM generate_series(1, i.indnkeyatts::int) k ORDER BY k) AS columns,
       ARRAY(SELECT o.opcname::text FROM generate_series(1, i.indnkeyatts::int) k
             JOIN pg_opclass o ON o.oid = i.indclass[k - 1] ORDER BY k) AS opclasses
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint con
       ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
WHERE i.indrelid = $1::oid
"""

_CONSTRAINTS = """
SELECT con.conname::text AS name, con.contype::text AS type, con.condeferrable AS deferrable,
       con.condeferred AS deferred, target.relname::text AS target,
       con.confdeltype::text AS on_delete, con.confupdtype::text AS on_update,
       pg_get_constraintdef(con.oid, true) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(number, place)
             JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.number ORDER BY k.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(number, place)
             JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.number ORDER BY k.place)
           AS target_columns
FROM pg_constraint con
LEFT JOIN pg_class target ON target.oid = con.confrelid
WHERE con.conrelid = $1::oid AND con.contype IN ('f', 'c')
"""

_IDENTITIES = {"": None, "d": "by default", "a": "always"}
_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


async def read(url: SplitResult, tables: Sequence[str]) -> dict[str, Any]:
    connection = await asyncpg.connect(url._replace(scheme="postgresql").geturl())
    try:
        oids = {table: await connection.fetchval("SELECT to_regclass(quote_ident($1))::oid", table) for table in tables}
        return {table: await _table(connection, oid) for table, oid in oids.items() if oid is not None}
    finally:
        await connection.close()


async def _table(connection: Any, oid: int) -> dict[str, Any]:
    indexes = await connection.fetch(_INDEXES, oid)
    constraints = await connection.fetch(_CONSTRAINTS, oid)
    return {
        "columns": {row["name"]: _column(row) for row in await connection.fetch(_COLUMNS, oid)},
        "primary_key": next(
            ({"name": row["name"], "columns": row["columns"]} for row in indexes if row["constraint"] == "p"), None
        ),
        "unique_constraints": {
            row["name"]: {"columns": row["columns"], "deferrable": _deferrability(row)}
            for row in indexes
            if row["constraint"] == "u"
        },
        "indexes": {
            row["name"]: {key: row[key] for key in ("columns", "opclasses", "unique", "where")}
            for row in indexes
            if row["constraint"] not in ("p", "u")
        },
        "foreign_keys": {
            row["name"]: {
                "columns": row["columns"],
                "target": row["target"],
                "target_columns": row["target_columns"],
                "on_delete": _ACTIONS[row["on_delete"]],
                "on_update": _ACTIONS[row["on_update"]],
                "deferrable": _deferrability(row),
            }
            for row in constraints
            if row["type"] == "f"
        },
        "checks": {row["name"]: row["definition"] for row in constraints if row["type"] == "c"},
    }


def _column(row: Any) -> dict[str, Any]:
    column = {key: row[key] for key in ("type", "nullable", "default")}
    column["identity"] = _IDENTITIES[row["identity"]]
    if row["collation"] is not None:
        column["collation"] = row["collation"]
    return column


def _deferrability(row: Any) -> str | None:
    if not row["deferrable"]:
        return None
    return "initially deferred" if row["deferred"] else "initially immediate"
