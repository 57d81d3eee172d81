"""`sync()`: what is declared becomes rows, once, and a rename carries the grants along (Django rows A4.3, A4.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, delete, select, update

from asgiauth import Auth, Permission, Ref, Resource, crud
from asgiauth.db import Unit
from asgiauth.exceptions import ConfigurationError, Conflict, NotReady
from asgiauth.users.permission_version import PermissionVersions

from ..conftest import make_auth

things = Table("things", MetaData(), Column("id", Integer, primary_key=True))
ARTICLES = [*crud("blog", "article"), Permission("blog.print", "Can print", "article")]
POSTS = [
    *crud("blog", "post", renamed_from="article"),
    Permission("blog.publish", "Can publish", "post", renamed_from="blog.print", model_renamed_from="article"),
]


@asynccontextmanager
async def declaring(url: str, *permissions: Permission, **options: Any) -> AsyncIterator[Auth]:
    """An `Auth` with tables that declares these, and has not written any of them yet."""
    async with make_auth(url) as plain:
        await plain.create_tables()
    async with make_auth(url, permissions=permissions, **options) as auth:
        yield auth


async def rows(auth: Auth) -> list[tuple[str, str, str, str]]:
    """App label, model, codename and name of all that are stored."""
    kind, permission = auth.tables.content_type, auth.tables.permission
    found = await auth._database.fetch(
        select(kind.c.app_label, kind.c.model, permission.c.codename, permission.c.name)
        .join(permission, permission.c.content_type_id == kind.c.id)
        .order_by(kind.c.app_label, kind.c.model, permission.c.codename)
    )
    return [(row["app_label"], row["model"], row["codename"], row["name"]) for row in found]


async def kinds(auth: Auth) -> dict[tuple[str, str], Any]:
    kind = auth.tables.content_type
    found = await auth._database.fetch(select(kind))
    return {(row["app_label"], row["model"]): row["id"] for row in found}


async def version(auth: Auth) -> int:
    """What says that kept sets of permissions are out of date."""
    table = auth.tables.version
    found = await auth._database.fetch_one(select(table.c.value).where(table.c.name == "permissions"))
    return found["value"] if found else 0


async def change(auth: Auth, statement: Any) -> None:
    async with auth._database.unit() as unit:
        await unit.execute(statement)


async def test_A4_3_sync_adds_what_is_declared_and_says_so_once(url: str) -> None:
    """Content types first, one for each model, that of no model too."""
    free = Permission("blog.visit", "Can visit")
    async with declaring(url, *crud("blog", "BlogPost"), free, Permission("shop.buy", "Can buy", "item")) as auth:
        assert await auth.permissions.sync() == [
            "blog.add_blogpost",
            "blog.change_blogpost",
            "blog.delete_blogpost",
            "blog.view_blogpost",
            "blog.visit",
            "shop.buy",
        ]
        assert await rows(auth) == [
            ("blog", "", "visit", "Can visit"),
            ("blog", "blogpost", "add_blogpost", "Can add blog post"),
            ("blog", "blogpost", "change_blogpost", "Can change blog post"),
            ("blog", "blogpost", "delete_blogpost", "Can delete blog post"),
            ("blog", "blogpost", "view_blogpost", "Can view blog post"),
            ("shop", "item", "buy", "Can buy"),
        ]
        assert await auth.permissions.sync() == []
        assert len(await rows(auth)) == 6


async def test_A4_3_what_is_there_stays_as_it_is(url: str) -> None:
    """A content type of Django's is used, a name that was changed is kept, and nothing is deleted."""
    async with declaring(url, *crud("blog", "post")) as auth:
        kind, permission = auth.tables.content_type, auth.tables.permission
        async with auth._database.unit() as unit:
            theirs = await unit.insert(kind, {"app_label": "blog", "model": "post"})
            await unit.insert(kind, {"app_label": "blog", "model": "old"})
            for codename, name in (("add_post", "May add"), ("burn_post", "May burn")):
                await unit.insert(permission, {"content_type_id": theirs, "codename": codename, "name": name})
        assert await auth.permissions.sync() == ["blog.change_post", "blog.delete_post", "blog.view_post"]
        assert (await kinds(auth))["blog", "post"] == theirs
        assert set(await kinds(auth)) == {("blog", "post"), ("blog", "old")}
        assert [(codename, name) for _, _, codename, name in await rows(auth)] == [
            ("add_post", "May add"),
            ("burn_post", "May burn"),
            ("change_post", "Can change post"),
            ("delete_post", "Can delete post"),
            ("view_post", "Can view post"),
        ]
        await change(auth, delete(permission).where(permission.c.codename == "view_post"))
        assert await auth.permissions.sync() == ["blog.view_post"]


