"""Creates and drops databases on the servers that the tests may use."""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import asyncpg

_VARIABLES = {"postgresql": "ASGIAUTH_TEST_POSTGRES_URL", "mysql": "ASGIAUTH_TEST_MYSQL_URL"}
SERVERS = ["sqlite", *(name for name, variable in _VARIABLES.items() if os.environ.get(variable))]


def untested_servers() -> list[str]:
    return [variable for variable in _VARIABLES.values() if not os.environ.get(variable)]


def server_url(server: str, database: str) -> str:
    """The URL of a database on a configured server."""
    return urlsplit(os.environ[_VARIABLES[server]])._replace(path=f"/{database}").geturl()


def engine_url(url: str) -> str:
    """The same database as SQLAlchemy's engines name it."""
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
    scheme, _, rest = url.partition("://")
    return f"{drivers[scheme]}://{rest}"


_FREE: list[str] = []
"""Databases on PostgreSQL that are empty again: making one takes ten times as long as emptying it."""
_LENT: dict[str, str] = {}


async def create_database(server: str, name: str, directory: Path) -> str:
    """The URL of an empty database that nobody else uses."""
    if server == "sqlite":
        return f"sqlite:///{directory / name}.db"
    if server == "postgresql" and _FREE:
        _LENT[name] = _FREE.pop()
        return server_url(server, _LENT[name])
    await run(server, f"CREATE DATABASE {name}")
    _LENT[name] = name
    return server_url(server, name)


async def drop_database(server: str, name: str) -> None:
    """Its connections are closed by force."""
    if server == "mysql":
        await run(server, f"DROP DATABASE {name}")
    elif server == "postgresql":
        lent = _LENT.pop(name)
        await run(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{lent}'")
        await run(server, f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; ALTER DATABASE {lent} RESET ALL", lent)
        _FREE.append(lent)


@atexit.register
def drop_free_databases() -> None:
    async def drop() -> None:
        while _FREE:
            await run("postgresql", f"DROP DATABASE IF EXISTS {_FREE.pop()} WITH (FORCE)")

    asyncio.run(drop())


async def run(server: str, sql: str, database: str = "") -> None:
    """One statement, on a connection of its own."""
    url = server_url(server, database) if database else os.environ[_VARIABLES[server]]
    if server == "postgresql":
        session = await asyncpg.connect(url)
        await session.execute(sql)
        await session.close()
        return
    await _on_mysql(url, sql)


async def innodb_status(url: str) -> str:
    """Of the whole server, as `SHOW ENGINE INNODB STATUS` prints it."""
    return str((await _on_mysql(url, "SHOW ENGINE INNODB STATUS"))[0][2])


async def _on_mysql(url: str, sql: str) -> Sequence[Sequence[Any]]:
    parts = urlsplit(url)
    connection = await asyncmy.connect(
        host=parts.hostname, port=parts.port or 3306, user=parts.username, password=parts.password or ""
    )
    async with connection.cursor() as cursor:
        await cursor.execute(sql)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
    connection.close()
    return rows
