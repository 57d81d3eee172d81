"""What the tests of permissions in a request share: a blog, and the ways to change what somebody may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response

from asgiauth import Auth, Permission, Resource, User, crud

from ..conftest import make_auth
from .guarding import PASSWORD

ADD, CHANGE, READ = "blog.add_post", "blog.change_post", "news.read_item"
POSTS = 100


@dataclass(frozen=True)
class Post:
    id: int


def blog() -> dict[str, Any]:
    """For `Auth(**blog())`: posts with permissions of their own, and one that is about no object."""
    table = Table("blog_post", MetaData(), Column("id", Integer, primary_key=True))
    return {
        "permissions": [*crud("blog", "post"), Permission(READ)],
        "resources": [Resource("blog.post", table=table, type=Post)],
    }


async def load_post(connection: HTTPConnection) -> Post | None:
    """Of the path: there are those up to 100."""
    number = int(connection.path_params["id"])
    return Post(number) if number <= POSTS else None


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


@asynccontextmanager
async def opened(database: Any, *names: str, **options: Any) -> AsyncIterator[Auth]:
    """Connected, with its tables, its permissions, and users of these names."""
    auth = make_auth(database, **{**blog(), **options})
    async with auth:
        await auth.create_tables()
        for name in names:
            await auth.users.create(name, password=PASSWORD)
        yield auth


async def named(auth: Auth, name: str = "ann") -> User:
    user = await auth.users.get_by(username=name)
    assert user is not None
    return user


async def grant(auth: Auth, perm: str, obj: Post | None = None, *, to: str = "ann") -> None:
    await auth.permissions.grant(await named(auth, to), perm, obj)


async def revoke(auth: Auth, perm: str, obj: Post | None = None, *, of: str = "ann") -> None:
    await auth.permissions.revoke(await named(auth, of), perm, obj)


async def join(auth: Auth, group: str, name: str = "ann") -> None:
    await auth.groups.add(await named(auth, name), group)


async def leave(auth: Auth, group: str, name: str = "ann") -> None:
    await auth.groups.remove(await named(auth, name), group)
