"""Reads a SQLite schema from its PRAGMAs, and from the stored SQL for what no PRAGMA tells.

SQLite keeps no name for a foreign key or a unique constraint: they are keyed by their columns.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import SplitResult, quote, unquote

_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^]]*]|\w+|[^\w\s]""", re.DOTALL
)
_TABLE_LEVEL = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}


async def read(url: SplitResult, tables: Sequence[str]) -> dict[str, Any]:
    return await asyncio.to_thread(_read, unquote(url.path[1:]), tables)


def _read(path: str, tables: Sequence[str]) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        stored = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        statements = {row["name"]: row["sql"] for row in stored}
        return {table: _table(connection, table, statements[table]) for table in tables if table in statements}


def _table(connection: sqlite3.Connection, table: str, statement: str) -> dict[str, Any]:
    tokens = _tokens(statement)
    definitions = _definitions(tokens)
    columns = {}
    primary = []
    for row in connection.execute("SELECT * FROM pragma_table_info(?)", (table,)):
        columns[row["name"]] = {
            "type": row["type"].lower(),
            "nullable": not row["notnull"],
            "default": row["dflt_value"],
            "identity": "autoincrement" if row["pk"] and "AUTOINCREMENT" in _upper(tokens) else None,
        }
        if row["pk"]:
            primary.append((row["pk"], row["name"]))
    for name, collation in _collations(definitions):
        columns[name]["collation"] = collation

    unique_constraints = {}
    indexes = {}
    for row in connection.execute("SELECT * FROM pragma_index_list(?)", (table,)).fetchall():
        key = _index(connection, row["name"])
        if row["origin"] == "u":
            unique_constraints[_key(key["columns"])] = {"columns": key["columns"], "deferrable": None}
        elif row["origin"] == "c":
            indexes[row["name"]] = {**key, "unique": bool(row["unique"])}

    return {
        "columns": columns,
        "primary_key": {"name": None, "columns": [name for _, name in sorted(primary)]} if primary else None,
        "unique_constraints": unique_constraints,
        "indexes": indexes,
        "foreign_keys": _foreign_keys(connection, table, definitions),
        "checks": dict(_checks(definitions)),
    }


def _index(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    [(statement,)] = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,))
    tokens = _tokens(statement or "")
    where = _upper(tokens).index("WHERE") + 1 if "WHERE" in _upper(tokens) else None
    rows = connection.execute("SELECT * FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (name,))
    return {
        "columns": [(row["name"] or "<expression>") + (" desc" if row["desc"] else "") for row in rows],
        "where": None if where is None else " ".join(tokens[where:]),
    }


def _foreign_keys(
    connection: sqlite3.Connection, table: str, definitions: list[list[str]]
) -> dict[str, dict[str, Any]]:
    deferrable = dict(_deferrability(definitions))
    found: dict[int, dict[str, Any]] = {}
    for row in connection.execute("SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq", (table,)):
        foreign_key = found.setdefault(
            row["id"],
            {
                "columns": [],
                "target": row["table"],
                "target_columns": [],
                "on_delete": row["on_delete"],
                "on_update": row["on_update"],
            },
        )
        foreign_key["columns"].append(row["from"])
        foreign_key["target_columns"].append(row["to"])
    for foreign_key in found.values():
        foreign_key["deferrable"] = deferrable[tuple(foreign_key["columns"]), foreign_key["target"]]
    return {f"{_key(key['columns'])} -> {key['target']}": key for key in found.values()}


def _key(columns: Sequence[str]) -> str:
    return f"({', '.join(columns)})"


def _tokens(statement: str) -> list[str]:
    return [token for token in _TOKEN.findall(statement) if not token.startswith(("--", "/*"))]


def _upper(tokens: Sequence[str]) -> list[str]:
    return [token.upper() for token in tokens]


def _bare(token: str) -> str:
    if token[0] in "\"`'":
        return token[1:-1].replace(token[0] * 2, token[0])
    return token[1:-1] if token[0] == "[" else token


def _definitions(tokens: Sequence[str]) -> list[list[str]]:
    """The column definitions and table constraints of a CREATE TABLE statement."""
    definitions: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        if token == ")":
            depth -= 1
            if depth == 0:
                break
        if depth == 1 and token == ",":
            definitions.append([])
        elif depth >= 1:
            definitions[-1].append(token)
        if token == "(":
            depth += 1
    return definitions


def _enclosed(tokens: Sequence[str], start: int) -> list[str]:
    """What stands in the parentheses that open at `start`."""
    depth = 0
    for end in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[end], 0)
        if depth == 0:
            return list(tokens[start + 1 : end])
    raise ValueError(f"unbalanced parentheses in {' '.join(tokens)}")


def _collations(definitions: list[list[str]]) -> Iterator[tuple[str, str]]:
    for tokens in definitions:
        upper = _upper(tokens)
        if upper[0] not in _TABLE_LEVEL and "COLLATE" in upper:
            collation = _bare(tokens[upper.index("COLLATE") + 1]).upper()
            if collation != "BINARY":
                yield _bare(tokens[0]), collation


def _deferrability(definitions: list[list[str]]) -> Iterator[tuple[tuple[tuple[str, ...], str], str | None]]:
    for tokens in definitions:
        upper = _upper(tokens)
        if "REFERENCES" not in upper:
            continue
        columns = [tokens[0]]
        if upper[0] in _TABLE_LEVEL:
            columns = _enclosed(tokens, upper.index("KEY") + 1)[::2]
        start = upper.index("REFERENCES")
        clause = " ".join(upper[start:])
        answer = None
        if "DEFERRABLE" in upper[start:] and "NOT DEFERRABLE" not in clause:
            answer = "initially deferred" if "INITIALLY DEFERRED" in clause else "initially immediate"
        yield (tuple(map(_bare, columns)), _bare(tokens[start + 1])), answer


def _checks(definitions: list[list[str]]) -> Iterator[tuple[str, str]]:
    for tokens in definitions:
        upper = _upper(tokens)
        for place, word in enumerate(upper):
            if word == "CHECK":
                expression = " ".join(_enclosed(tokens, place + 1))
                named = place >= 2 and upper[place - 2] == "CONSTRAINT"
                yield _bare(tokens[place - 1]) if named else f"({expression})", expression