async def test_create_tables_declares_the_permissions(url: str) -> None:
    """Whether it has made the tables or another process has."""
    async with make_auth(url, permissions=crud("blog", "post")) as auth:
        with pytest.raises(NotReady):
            await auth.permissions.sync()
        await auth.create_tables()
        assert len(await rows(auth)) == 4
    async with make_auth(url, permissions=[*crud("blog", "post"), Permission("blog.visit")]) as auth:
        await auth.create_tables()
        assert len(await rows(auth)) == 5


async def test_without_declarations_nothing_is_asked(sqlite_url: str) -> None:
    async with make_auth(sqlite_url) as auth:  # there are no tables yet
        assert await auth.permissions.sync() == []


async def test_more_than_fit_into_one_statement_are_added_too(url: str) -> None:
    declared = [permission for number in range(130) for permission in crud("big", f"model{number}")]
    async with declaring(url, *declared) as auth:
        assert len(await auth.permissions.sync()) == 520
        assert len(await rows(auth)) == 520
        assert await auth.permissions.sync() == []


async def test_A4_3_sixty_at_once_add_each_permission_once(url: str) -> None:
    """Each on a connection of its own, as twenty processes that start together have; one of them says it has added it."""
    declared = [*crud("blog", "post"), Permission("blog.visit")]
    async with declaring(url) as plain:
        others = [make_auth(url, permissions=declared) for _ in range(20)]
        for other in others:
            await other.__aenter__()
        try:
            added = await asyncio.gather(*(other.permissions.sync() for other in others for _ in range(3)))
        finally:
            for other in others:
                await other.__aexit__(None, None, None)
        assert sorted(perm for one in added for perm in one) == sorted(one.perm for one in declared)
        assert len(await rows(plain)) == 5


async def test_A4_3_twenty_at_once_make_the_tables_and_declare(url: str) -> None:
    auths = [make_auth(url, permissions=crud("blog", "post")) for _ in range(20)]

    async def start(auth: Auth) -> None:
        async with auth:
            await auth.create_tables()

    await asyncio.gather(*map(start, auths))
    async with declaring(url) as plain:
        assert len(await rows(plain)) == 4


async def test_A4_4_a_rename_carries_grants_of_users_and_groups_along(url: str) -> None:
    """Everywhere and on single objects: the rows keep their ids."""
    old = Resource("blog.article", table=things)
    async with declaring(url, *ARTICLES, resources=[old]) as auth:
        await auth.permissions.sync()
        ann, bob = await auth.users.create("ann"), await auth.users.create("bob")
        editors = await auth.groups.create("editors")
        await auth.groups.add(bob, "editors")
        await auth.permissions.grant(ann, "blog.add_article")
        await auth.permissions.grant(ann, "blog.change_article", Ref("blog.article", 1))
        await auth.permissions.grant(editors, "blog.print")
        await auth.permissions.grant(editors, "blog.delete_article", Ref("blog.article", 2))
        before = await kinds(auth)
    async with declaring(url, *POSTS, resources=[Resource("blog.post", table=things)]) as auth:
        assert await auth.permissions.sync() == []
        assert (await kinds(auth))["blog", "post"] == before["blog", "article"]
        assert ("blog", "article") not in await kinds(auth)
        assert [(codename, name) for _, _, codename, name in await rows(auth)] == [
            ("add_post", "Can add post"),
            ("change_post", "Can change post"),
            ("delete_post", "Can delete post"),
            ("publish", "Can publish"),
            ("view_post", "Can view post"),
        ]
        check, post = auth.permissions.check, Ref("blog.post", 1)
        assert await check(ann, "blog.add_post")
        assert await check(ann, "blog.change_post", post)
        assert not await check(ann, "blog.change_post", Ref("blog.post", 2))
        assert await check(bob, "blog.publish")
        assert await check(bob, "blog.delete_post", Ref("blog.post", 2))
        assert not await check(bob, "blog.delete_post", post)
        assert await auth.permissions._sync() == ([], [])


