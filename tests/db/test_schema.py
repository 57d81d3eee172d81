"""`auth.create_tables()`: what is missing, and nothing else. That it is Django's shape: tests/parity/test_schema.py."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, delete, func, inspect, select
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth import Auth, UserModel
from asgiauth.exceptions import ConfigurationError, Conflict, Unavailable

from ..conftest import make_auth
from ..databases import SERVERS, engine_url
from ..parity.introspect import schema

OWN = [
    "asgiauth_data_version",
    "asgiauth_data_version_auth_user",
    "asgiauth_group_grant_integer",
    "asgiauth_group_grant_text",
    "asgiauth_group_grant_uuid",
    "asgiauth_identifier",
    "asgiauth_limit",
    "asgiauth_password_history",
    "asgiauth_pending_login",
    "asgiauth_session",
    "asgiauth_user_grant_integer",
    "asgiauth_user_grant_text",
    "asgiauth_user_grant_uuid",
    "asgiauth_user_state",
]
A_REALMS = [name for name in OWN if not name.startswith("asgiauth_data_version")]
"""Realms share groups and permissions, may share users, and so share the versions of what users may do."""
DJANGOS = [
    "auth_group", "auth_group_permissions", "auth_permission", "auth_user", "auth_user_groups", "auth_user_user_permissions",
    "django_content_type",
]  # fmt: skip


async def table_names(url: str) -> list[str]:
    engine = create_async_engine(engine_url(url))
    try:
        async with engine.connect() as connection:
            names: list[str] = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    finally:
        await engine.dispose()
    return sorted(name for name in names if name != "sqlite_sequence")


async def test_only_what_is_missing_is_created(auth: Auth, url: str) -> None:
    """Also by an `Auth` that would like more columns: on an existing table they are the application's migration."""
    before = await schema(url, OWN + DJANGOS)
    assert sorted(before) == sorted(OWN + DJANGOS) == await table_names(url)
    ann = await auth.users.create("ann", email="ann@example.com")
    await auth.create_tables()
    assert await auth.users.find("ANN@example.com") == ann
    async with auth._database.unit() as unit:
        await unit.text("DROP TABLE asgiauth_identifier")
    more = make_auth(url, user_model=UserModel(columns=[Column("badge", Integer)]))
    async with more:
        await more.create_tables()
    assert await schema(url, OWN + DJANGOS) == before
    assert await auth.users.find("ann") == ann


async def test_five_processes_may_create_the_tables_at_once(url: str) -> None:
    """A deployment starts all of its workers together; one of them may even ask twice."""
    hosts = [make_auth(url) for _ in range(5)]
    async with AsyncExitStack() as stack:
        for host in hosts:
            await stack.enter_async_context(host)
        results = await asyncio.gather(*(host.create_tables() for host in [*hosts, hosts[0]]), return_exceptions=True)
        assert results == [None] * 6
        assert (await hosts[0].users.create("ann")).username == "ann"
    assert await table_names(url) == sorted(OWN + DJANGOS)


async def test_names_of_tables_follow_realm_and_user_model(url: str) -> None:
    """Django's link tables are named after the user table, asgiauth's own after the realm; a name may be a reserved word."""
    for realm, name in (("", "user"), ("a_1", "Order")):
        auth = make_auth(url, realm=realm, user_model=UserModel(table=name))
        async with auth:
            await auth.create_tables()
            ann = await auth.users.create("Ann", email="ann@example.com")
            ann = await auth.users.update(ann, first_name="A", email="new@example.com")
            assert (await auth.users.find("NEW@example.com"), (await auth.users.page()).items) == (ann, [ann])
            await auth.users.delete(ann)
    assert await table_names(url) == sorted([
        *(name for name in DJANGOS if "auth_user" not in name), *A_REALMS, "asgiauth_data_version",
        *(f"asgiauth_data_version_{name}" for name in ("user", "Order")), *(name.replace("asgiauth_", "asgiauth_a_1_") for name in A_REALMS),
        "user", "user_groups", "user_user_permissions", "Order", "Order_groups", "Order_user_permissions",
    ])  # fmt: skip


