"""The private servers of `servers.py` keep what was committed, stopped or killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import column, select, table

from asgiauth.db import Database
from asgiauth.exceptions import Unavailable

from .servers import PrivateServer, mariadb, mariadb_available, postgresql, postgresql_available

FACTORIES: list[Callable[[], PrivateServer]] = [
    *([postgresql] if postgresql_available() else []),
    *([mariadb] if mariadb_available() else []),
]


async def ask(url: str, *statements: str) -> list[int]:
    database = Database(url)
    await database.connect()
    try:
        async with database.unit() as unit:
            for statement in statements:
                await unit.text(statement)
            return [row["n"] for row in await unit.rows(select(table("kept", column("n")).c.n))]
    finally:
        await database.disconnect()


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_a_private_server_comes_back_with_what_was_committed(factory: Callable[[], PrivateServer]) -> None:
    server = factory()
    try:
        assert asyncio.run(ask(server.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")) == [7]
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(Unavailable):
                asyncio.run(ask(server.url))
            server.start()
            assert asyncio.run(ask(server.url)) == [7]
    finally:
        server.close()
