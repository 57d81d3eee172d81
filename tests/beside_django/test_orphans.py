"""Rows of ours whose user, group or permission Django has deleted: they count for nothing, also when somebody else gets
the same id, and go with `clearsessions`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import String, select

from asgiauth import Auth, Group, Permission, User, UserModel
from asgiauth.db.beside_django import to_django
from asgiauth.testing import Client

from ..parity.blog import OTHER, PERMISSIONS, POST, blog, posts, user
from ..sessions.helpers import Site
from ..sites import PASSWORD, count
from .driving import LIKE_DJANGO, Django

OBJECTS = ("blog.change_post", "blog.preview_post")
POLICY = replace(LIKE_DJANGO, history=3)
YES, NO = [True], [False]


async def answers(auth: Auth, who: User) -> list[bool]:
    """What is answered, in each way that there is to ask whether the user may change the post."""
    permissions, perm = auth.permissions, "blog.change_post"
    allowed = await permissions.where(who, perm, posts)
    asked = [
        await permissions.check(who, perm, POST),
        who in await permissions.holders(perm, POST),
        (await permissions.explain(who, perm, POST)).allowed,
        perm in await permissions.of(who, POST),
        POST.id in [row["id"] for row in await auth._database.fetch(select(posts.c.id).where(allowed))],
    ]
    return sorted(set(asked))


async def shared_with(auth: Auth) -> list[str]:
    """Who was granted anything on the post, as one question or the other answers."""
    found = {str(one) for one, _ in await auth.permissions.grants_on(POST)}
    direct = {str(one) for one in await auth.users.with_perm("blog.change_post", obj=POST)}
    return sorted(found | direct)


async def rows_of_ours(url: str, auth: Auth) -> dict[str, int]:
    """How many rows each table has that refers to Django's."""
    tables = [table for table in auth.tables.all() if to_django(table)]
    counted = {table.name.removeprefix("asgiauth_"): await count(url, table) for table in tables}
    return {name: number for name, number in counted.items() if number}


async def make_posts(auth: Auth, author: User) -> None:
    """In Django's own table."""
    async with auth._database.unit() as unit:
        for post in (POST, OTHER):
            await unit.text(f"INSERT INTO blog_post (id, title, author_id) VALUES ({post.id}, 'x', {author.id})")


async def settled(site: Site, who: User) -> Client:
    """A user with rows in many tables of ours: a session, grants, a history, a flag."""
    users, permissions = site.auth.users, site.auth.permissions
    for password in (PASSWORD + "!", PASSWORD):
        await users.set_password(who, password, validate=False)
    browser = await site.log_in(who.username)
    for perm in OBJECTS:
        await permissions.grant(who, perm, POST)
    await permissions.grant(who, "shop.close")
    await users.require_password_change(who)
    return browser


async def seen(site: Site, browser: Client) -> str:
    return str(await site.ask(browser, lambda request: request.user.username))


