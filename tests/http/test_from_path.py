"""`resource.from_path("id")`: the object of the path for a guard, on each server, in Starlette and FastAPI."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import Column, Integer, MetaData, SmallInteger, String, Table, Uuid
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from asgiauth import Auth, Ref, Resource, crud
from asgiauth.db import Unit
from asgiauth.db.schema import create_tables
from asgiauth.exceptions import ConfigurationError
from asgiauth.fastapi import Requires
from asgiauth.guards import Guard, perm, requires, staff
from asgiauth.permissions.lookup import is_there

from ..conftest import client, make_auth
from .guarding import people, site
from .permitting import hello, named

CHANGE = "blog.change_post"
KEY = uuid.UUID("6f1c0a3e-4b0f-4d7e-9a53-2f6f3c0d9b11")
ODD = [
    "0",
    "-1",
    "042",
    "+42",
    " 42",
    "42 ",
    "4_2",
    "٤٢",
    "42.0",
    "42abc",
    "abc",
    "%00",
    "%ED%A0%80",
    "é",
    "'",
    "x" * 300,
]
LARGE = ["40000", "99999999999", str(2**63 - 1), str(2**63), "-" + str(2**63 + 1), "9" * 200, "9" * 5000]
KINDS: dict[str, tuple[Any, Any, list[str]]] = {
    # the column, the key of the one row, and what names no row
    "integer": (Integer(), 42, [*ODD, *LARGE]),
    "small": (SmallInteger(), 42, [*ODD, *LARGE]),
    "text": (String(50), "Pears", ["pears", "PEARS", "Pears%20", "Pèars", *ODD, *LARGE]),
    "uuid": (Uuid(), KEY, [KEY.hex, f"{{{KEY}}}", f"urn:uuid:{KEY}", str(KEY)[:-1] + "0", *ODD, *LARGE]),
}


@asynccontextmanager
async def blog(url: str, kind: str) -> AsyncIterator[tuple[Auth, Resource]]:
    """With one post."""
    metadata, (column, key, _) = MetaData(), KINDS[kind]
    table = Table("post", metadata, Column("id", column, primary_key=True, autoincrement=False))
    posts = Resource("blog.post", table=table)
    auth = make_auth(url, permissions=crud("blog", "post"), resources=[posts], metadata=metadata)

    async def store(unit: Unit) -> None:
        await unit.insert(table, {"id": key})

    async with auth:
        await auth.create_tables()
        await create_tables(auth._database, metadata, [table])
        await auth._database.atomic(store)
        yield auth, posts


async def view(request: Request) -> Response:
    return PlainTextResponse("in")


@pytest.mark.parametrize("kind", KINDS)
async def test_B10_1_the_object_of_the_path_is_there_or_it_is_404(url: str, kind: str) -> None:
    """Whatever stands in the path: no server is asked what it could not be asked. One text alone names a key."""
    _, key, missing = KINDS[kind]
    async with blog(url, kind) as (auth, posts):
        guard = perm(CHANGE, obj=posts.from_path())
        visitors = await people(auth)
        await auth.permissions.grant(await named(auth), CHANGE, posts.ref(key))
        starlette = site(auth, Route("/posts/{id}", requires(guard)(view)), exception_handlers=auth.exception_handlers)
        fastapi = FastAPI(middleware=auth.middleware, exception_handlers=auth.exception_handlers)

        @fastapi.get("/posts/{id}", dependencies=[Depends(Requires(guard))])
        async def change(id: str) -> str:  # noqa: A002
            return "in"

        expected = {"anonymous": (401, 401), "user": (200, 404), "staff": (403, 404), "superuser": (200, 404)}
        for app in (starlette, fastapi):
            async with client(app) as browser:
                for who, (there, gone) in expected.items():
                    answer = await browser.get(f"/posts/{key}", headers=visitors[who])
                    assert answer.status_code == there, who
                    for text in missing:
                        answer = await browser.get(f"/posts/{text}", headers=visitors[who])
                        assert answer.status_code == gone, (who, text)


@pytest.mark.parametrize(("kind", "path"), [("integer", "{id:int}"), ("uuid", "{id:uuid}")])
async def test_B10_1_a_parameter_that_the_route_has_converted_is_taken(sqlite_url: str, kind: str, path: str) -> None:
    _, key, _ = KINDS[kind]
    async with blog(sqlite_url, kind) as (auth, posts):
        visitors = await people(auth)
        guard = perm(CHANGE, obj=posts.from_path())
        mount = Mount(f"/mount/{path}", routes=[Route("/in", hello)], middleware=[Guard(guard)])
        app = site(auth, Route(f"/posts/{path}", requires(guard)(view)), mount)
        others = [str(uuid.UUID(int=0))] if kind == "uuid" else [str(2**31), str(2**64)]
        async with client(app) as browser:
            for place in ("/posts/{}", "/mount/{}/in"):
                answer = await browser.get(place.format(key), headers=visitors["superuser"])
                assert answer.status_code == 200
                for other in others:
                    answer = await browser.get(place.format(other), headers=visitors["superuser"])
                    assert answer.status_code == 404


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Id(uuid.UUID):
    """As a driver or a converter of paths may hand out."""


@pytest.mark.parametrize(
    ("kind", "key", "other"),
    [
        ("integer", Number(42), Number(43)),
        ("small", Number(42), Number(40000)),
        ("text", Text("Pears"), Text("pears")),
        ("uuid", Id(str(KEY)), Id(int=0)),
    ],
)
async def test_B10_1_a_key_may_be_of_a_subclass(url: str, kind: str, key: Any, other: Any) -> None:
    async with blog(url, kind) as (auth, posts):
        assert await is_there(auth._database, posts, posts.ref(key))
        assert not await is_there(auth._database, posts, posts.ref(other))
        assert await is_there(auth._database, posts, Ref("blog.post", key))


async def test_a_uuid_may_be_written_in_capitals(sqlite_url: str) -> None:
    async with blog(sqlite_url, "uuid") as (auth, posts):
        visitors = await people(auth)
        guard = perm(CHANGE, obj=posts.from_path("key"))
        async with client(site(auth, Route("/{key}", requires(guard)(view)))) as browser:
            assert (await browser.get(f"/{str(KEY).upper()}", headers=visitors["superuser"])).status_code == 200


async def test_a_route_that_cannot_name_the_object_is_an_error_that_says_so(sqlite_url: str) -> None:
    """A guard on a mount stands before the inner route; a float is no key."""
    async with blog(sqlite_url, "integer") as (auth, posts):
        visitors = await people(auth)
        guard = staff | perm(CHANGE, obj=posts.from_path())
        routes = [
            Mount("/posts", routes=[Route("/{id:int}", hello)], middleware=[Guard(guard)]),
            Route("/{id:float}", requires(guard)(view)),
        ]
        async with client(site(auth, *routes)) as browser:
            for headers in visitors.values():
                with pytest.raises(
                    ConfigurationError, match=r"there is no \{id\} in the path of this route; a Guard on"
                ):
                    await browser.get("/posts/42", headers=headers)
                with pytest.raises(TypeError, match=r"a key of blog\.post is int, not float"):
                    await browser.get("/4.2", headers=headers)


def test_a_guard_says_where_its_object_comes_from() -> None:
    posts = Resource("blog.post", table=Table("post", MetaData(), Column("id", Integer, primary_key=True)))
    assert repr(perm(CHANGE, obj=posts.from_path("post_id"))) == (
        "perm('blog.change_post', obj=Resource('blog.post').from_path('post_id'))"
    )