async def test_columns_of_the_application_are_created_with_the_user_table(sqlite_url: str) -> None:
    columns: list[Column[Any]] = [
        Column("badge", Integer, unique=True),
        Column("team", String(20), nullable=False, index=True),
    ]
    auth = make_auth(sqlite_url, user_model=UserModel(columns=columns))
    async with auth:
        await auth.create_tables()
    found = (await schema(sqlite_url, ["auth_user"]))["auth_user"]
    assert {name: found["columns"][name]["nullable"] for name in ("badge", "team")} == {"badge": True, "team": False}
    assert ["badge"] in [key["columns"] for key in found["unique_constraints"].values()]
    assert ["team"] in [index["columns"] for index in found["indexes"].values()]


async def test_own_tables_are_exact_and_end_with_their_user(auth: Auth, url: str) -> None:
    """DESIGN 5, 6: keys are compared byte by byte, and the database itself deletes what belongs to a deleted user."""
    ann, bob = [await auth.users.create(name) for name in ("ann", "bob")]
    now, tables = datetime.now(UTC), auth.tables
    login = {
        "backend": "b",
        "methods": "[]",
        "remember": False,
        "stamp": b"s" * 32,
        "user_id": ann.id,
        "expires_at": now,
    }
    session = {**login, **dict.fromkeys(["created", "authenticated_at", "last_seen"], now)}
    session |= {"device": "", "address": "", "data": "{}"}
    identifier = {"user_id": ann.id, "field": "username", "source": "x"}
    keys = [b"Digest".ljust(32, b"\0"), b"digest".ljust(32, b"\0"), bytes(32), bytes(31) + b" ", b"\xff" * 32]
    values = ["key", "Key", "k\u00e9y", "keyy", "\U0001f511"]
    async with auth._database.unit() as unit:
        await unit.insert(tables.user_state, {"user_id": ann.id, "epoch": 1})
        for key, value in zip(keys, values, strict=True):
            await unit.insert(tables.session, {"key": key, **session})
            await unit.insert(tables.pending_login, {"key": key, **login, "passed": "[]", "tries": 0})
            await unit.insert(tables.identifier, {"value": value, **identifier})
    for table in (tables.session, tables.pending_login):
        for key in keys:
            found = await auth._database.fetch(select(table).where(table.c.key == key))
            assert [(row["key"], row["expires_at"]) for row in found] == [(key, now)]
    with pytest.raises(Conflict) as conflict:
        async with auth._database.unit() as unit:
            await unit.insert(tables.identifier, {"value": "key", **identifier})
    assert conflict.value.kind == "unique"
    async with auth._database.unit() as unit:
        await unit.changed(delete(auth.tables.user).where(auth.tables.user.c.id == ann.id))
    for table in (tables.session, tables.pending_login, tables.user_state):
        assert await auth._database.fetch(select(table)) == []
    left = await auth._database.fetch(select(auth.tables.identifier))
    assert [(row["value"], row["user_id"]) for row in left] == [("bob", bob.id)]


async def test_without_tables_the_error_names_the_cure(url: str) -> None:
    """DESIGN 3: connecting does not need them."""
    auth = make_auth(url)
    async with auth:
        for work in (auth.users.get(1), auth.users.find("ann"), auth.users.create("ann")):
            with pytest.raises(ConfigurationError, match="create_tables"):
                await work
    with pytest.raises(ConfigurationError, match="async with auth"):
        await auth.create_tables()


@pytest.mark.parametrize("server", [server for server in SERVERS if server == "mysql"])
async def test_tables_wait_for_the_process_that_is_at_it_and_not_for_ever(
    server: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB ends the transaction with the first CREATE TABLE: a lock of the connection has to stand in for it."""
    monkeypatch.setattr("asgiauth.db.schema._LOCK_SECONDS", 0)
    monkeypatch.setattr("asgiauth.db.schema._LOCK_TRIES", 2)
    lock = select(func.get_lock(func.concat("asgiauth:", func.database()), 0).label("locked"))
    first, second = make_auth(url), make_auth(url)
    async with first, second:
        async with first._database.unit() as unit:
            assert await unit.rows(lock) == [{"locked": 1}]
            with pytest.raises(Unavailable, match="another process"):
                await second.create_tables()
            await unit.rows(select(func.release_lock(func.concat("asgiauth:", func.database())).label("released")))
        await second.create_tables()
        assert await second.users.find("ann") is None