async def test_A2_20_what_belonged_to_a_user_whom_django_deletes_is_nobodys(django: Django, url: str) -> None:
    """The session is over, and the object in hand may do nothing. Name and address are free. The job deletes what is
    left, and nothing else."""
    async with blog(url, "bob", passwords=POLICY) as auth:
        site, bob = Site(auth), await user(auth, "bob")
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        await make_posts(auth, bob)
        browser, bobs = await settled(site, ann), await settled(site, bob)
        assert (await answers(auth, ann), await answers(auth, bob), await shared_with(auth)) == (
            YES,
            YES,
            ["ann", "bob"],
        )
        before = await rows_of_ours(url, auth)
        assert await auth._purge_orphans() == 0
        await django("delete", "ann")
        assert (await answers(auth, ann), await answers(auth, bob), await shared_with(auth)) == (NO, YES, ["bob"])
        assert (await seen(site, browser), await seen(site, bobs)) == ("", "bob")
        assert [await auth.users.find(name) for name in ("ann", "ANN", "ann@example.com")] == [None] * 3
        assert await auth.sessions.list(ann) == []
        again = await auth.users.create("Ann", email="ann@example.com")
        assert await auth.users.find("ann") == again
        await auth.users.delete(again)
        (job,) = [job for job in auth._jobs if job.name == "purge what Django has deleted"]
        await job.run()
        assert await rows_of_ours(url, auth) == {name: number // 2 for name, number in before.items()}
        assert (await answers(auth, bob), await seen(site, bobs)) == (YES, "bob")


async def test_A2_20_somebody_else_with_the_same_id_inherits_nothing(django: Django, url: str) -> None:
    """Nor by what was granted twice: a grant to the new one holds, and is the new one's."""
    async with blog(url, "bob", passwords=POLICY) as auth:
        site, bob = Site(auth), await user(auth, "bob")
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        await make_posts(auth, bob)
        browser = await settled(site, ann)
        await django("delete", "ann")
        assert await django("create_user", "eve", password=PASSWORD, id=ann.id) == ann.id
        eve = await user(auth, "eve")
        assert eve == ann
        assert (await answers(auth, eve), await shared_with(auth)) == (NO, [])
        assert await seen(site, browser) == ""
        assert [await auth.users.find(name) for name in ("ann", "ann@example.com")] == [None, None]
        await auth.permissions.grant(eve, "blog.change_post", POST)
        await auth.permissions.grant(eve, "blog.change_post", POST)
        assert (await answers(auth, eve), await shared_with(auth)) == (YES, ["eve"])
        assert not await auth.permissions.check(eve, "blog.preview_post", POST)
        await auth.permissions.revoke(eve, "blog.change_post", POST)
        assert (await answers(auth, eve), await shared_with(auth)) == (NO, [])


async def test_A2_20_a_grant_counts_for_who_joined_by_a_clock_that_is_ahead(django: Django, url: str) -> None:
    """Django runs on another machine; and its admin cuts off the microseconds of the date."""
    async with blog(url) as auth:
        await django("create_user", "ann")
        ann = await user(auth, "ann")
        await make_posts(auth, ann)
        await auth.users.update(ann, date_joined=ann.date_joined + timedelta(hours=1))
        await auth.permissions.grant(ann, "blog.change_post", POST)
        assert await answers(auth, ann) == YES
        await auth.users.update(ann, date_joined=ann.date_joined.replace(microsecond=0))
        assert await answers(auth, ann) == YES


async def test_A2_20_a_user_whose_key_is_a_name_may_come_again_as_somebody_else(sqlite_url: str) -> None:
    """A name as the key: whoever gets it next is not who had it."""
    model: UserModel[User] = UserModel(id_type=String(30))
    async with blog(sqlite_url, user_model=model, passwords=POLICY, shared_with_django=True) as auth:
        site = Site(auth)
        ann = await auth.users.create("ann", id="ann", password=PASSWORD)
        async with auth._database.unit() as unit:
            await unit.text("CREATE TABLE blog_post (id INTEGER, title TEXT)")
            await unit.text("INSERT INTO blog_post VALUES (1, 'x')")
        browser = await settled(site, ann)
        assert await answers(auth, ann) == YES
        async with auth._database.unit() as unit:
            for table in ("auth_user_groups", "auth_user_user_permissions", "auth_user"):
                await unit.text(f"DELETE FROM {table}")
        again = await auth.users.create("ann", id="ann", password=PASSWORD)
        assert again == ann
        assert (await answers(auth, again), await shared_with(auth), await seen(site, browser)) == (NO, [], "")


async def test_A2_20_what_a_group_or_a_permission_was_granted_goes_with_it(django: Django, url: str) -> None:
    """Of groups and permissions that Django deletes. A permission that is declared comes back without any grant."""
    async with blog(url, "ann", "bob") as auth:
        ann, bob = await user(auth, "ann"), await user(auth, "bob")
        await make_posts(auth, ann)
        for name in ("readers", "writers"):
            group = await auth.groups.create(name)
            await auth.groups.add(bob, name)
            await auth.permissions.grant(group, "blog.change_post", POST)
        await auth.permissions.grant(bob, "blog.preview_post", POST)
        assert await auth.permissions.of(bob, POST) == {"blog.change_post", "blog.preview_post"}
        await django("delete_group", "readers")
        assert (await answers(auth, bob), await shared_with(auth)) == (YES, ["bob", "writers"])
        await django("delete_group", "writers")
        assert (await answers(auth, bob), await shared_with(auth)) == (NO, ["bob"])
        await django("delete_permission", "blog.preview_post")
        assert (await auth.permissions.of(bob, POST), await shared_with(auth)) == (frozenset(), [])
        assert await auth.permissions.sync() == ["blog.preview_post"]
        assert (await auth.permissions.of(bob, POST), await shared_with(auth)) == (frozenset(), [])
        found = await rows_of_ours(url, auth)
        assert (found.get("user_grant_integer"), found.get("group_grant_integer")) == (None, None)


async def test_A1_3_after_flush_nothing_of_before_counts_for_those_who_come(django: Django, url: str) -> None:
    """Ids begin anew. What the application declares is there again after `syncpermissions`."""
    async with blog(url, "ann", "bob", passwords=POLICY) as auth:
        site, ann = Site(auth), await user(auth, "ann")
        await make_posts(auth, ann)
        browser = await settled(site, ann)
        readers = await auth.groups.create("readers")
        await auth.permissions.grant(readers, "blog.change_post", POST)
        await django("flush")
        assert await auth._purge_orphans() > 0
        assert await rows_of_ours(url, auth) == {}
        assert not await auth.permissions.check(ann, "shop.close")
        await django("create_user", "eve", password=PASSWORD)
        await django("create_group", "others", [], ["eve"])
        eve, others = await user(auth, "eve"), await auth.groups.get("others")
        assert (eve.id, isinstance(others, Group) and others.id) == (ann.id, readers.id)
        await make_posts(auth, eve)
        assert sorted(await auth.permissions.sync()) == ["blog.preview_post", "shop.close"]
        assert (await answers(auth, eve), await shared_with(auth), await seen(site, browser)) == (NO, [], "")
        await auth.permissions.grant(eve, "blog.change_post", POST)
        assert (await answers(auth, eve), await shared_with(auth)) == (YES, ["eve"])


async def test_A2_20_many_orphans_go_however_many_delete_them_at_once(django: Django, url: str) -> None:
    """In batches; each row is counted once, and those of users who are there stay."""
    async with blog(url, "bob") as auth:
        await django.run("User.objects.bulk_create([User(username=f'u{n}') for n in range(1200)])")
        table = auth.tables.user_state
        async with auth._database.unit() as unit:
            await unit.text(
                f"INSERT INTO {table.name} (user_id, epoch, must_change_password) SELECT id, 0, is_staff FROM auth_user"
            )
        await django.run("User.objects.exclude(username='bob').delete()")
        counted = await asyncio.gather(*(auth._purge_orphans() for _ in range(10)))
        assert (sum(counted), await rows_of_ours(url, auth)) == (1200, {"user_state": 1, "identifier": 1})


async def test_A2_20_where_django_is_not_there_is_nothing_to_purge(sqlite_url: str) -> None:
    """Foreign keys have seen to it."""
    async with blog(sqlite_url, "ann") as auth:
        await auth.permissions.grant(await user(auth, "ann"), "blog.change_post", POST)
        async with auth._database.unit() as unit:
            await unit.text("DELETE FROM auth_user")
        assert (await rows_of_ours(sqlite_url, auth), await auth._purge_orphans()) == ({}, 0)


COMMENT = Permission("blog.moderate_comment", "Can moderate comments", model="comment")


@pytest.mark.parametrize(
    ("option", "gone"),
    [({}, ["blog.moderate_comment"]), ({"include_stale_apps": True}, ["blog.moderate_comment", "shop.close"])],
)
async def test_A4_3_content_types_that_django_finds_stale_take_their_permissions_along(
    sqlite_django: Django, sqlite_url: str, option: dict[str, bool], gone: list[str]
) -> None:
    """Of an app that Django has, and a model that it has not; of others if it is told so. `sync()` restores the
    permissions, not what was granted."""
    async with blog(sqlite_url, "ann", permissions=[*PERMISSIONS, COMMENT]) as auth:
        ann = await user(auth, "ann")
        for perm in ("blog.moderate_comment", "shop.close", "blog.preview_post"):
            await auth.permissions.grant(ann, perm)
        await sqlite_django("command", "remove_stale_contenttypes", interactive=False, **option)
        assert await auth.permissions.of(ann) == {"blog.moderate_comment", "shop.close", "blog.preview_post"} - set(
            gone
        )
        assert sorted(await auth.permissions.sync()) == gone
        assert await auth.permissions.sync() == []
        assert not await auth.permissions.check(ann, "blog.moderate_comment")
        await auth.permissions.grant(ann, "blog.moderate_comment")
        assert await auth.permissions.check(ann, "blog.moderate_comment")