async def test_A4_4_a_rename_tells_what_it_has_renamed_and_drops_kept_sets(url: str) -> None:
    """In every process: by the version that each lookup of a session brings along. What is only added changes nothing
    that anybody may do."""
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
        assert await version(auth) == 0
    async with declaring(url, *POSTS) as auth:
        assert (await auth.permissions._sync()).renamed == [
            ("blog.add_article", "blog.add_post"),
            ("blog.change_article", "blog.change_post"),
            ("blog.delete_article", "blog.delete_post"),
            ("blog.view_article", "blog.view_post"),
            ("blog.print", "blog.publish"),
        ]
        renamed = await version(auth)
        assert renamed != 0
        await auth.permissions.sync()
        assert await version(auth) == renamed


async def ids(auth: Auth) -> dict[str, Any]:
    permission = auth.tables.permission
    return {row["codename"]: row["id"] for row in await auth._database.fetch(select(permission))}


async def test_A4_4_a_chain_is_one_rename_and_works_backwards(url: str) -> None:
    """A database that has skipped the release with B comes from A to C; declared the other way, C becomes A again."""
    async with declaring(url, *crud("blog", "a")) as auth:
        await auth.permissions.sync()
        first = await ids(auth)
    async with declaring(url, *crud("blog", "c", renamed_from=["b", "a"])) as auth:
        assert await auth.permissions.sync() == []
        assert (await ids(auth))["add_c"] == first["add_a"]
    async with declaring(url, *crud("blog", "b", renamed_from="c")) as auth:
        await auth.permissions.sync()
        assert (await ids(auth))["add_b"] == first["add_a"]
    async with declaring(url, *crud("blog", "c", renamed_from=["b", "a"])) as auth:
        await auth.permissions.sync()
        assert (await ids(auth))["add_c"] == first["add_a"]
    async with declaring(url, *crud("blog", "a", renamed_from=["c", "b"])) as auth:
        assert await auth.permissions.sync() == []
        assert await ids(auth) == first


async def test_A4_4_what_is_not_declared_moves_with_its_model(url: str) -> None:
    """As in Django: the content type's row is renamed, with all that refers to it."""
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
    async with declaring(url, *crud("blog", "post", renamed_from="article")) as auth:
        assert await auth.permissions.sync() == []
        assert ("blog", "post", "print", "Can print") in await rows(auth)


POSTS_WITH_RELEASE = [*crud("blog", "post"), Permission("blog.release", model="post")]
ARTICLES_WITH_PUBLISH = [
    *crud("blog", "article", renamed_from="post"),
    Permission("blog.publish", model="article", renamed_from=["blog.release"]),
]


@pytest.mark.parametrize("declared", [ARTICLES_WITH_PUBLISH, ARTICLES_WITH_PUBLISH[::-1]], ids=["last", "first"])
@pytest.mark.parametrize("kind_is_there", [False, True], ids=["renamed", "there"])
async def test_A4_4_a_permission_is_renamed_together_with_its_model(
    url: str, declared: list[Permission], kind_is_there: bool
) -> None:
    """One that says its model was called otherwise says it for the others, in any order, whether the content type is
    renamed or is there already; once is enough."""
    async with declaring(url, *POSTS_WITH_RELEASE) as auth:
        await auth.permissions.sync()
        first = await ids(auth)
        ann = await auth.users.create("ann")
        await auth.permissions.grant(ann, "blog.release")
        await auth.permissions.grant(ann, "blog.change_post")
        if kind_is_there:
            await change(auth, auth.tables.content_type.insert().values(app_label="blog", model="article"))
    async with declaring(url, *declared) as auth:
        added, renamed = await auth.permissions._sync()
        assert added == []
        assert sorted(renamed) == [
            ("blog.add_post", "blog.add_article"),
            ("blog.change_post", "blog.change_article"),
            ("blog.delete_post", "blog.delete_article"),
            ("blog.release", "blog.publish"),
            ("blog.view_post", "blog.view_article"),
        ]
        assert await auth.permissions.check(ann, "blog.publish")
        assert await auth.permissions.check(ann, "blog.change_article")
        assert not await auth.permissions.check(ann, "blog.add_article")
        after = await ids(auth)
        assert (after["publish"], after["change_article"]) == (first["release"], first["change_post"])
        assert [row[:3] for row in await rows(auth)] == [
            ("blog", "article", codename)
            for codename in ("add_article", "change_article", "delete_article", "publish", "view_article")
        ]
        before = await rows(auth), await kinds(auth), await version(auth)
        assert await auth.permissions._sync() == ([], [])
        assert (await rows(auth), await kinds(auth), await version(auth)) == before


