"""A database that its user may only read, and which statements reach it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from asgiauth import Auth

from .conftest import make_auth
from .databases import run
from .wire import Wire


@asynccontextmanager
async def reader(server: str, url: str) -> AsyncIterator[str]:
    """The URL of the same database for a role that may only read what is there now; SQLite has no roles, and opens the
    file read-only."""
    if server == "sqlite":
        yield f"{url}?mode=ro"
        return
    parts, name = urlsplit(url), f"asgiauth_{secrets.token_hex(6)}"
    database = parts.path[1:]
    if server == "postgresql":
        await run(server, f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA public TO {name}", database)
        await run(server, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}", database)
    else:
        await run(server, f"CREATE USER {name}@'%'")
        await run(server, f"GRANT SELECT ON {database}.* TO {name}@'%'")
    try:
        yield parts._replace(netloc=f"{name}@{parts.hostname}:{parts.port}").geturl()
    finally:
        if server == "postgresql":
            await run(server, f"DROP OWNED BY {name}; DROP ROLE {name}", database)
        else:
            await run(server, f"DROP USER {name}@'%'")


@asynccontextmanager
async def reading(server: str, url: str, **options: Any) -> AsyncIterator[tuple[Auth, list[str]]]:
    """An Auth on a database that has its tables, for a role that may only read, and the list of the statements that
    reach the server; `options` are those of `Auth`."""
    options = {"read_only": True, **options}
    async with reader(server, url) as theirs:
        if server != "sqlite":
            wire = Wire(server, theirs)
            async with wire as through, make_auth(through, **options) as auth:
                yield auth, wire.statements
            return
        statements: list[str] = []
        async with make_auth(theirs, **options) as auth:
            for connection in auth._database._source._held:  # type: ignore[attr-defined]  # SQLite has no wire
                await connection.raw_connection.set_trace_callback(statements.append)
            yield auth, statements
