"""Somebody else's database: what is read of it is of one moment, and nothing can be written."""

from __future__ import annotations

import socket

import pytest
from sqlalchemy import select

from asgiauth import Auth
from asgiauth.db.snapshot import columns_of, is_database_of, snapshot
from asgiauth.exceptions import Unavailable

from ..conftest import make_auth


async def test_what_is_committed_meanwhile_is_not_seen(auth: Auth, url: str) -> None:
    names = select(auth.tables.user.c.username)
    await auth.users.create("ann")
    async with snapshot(url) as unit:
        assert [row["username"] for row in await unit.rows(names)] == ["ann"]
        await auth.users.create("bob")
        assert [row["username"] for row in await unit.rows(names)] == ["ann"]
    async with snapshot(url) as unit:
        assert [row["username"] for row in await unit.rows(names)] == ["ann", "bob"]


async def test_the_server_refuses_to_write(auth: Auth, url: str) -> None:
    async with snapshot(url) as unit:
        with pytest.raises(Unavailable):
            await unit.insert(auth.tables.group, {"name": "editors"})
    assert await auth.groups.all() == []


async def test_columns_are_of_one_table(auth: Auth, url: str) -> None:
    async with snapshot(url) as unit:
        assert await columns_of(unit, "auth_group") == {"id", "name"}
        assert await columns_of(unit, "auth_nothing") == set()


async def test_databases_are_told_apart(auth: Auth, url: str, server: str, sqlite_url: str) -> None:
    async with snapshot(url) as unit:
        assert await is_database_of(unit, auth._database)
    other = make_auth(sqlite_url)
    async with other, snapshot(url) as unit:
        assert not await is_database_of(unit, other._database)


async def test_D23_a_server_that_says_nothing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgiauth.db.unit.STATEMENT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unavailable, match="in time"):
        async with snapshot(f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/db"):
            raise AssertionError
