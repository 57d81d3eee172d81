"""A blog, and who is in it, on each server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asgiauth import Auth, Group, User

from .granting import a_blog


@pytest.fixture
async def blog(url: str) -> AsyncIterator[Auth]:
    async with a_blog(url) as auth:
        yield auth


@pytest.fixture
async def ann(blog: Auth) -> User:
    return await blog.users.create("ann")


@pytest.fixture
async def editors(blog: Auth, ann: User) -> Group:
    """A group with Ann in it."""
    group = await blog.groups.create("editors")
    await blog.groups.add(ann, "editors")
    return group
