"""What nobody has committed is no answer for later, and what a transaction sees is no ground to grant."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, insert, select
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from asgiauth import Auth, Permission, Ref, Resource, Rule, User
from asgiauth.db import Unit
from asgiauth.permissions.question import Held

from ..conftest import client, make_auth
from ..databases import engine_url
from ..http.guarding import cookie_of, site
from .granting import Post, a_blog

ADD = "blog.add_post"


async def test_A5_7_a_version_that_is_rolled_back_proves_nothing(url: str) -> None:
    """A request looks itself up inside a transaction of the application, which then fails. Whatever number comes next,
    what was read before is not taken for it."""
    engine = create_async_engine(engine_url(url))
    seen: list[bool] = []

    async with a_blog(url) as auth:
        ann = await auth.users.create("ann", password="correct horse")
        editors = await auth.groups.create("editors", [ADD])
        await auth.groups.add(ann, "editors")

        async def view(request: Request) -> Response:
            async with engine.connect() as connection, auth.joined(connection):
                await auth.permissions.revoke(editors, ADD)
                await request.auth.refresh()
                seen.append(await request.auth.has_perm(ADD))
                await connection.rollback()
            seen.append(await request.auth.has_perm(ADD))
            return JSONResponse(seen)

        async def held(request: Request) -> Response:
            return JSONResponse(await request.auth.has_perm(ADD))

        async with client(site(auth, Route("/view", view), Route("/held", held))) as browser:
            headers = await cookie_of(auth)
            assert (await browser.get("/view", headers=headers)).json() == [False, True]
            assert (await browser.get("/held", headers=headers)).json() is True
            await auth.permissions.revoke(editors, ADD)
            assert (await browser.get("/held", headers=headers)).json() is False
    await engine.dispose()


async def test_A5_7_what_a_unit_of_work_takes_back_is_not_remembered(sqlite_url: str) -> None:
    """Neither what is held everywhere nor what is held on an object."""
    async with a_blog(sqlite_url) as auth:
        held = Held(await auth.users.create("ann"))
        with pytest.raises(RuntimeError, match="after all not"):
            async with auth._database.unit():
                await auth.permissions.grant(held.user, ADD)
                await auth.permissions.grant(held.user, "blog.change_post", Post(1))
                assert await auth.permissions.decide(held, ADD, None)
                assert await auth.permissions.decide(held, "blog.change_post", Post(1))
                raise RuntimeError("after all not")
        assert not await auth.permissions.decide(held, ADD, None)
        assert not await auth.permissions.decide(held, "blog.change_post", Post(1))


async def test_nobody_is_granted_on_the_word_of_an_old_snapshot(url: str) -> None:
    """Inside of the application's transaction it cannot be told what whoever grants holds now."""
    engine = create_async_engine(engine_url(url))
    async with a_blog(url) as auth, engine.connect() as connection:
        root = await auth.users.create_superuser("root", email="root@site.example")
        ann, editors = await auth.users.create("ann"), await auth.groups.create("editors", [ADD])
        async with auth.joined(connection):
            for change in (
                auth.permissions.grant(ann, ADD, by=root),
                auth.permissions.revoke(editors, ADD, by=root),
                auth.groups.add(ann, "editors", by=root),
            ):
                with pytest.raises(RuntimeError, match="commit first"):
                    await change
        await connection.commit()
        assert await auth.permissions.of(ann) == frozenset()
        assert await auth.groups.permissions(editors) == {ADD}
    await engine.dispose()


class Number(int):
    """As drivers hand out values of classes of their own."""


async def test_B10_4_a_rule_knows_the_keys_that_a_driver_hands_out(url: str) -> None:
    """asyncpg's UUID is a class derived from Python's."""
    tables = {
        "document": Table("document", MetaData(), Column("id", Uuid(), primary_key=True)),
        "page": Table("page", MetaData(), Column("id", Integer, primary_key=True)),
    }
    auth = make_auth(
        url,
        permissions=[Permission(f"blog.read_{model}", model=model) for model in tables],
        resources=[Resource(f"blog.{model}", table=table) for model, table in tables.items()],
        rules=[
            Rule(f"blog.read_{model}", check=lambda user, obj: True, where=lambda user, t: t.c.id.is_not(None))
            for model in tables
        ],
    )
    keys: dict[str, Any] = {"document": uuid.UUID(int=7), "page": 7}
    async with auth:
        await auth.create_tables()
        ann = await auth.users.create("ann")
        for model, table in tables.items():
            await create(auth, table, keys[model])
            (row,) = await auth._database.fetch(select(table))
            assert await auth.permissions.check(
                ann, f"blog.read_{model}", auth.permissions.resources[f"blog.{model}"].ref(row)
            )
        assert await auth.permissions.check(ann, "blog.read_page", Ref("blog.page", Number(7)))
        assert not await auth.permissions.check(ann, "blog.read_page", Ref("blog.page", Number(8)))


async def create(auth: Auth, table: Table, key: Any) -> None:
    from asgiauth.db.schema import create_tables

    await create_tables(auth._database, table.metadata, [table])

    async def work(unit: Unit) -> None:
        await unit.execute(insert(table).values(id=key))

    await auth._database.atomic(work)


async def test_A5_4_two_content_types_may_have_a_permission_of_one_name(sqlite_url: str) -> None:
    """Django lets them: each is about objects of its own."""
    async with a_blog(sqlite_url) as auth:
        ann: User = await auth.users.create("ann")
        kinds = {row["model"]: row["id"] for row in await auth._database.fetch(select(auth.tables.content_type))}

        async def by_hand(unit: Unit) -> None:
            for model in ("post", "comment"):
                values = {"name": "Can feed", "codename": "feed", "content_type_id": kinds[model]}
                await unit.insert(auth.tables.permission, values)

        await auth._database.atomic(by_hand)
        for model in ("post", "comment"):
            assert await auth.permissions.of(ann, Ref(f"blog.{model}", 1)) == frozenset()


@pytest.mark.parametrize("name", ["a" * 101 + ".b", "a." + "b" * 101, "a.b\0", "a.\ud800"], ids=ascii)
async def test_a_name_that_no_database_takes_is_nobodys(auth: Auth, name: str) -> None:
    ann = await auth.users.create("ann")
    assert not await auth.permissions.check(ann, name)
    assert not (await auth.permissions.explain(ann, name)).allowed
