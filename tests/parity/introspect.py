"""A database's real schema as a plain dict that two databases on the same kind of server can be compared by.

{table: {"columns", "primary_key", "unique_constraints", "indexes", "foreign_keys", "checks"}}, keyed by name within
each. Column order is left out: Django's own depends on which server rebuilt the table. A table that is not there is
left out too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from . import introspect_mysql, introspect_postgresql, introspect_sqlite

_READERS = {
    "sqlite": introspect_sqlite.read,
    "postgresql": introspect_postgresql.read,
    "mysql": introspect_mysql.read,
    "mariadb": introspect_mysql.read,
}


async def schema(url: str, tables: Sequence[str]) -> dict[str, Any]:
    """The schema of those tables. The URL may name a SQLAlchemy driver (`postgresql+asyncpg://...`)."""
    parts = urlsplit(url)
    found = await _READERS[parts.scheme.partition("+")[0]](parts, sorted(tables))
    return {table: _sorted(description) for table, description in found.items()}


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
