"""Who may do that: by what is granted (`with_perm`, Django row A2.5), and by everything that says yes (`holders`)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from asgiauth import AnonymousUser, Auth, Permission, Ref, Rule, User
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import UnknownPermission

from .granting import Post, a_blog, permission_id, store_permission

PERM = "blog.change_post"
HERE, THERE = Ref("blog.post", 42), Ref("blog.post", 43)
OWN = Rule(PERM, check=lambda user, post: post.author_id == user.id, where=lambda user, t: t.c.author_id == user.id)
SEEN = Rule("blog.view_post", check=lambda user, post: True, where=lambda user, t: t.c.id > 0, anonymous=True)


async def people(auth: Auth) -> dict[str, User]:
    """Everybody who may have PERM in one way or another, twice: active and not."""
    found: dict[str, User] = {}
    await auth.groups.create("editors", [PERM])
    chosen = await auth.groups.create("chosen")
    await auth.permissions.grant(chosen, PERM, HERE)
    for suffix in ("", "_off"):
        names = ("nobody", "direct", "member", "both", "here", "chosen", "there", "super")
        made = {name: await auth.users.create(name + suffix, is_superuser=name == "super") for name in names}
        for name in ("direct", "both"):
            await auth.permissions.grant(made[name], PERM)
        for name in ("member", "both"):
            await auth.groups.add(made[name], "editors")
        await auth.groups.add(made["chosen"], "chosen")
        await auth.permissions.grant(made["here"], PERM, HERE)
        await auth.permissions.grant(made["both"], PERM, HERE)
        await auth.permissions.grant(made["there"], PERM, THERE)
        await auth.permissions.grant(made["nobody"], "blog.add_post")
        for name, user in made.items():
            found[name + suffix] = await auth.users.update(user, is_active=not suffix)
    return found


def names(users: Any) -> list[str]:
    assert [user.id for user in users] == sorted(user.id for user in users)
    return [user.username for user in users]


def of(text: str, suffix: str = "") -> list[str]:
    return [name + suffix for name in text.split()]


async def test_A2_5_with_perm_finds_whom_it_is_granted_to(blog: Auth) -> None:
    everybody = await people(blog)
    ask = blog.users.with_perm
    assert names(await ask(PERM)) == of("direct member both super")
    assert names(await ask(PERM, superusers=False)) == of("direct member both")
    assert names(await ask(PERM, active=False)) == of("direct member both super", "_off")
    assert names(await ask(PERM, active=False, superusers=False)) == of("direct member both", "_off")
    assert names(await ask(PERM, active=None)) == of("direct member both super") + of(
        "direct member both super", "_off"
    )
    assert await ask(PERM, superusers=False) == [everybody[name] for name in of("direct member both")]


async def test_B10_2_with_perm_on_an_object_finds_whom_it_is_granted_to_there_too(blog: Auth) -> None:
    await people(blog)
    for obj in (HERE, Post(42)):
        assert names(await blog.users.with_perm(PERM, obj=obj)) == of("direct member both here chosen super")
        assert names(await blog.users.with_perm(PERM, obj=obj, active=False, superusers=False)) == of(
            "direct member both here chosen", "_off"
        )
    assert names(await blog.users.with_perm(PERM, obj=Post(None))) == of("direct member both super")
    with pytest.raises(TypeError, match=r"is about blog\.post"):
        await blog.users.with_perm(PERM, obj=Ref("blog.comment", 42))


async def test_A2_5_what_is_no_name_of_a_permission_is_refused_as_django_does(blog: Auth) -> None:
    message = r"^Permission name should be in the form app_label\.permission_codename\.$"
    for perm in ("nodots", "too.many.dots", "...", ""):
        with pytest.raises(ValueError, match=message):
            await blog.users.with_perm(perm)
    things: list[Any] = [None, 42, object(), b"blog.add_post"]
    for perm in things:
        with pytest.raises(TypeError, match="The `perm` argument must be a string or a permission instance"):
            await blog.users.with_perm(perm)


async def test_A2_5_with_perm_takes_a_permission(blog: Auth) -> None:
    await people(blog)
    found = await blog.users.with_perm(Permission(PERM), superusers=False)  # type: ignore[arg-type]
    assert names(found) == of("direct member both")


@pytest.mark.parametrize(
    "perm", ["blog.Change_post", "Blog.change_post", "blog.change_post ", "blog.fly", "blog.a\0", "."]
)
async def test_nobody_but_superusers_has_what_there_is_not(blog: Auth, perm: str) -> None:
    """MariaDB finds the first three."""
    await people(blog)
    assert names(await blog.users.with_perm(perm)) == ["super"]
    assert await blog.users.with_perm(perm, superusers=False) == []


async def test_of_several_permissions_of_one_name_each_counts(url: str) -> None:
    """As for `check()`, and for Django: but on an object only that of its resource does."""
    async with a_blog(url, permissions=[Permission("blog.stamp", model="post")]) as blog:
        ann, bob = await blog.users.create("ann"), await blog.users.create("bob")
        comment = await store_permission(blog, "comment", "stamp")
        async with blog._database.unit() as unit:
            await unit.insert(blog.tables.user_permissions, {"user_id": ann.id, "permission_id": comment})
            row = {"user_id": bob.id, "permission_id": comment, "object_key": 42}
            await unit.execute(insert(blog.tables.user_grant_integer).values(row))
        assert await exact(blog, "blog.stamp") == await exact(blog, "blog.stamp", HERE) == ["ann"]
        assert await blog.users.with_perm("blog.stamp", obj=HERE) == [ann]
        await blog.permissions.grant(bob, "blog.stamp", HERE)
        assert await exact(blog, "blog.stamp", HERE) == ["ann", "bob"]
        assert await blog.users.with_perm("blog.stamp", obj=HERE) == [ann, bob]


@pytest.mark.parametrize(
    ("perm", "keys"),
    [("blog.view_document", [UUID(int=1), UUID(int=2)]), ("blog.view_tag", ["a", "A", "a ", "á"])],
    ids=["uuid", "text"],
)
async def test_each_key_has_holders_of_its_own(blog: Auth, perm: str, keys: list[Any]) -> None:
    resource = perm.replace("view_", "")
    users = [await blog.users.create(f"u{n}") for n in range(len(keys))]
    for user, key in zip(users, keys, strict=True):
        await blog.permissions.grant(user, perm, Ref(resource, key))
    for user, key in zip(users, keys, strict=True):
        assert await blog.permissions.holders(perm, Ref(resource, key)) == [user]
        assert await blog.users.with_perm(perm, obj=Ref(resource, key)) == [user]


# holders: exactly those for whom check() says yes


async def exact(auth: Auth, perm: str, obj: object | None = None) -> list[str]:
    """The names of the holders, after a look at each user whether they are."""
    found = await auth.permissions.holders(perm, obj)
    every = (await auth.users.page(limit=1000)).items
    assert found == [user for user in every if await auth.permissions.check(user, perm, obj)]
    return names(found)


async def test_holders_are_exactly_those_who_may(blog: Auth) -> None:
    await people(blog)
    assert await exact(blog, PERM) == of("direct member both super")
    for obj in (HERE, Post(42)):
        assert await exact(blog, PERM, obj) == of("direct member both here chosen super")
    assert await exact(blog, PERM, THERE) == of("direct member both there super")
    assert await exact(blog, PERM, Ref("blog.post", 2**63)) == of("direct member both super")
    assert await exact(blog, "blog.add_post") == of("nobody super")
    for typo in ("blog.fly", "fly", "blog.Add_post", "blog.a\0"):
        with pytest.raises(UnknownPermission, match="sync"):
            await blog.permissions.holders(typo)
    with pytest.raises(TypeError):
        await blog.permissions.holders(PERM, Ref("blog.comment", 42))


async def test_holders_by_grants_are_one_query(blog: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    await people(blog)
    asked: list[Any] = []
    fetch = blog._database.fetch

    async def counted(statement: Any, **parameters: Any) -> Any:
        asked.append(statement)
        return await fetch(statement, **parameters)

    monkeypatch.setattr(blog._database, "fetch", counted)
    for obj in (None, HERE, Post(42)):
        asked.clear()
        await blog.permissions.holders(PERM, obj)
        assert len(asked) == 1


async def write_posts(auth: Auth, authors: dict[int, User]) -> None:
    table = auth.permissions.resources["blog.post"].table
    async with auth._database.unit() as unit:
        for id_, author in authors.items():
            await unit.execute(insert(table).values(id=id_, author_id=author.id))


async def test_B10_4_who_may_by_a_rule_is_a_holder(url: str) -> None:
    async with a_blog(url, rules=[OWN, SEEN]) as blog:
        everybody = await people(blog)
        await write_posts(blog, {42: everybody["nobody"], 43: everybody["there_off"]})
        for obj in (HERE, Post(42, everybody["nobody"].id)):
            assert await exact(blog, PERM, obj) == of("nobody direct member both here chosen super")
        assert await exact(blog, PERM, THERE) == of("direct member both there super")
        assert await exact(blog, PERM) == of("direct member both super")
        assert await exact(blog, "blog.view_post", HERE) == list(everybody)  # an anonymous rule: inactive ones as well
        assert await exact(blog, "blog.view_post", Ref("blog.post", 44)) == ["super"]


class Opinion:
    """A source of the application."""

    name = "opinion"

    async def granted(self, user: Any) -> list[str]:
        return [PERM] if user.username == "nobody_off" else []

    async def allows(self, user: Any, perm: str, obj: object | None) -> bool | None:
        return False if user.username == "direct" else True if (user.username, obj) == ("there", HERE) else None


async def test_A5_1_what_a_source_of_the_application_says_counts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A final no of one that is asked before the grants, too; and there may be more users than a page holds."""
    monkeypatch.setattr("asgiauth.permissions.holders.PAGE_LIMIT", 3)
    async with a_blog(url, rules=[OWN], backends=[Opinion(), PasswordBackend()]) as blog:
        await people(blog)
        assert await exact(blog, PERM) == [*of("member both super"), "nobody_off"]
        assert await exact(blog, PERM, HERE) == [*of("member both here chosen there super"), "nobody_off"]
        with pytest.raises(UnknownPermission):
            await blog.permissions.holders("blog.fly")


async def test_what_was_granted_by_hand_counts(blog: Auth) -> None:
    ann = await blog.users.create("ann")
    async with blog._database.unit() as unit:
        row = {"user_id": ann.id, "permission_id": await permission_id(blog, "blog.moderate")}
        await unit.insert(blog.tables.user_permissions, row)
    assert await blog.permissions.holders("blog.moderate") == await blog.users.with_perm("blog.moderate") == [ann]
    assert not await blog.permissions.check(AnonymousUser(), "blog.moderate")
