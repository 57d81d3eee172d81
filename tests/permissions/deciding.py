"""Who is asked, and users to ask about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from asgiauth import AnonymousUser, Auth, Resource, Rule, User
from asgiauth.backends import PasswordBackend

from .granting import Post, a_blog

PERM = "blog.change_post"
NOBODY = AnonymousUser()


class Users(NamedTuple):
    ann: User
    gone: User
    boss: User
    gone_boss: User


async def make_users(auth: Auth) -> Users:
    """Active, inactive, superuser, inactive superuser."""
    return Users(
        ann=await auth.users.create("ann"),
        gone=await auth.users.create("gone", is_active=False),
        boss=await auth.users.create("boss", is_superuser=True),
        gone_boss=await auth.users.create("gone_boss", is_active=False, is_superuser=True),
    )


@asynccontextmanager
async def deciding(
    url: str, *sources: Any, before: Sequence[Any] = (), authors: Sequence[int | None] = (), **options: Any
) -> AsyncIterator[tuple[Auth, Users]]:
    """A blog that asks `before` ahead of the password backend and `sources` after what the database grants, with a post
    by each of the `authors`, numbered from 1."""
    backends = [*before, PasswordBackend(), *sources]
    async with a_blog(url, backends=backends, **options) as auth:
        posts = auth.permissions.resources["blog.post"].table
        async with auth._database.unit() as unit:
            for number, author in enumerate(authors, start=1):
                await unit.execute(insert(posts).values(id=number, author_id=author))
        yield auth, await make_users(auth)


class Backend:
    """For credentials, which nobody has."""

    name = "backend"

    async def authenticate(self, connection: object, token: str) -> None:
        return None


class Granting(Backend):
    def __init__(self, *perms: str, name: str = "granting") -> None:
        self.name = name
        self.perms = perms

    async def granted(self, user: Any) -> Collection[str]:
        return self.perms


class Saying(Backend):
    """Answers `answer` and notes what it was asked."""

    def __init__(self, answer: Any, name: str = "saying") -> None:
        self.name = name
        self.answer = answer
        self.asked: list[tuple[Any, str, object]] = []

    async def allows(self, user: Any, perm: str, obj: object) -> bool | None:
        self.asked.append((user, perm, obj))
        if isinstance(self.answer, BaseException):
            raise self.answer
        answer: bool | None = self.answer
        return answer


class Choosing(Backend):
    """Says yes to some posts and a final no to others, by number; and grants everywhere."""

    name = "choosing"

    def __init__(self, *, yes: Collection[int] = (), no: Collection[int] = (), everywhere: bool = False) -> None:
        self.yes, self.no, self.everywhere = yes, no, everywhere

    async def granted(self, user: Any) -> Collection[str]:
        return [PERM] if self.everywhere else []

    async def allows(self, user: Any, perm: str, obj: Any) -> bool | None:
        key = None if obj is None else obj.id if isinstance(obj, Post) else obj.key
        return False if key in self.no else True if key in self.yes else None

    async def where(self, user: Any, perm: str, t: Any) -> Any:
        return t.c.id.in_(self.yes)


class Excluding(Choosing):
    name = "excluding"

    async def excludes(self, user: Any, perm: str, t: Any) -> Any:
        return t.c.id.in_(self.no) if self.no else None


def rule(check: Callable[[Any, Any], Any], where: Callable[[Any, Any], Any], **options: Any) -> Rule:
    return Rule(PERM, check=check, where=where, **options)


OWN = rule(lambda user, post: post.author_id == user.id, lambda user, t: t.c.author_id == user.id)


def posts_of(auth: Auth) -> Any:
    return auth.permissions.resources["blog.post"].table


async def selected(auth: Auth, user: Any, perm: str = PERM, on: Any = None) -> list[int]:
    """The posts that `where()` selects."""
    t = posts_of(auth) if on is None else on
    rows = await auth._database.fetch(
        select(t.c.id).where(await auth.permissions.where(user, perm, t)).order_by(t.c.id)
    )
    return [row["id"] for row in rows]


async def checked(auth: Auth, user: Any, perm: str = PERM) -> list[int]:
    """The posts that `check()` says yes to: as objects, and by their keys."""
    resource: Resource = auth.permissions.resources["blog.post"]
    rows = await auth._database.fetch(select(resource.table).order_by(resource.key))
    check = auth.permissions.check
    by_object = [row["id"] for row in rows if await check(user, perm, Post(row["id"], row["author_id"]))]
    by_key = [row["id"] for row in rows if await check(user, perm, resource.ref(row))]
    assert by_object == by_key
    return by_object


@asynccontextmanager
async def statements(auth: Auth) -> AsyncIterator[list[str]]:
    """The SQL that goes to the driver meanwhile, on each server."""
    driver, sent = auth._database._driver, list[str]()
    fetch = driver.fetch

    async def noting(raw: Any, sql: str, arguments: Any) -> Any:
        sent.append(sql)
        return await fetch(raw, sql, arguments)

    driver.fetch = noting  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        del driver.fetch