async def test_A4_4_a_permission_that_keeps_its_name_goes_along_with_its_model(url: str) -> None:
    """Also where the content type is there already, and so is not renamed."""
    async with declaring(url, *POSTS_WITH_RELEASE, Permission("blog.read", model="article")) as auth:
        await auth.permissions.sync()
        first = await ids(auth)
    kept = [Permission("blog.release", model="article"), Permission("blog.read", model="article")]
    async with declaring(url, *kept, *crud("blog", "article", renamed_from="post")) as auth:
        assert await auth.permissions.sync() == []
        assert (await ids(auth))["release"] == first["release"]
        assert {row[1] for row in await rows(auth)} == {"article"}
        assert await auth.permissions._sync() == ([], [])


async def test_A4_4_one_of_no_model_does_not_speak_for_others(url: str) -> None:
    """They have no model in common that could have been called otherwise."""
    async with declaring(url, *ARTICLES, Permission("blog.read", model="article")) as auth:
        await auth.permissions.sync()
    async with declaring(url, Permission("blog.print", model_renamed_from="article"), Permission("blog.read")) as auth:
        assert await auth.permissions.sync() == ["blog.read"]
        assert ("blog", "article", "read", "Can read") in await rows(auth)
        assert ("blog", "article", "print", "Can print") not in await rows(auth)


async def test_A4_4_a_permission_may_move_alone(url: str) -> None:
    """To another model, another application, or none, while others stay: the content types stay, too."""
    before = [
        *crud("blog", "article", actions="add"),
        Permission("blog.print", "Can print", "article"),
        Permission("blog.visit", "Can visit"),
        Permission("news.read", "Can read", "paper"),
    ]
    after = [
        *crud("blog", "article", actions="add"),
        Permission("blog.print", "Can print", model_renamed_from="article"),
        Permission("blog.visit", "Can visit", "page", model_renamed_from=""),
        Permission("blog.read", "Can read", "paper", renamed_from="news.read"),
    ]
    async with declaring(url, *before) as auth:
        await auth.permissions.sync()
        first = await ids(auth)
    async with declaring(url, *after) as auth:
        assert await auth.permissions._sync() == ([], [("news.read", "blog.read")])
        assert await ids(auth) == first
        assert [row[:3] for row in await rows(auth)] == [
            ("blog", "", "print"),
            ("blog", "article", "add_article"),
            ("blog", "page", "visit"),
            ("blog", "paper", "read"),
        ]
        assert ("news", "paper") in await kinds(auth)


async def test_A4_4_a_model_that_two_come_from_is_renamed_to_the_first(url: str) -> None:
    """The other one gets a content type of its own, and its permission all the same."""
    after = [
        Permission("blog.add_post", "Can add", "post", renamed_from="blog.add_article", model_renamed_from="article"),
        Permission("blog.print", "Can print", "page", model_renamed_from="article"),
    ]
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
        first, kind = await ids(auth), (await kinds(auth))["blog", "article"]
    async with declaring(url, *after) as auth:
        assert await auth.permissions.sync() == []
        assert (await kinds(auth))["blog", "post"] == kind
        assert (await ids(auth))["add_post"] == first["add_article"]
        assert ("blog", "page", "print", "Can print") in await rows(auth)


async def test_A4_4_where_old_and_new_are_stored_nothing_is_changed(url: str) -> None:
    """Django's `RuntimeError` is a `ConfigurationError` that names them. Without the former name all is well."""
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
    async with declaring(url, *crud("blog", "post", actions=["add", "view"])) as auth:
        await auth.permissions.sync()
        before = await rows(auth), await kinds(auth)
    async with declaring(url, *POSTS, Permission("shop.buy")) as auth:
        for attempt in (auth.permissions.sync, auth.create_tables):
            with pytest.raises(ConfigurationError) as refused:
                await attempt()
            assert str(refused.value).startswith(
                "2 permission rename conflict(s) detected: blog.add_post (blog.add_article); "
                "blog.view_post (blog.view_article). The database has rows under both names, and nothing was changed"
            )
        assert (await rows(auth), await kinds(auth)) == before
        assert await version(auth) == 0
        permission = auth.tables.permission
        await change(auth, delete(permission).where(permission.c.codename.in_(["add_post", "view_article"])))
        assert await auth.permissions._sync() == (
            ["shop.buy"],
            [
                ("blog.add_article", "blog.add_post"),
                ("blog.change_article", "blog.change_post"),
                ("blog.delete_article", "blog.delete_post"),
                ("blog.print", "blog.publish"),
            ],
        )
        assert set(await kinds(auth)) == {("blog", "article"), ("blog", "post"), ("shop", "")}


