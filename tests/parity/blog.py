"""A blog whose permissions Django's rows are shown on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table

from asgiauth import Auth, Permission, Resource, User, crud

from ..sites import PASSWORD, connected

posts = Table("blog_post", MetaData(), Column("id", Integer, primary_key=True))
PERMISSIONS: Sequence[Permission] = (
    *crud("blog", "post"),
    Permission("blog.publish_post", "Can publish posts", model="post"),
    Permission("blog.preview_post", "Can preview posts", model="post"),
    Permission("shop.close", "Can close the shop"),
)
NAMES = frozenset(permission.perm for permission in PERMISSIONS)


@dataclass(frozen=True)
class Post:
    id: int


POST, OTHER = Post(1), Post(2)


@asynccontextmanager
async def blog(database: str, *usernames: str, **options: Any) -> AsyncIterator[Auth]:
    """Connected, with its permissions and these users."""
    resources = [Resource("blog.post", table=posts, type=Post)]
    async with connected(database, **{"permissions": PERMISSIONS, "resources": resources, **options}) as auth:
        for username in usernames:
            await auth.users.create(username, password=PASSWORD)
        yield auth


async def user(auth: Auth, username: str) -> User:
    """As the database has it now."""
    found = await auth.users.get_by(username=username)
    assert found is not None
    return found