async def test_A4_4_two_former_names_that_are_stored_are_a_conflict_too(url: str) -> None:
    """Nobody could tell whose grants are meant."""
    async with declaring(url, Permission("blog.a"), Permission("blog.b")) as auth:
        await auth.permissions.sync()
    async with declaring(url, Permission("blog.c", renamed_from=["blog.b", "blog.a"])) as auth:
        with pytest.raises(ConfigurationError, match=r"1 permission rename conflict.*blog.c \(blog.b, blog.a\)"):
            await auth.permissions.sync()


async def test_A4_4_twenty_that_rename_at_once_rename_once(url: str) -> None:
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
        first = await ids(auth)
    auths = [make_auth(url, permissions=POSTS) for _ in range(20)]

    async def start(auth: Auth) -> int:
        async with auth:
            return len((await auth.permissions._sync()).renamed)

    assert sorted(await asyncio.gather(*map(start, auths))) == [0] * 19 + [5]
    async with declaring(url) as auth:
        assert (await ids(auth))["publish"] == first["print"]
        assert await version(auth) != 0


async def test_all_of_it_is_one_unit_of_work(url: str) -> None:
    """What fails at the end undoes the beginning; inside a unit of the application it is a part of that."""
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
        before = await rows(auth), await kinds(auth)
    async with declaring(url, *POSTS, Permission("shop.buy")) as auth:
        with pytest.raises(ZeroDivisionError):
            async with auth._database.unit():
                assert await auth.permissions.sync() == ["shop.buy"]
                assert await auth.permissions.sync() == []
                raise ZeroDivisionError
        assert (await rows(auth), await kinds(auth)) == before


class _Late(PermissionVersions):
    """Lets somebody else be faster, who does not wait: Django's `migrate`."""

    attempts = 0

    async def all_changed(self, unit: Unit) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise Conflict("unique")
        await super().all_changed(unit)


async def test_a_conflict_with_somebody_who_does_not_wait_is_tried_again(url: str) -> None:
    async with declaring(url, *ARTICLES) as auth:
        await auth.permissions.sync()
    async with declaring(url, *POSTS) as auth:
        auth.permissions._versions = late = _Late(auth.tables)
        assert len((await auth.permissions._sync()).renamed) == 5
        assert late.attempts == 2


class _Stubborn(PermissionVersions):
    async def alone(self, unit: Unit) -> None:
        raise Conflict("unique")


async def test_a_conflict_that_stays_is_told_with_its_cure(url: str) -> None:
    async with declaring(url, *ARTICLES) as auth:
        auth.permissions._versions = _Stubborn(auth.tables)
        with pytest.raises(ConfigurationError, match="Declare it as it is written there"):
            await auth.permissions.sync()
        assert await rows(auth) == []


async def test_what_mariadb_takes_for_the_same_is_told(url: str, server: str) -> None:
    """'blog.Publish' of Django's is another permission than 'blog.publish', but not to MariaDB."""
    async with declaring(url, Permission("blog.publish", model="post")) as auth:
        async with auth._database.unit() as unit:
            theirs = await unit.insert(auth.tables.content_type, {"app_label": "blog", "model": "post"})
            row = {"content_type_id": theirs, "codename": "Publish", "name": "Can Publish"}
            await unit.insert(auth.tables.permission, row)
        if server == "mysql":
            with pytest.raises(ConfigurationError, match="differs in case or accents alone"):
                await auth.permissions.sync()
        else:
            assert await auth.permissions.sync() == ["blog.publish"]
        codenames = {codename for _, _, codename, _ in await rows(auth)}
        assert codenames == ({"Publish"} if server == "mysql" else {"Publish", "publish"})


async def test_a_name_that_was_changed_by_hand_is_kept_until_a_rename(url: str) -> None:
    async with declaring(url, Permission("blog.a", "Can A")) as auth:
        await auth.permissions.sync()
        await change(auth, update(auth.tables.permission).values(name="Darf A"))
        assert await auth.permissions.sync() == []
        assert [row[3] for row in await rows(auth)] == ["Darf A"]
    async with declaring(url, Permission("blog.b", "Can B", renamed_from="blog.a")) as auth:
        await auth.permissions.sync()
        assert [row[3] for row in await rows(auth)] == ["Can B"]
