"""Permissions as they are declared, stored, renamed and shown (rows A4, A18.4 and A19.4)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from asgiauth import Auth, Group, Permission, crud
from asgiauth.exceptions import ConfigurationError
from asgiauth.permissions.declaration import split

from ..conftest import make_auth
from ..sessions.helpers import rows
from ..sites import connected, run
from .blog import POST, blog, user

CRUD = [
    ("blog", "post", "add_post", "Can add post"),
    ("blog", "post", "change_post", "Can change post"),
    ("blog", "post", "delete_post", "Can delete post"),
    ("blog", "post", "view_post", "Can view post"),
]


async def stored(auth: Auth, url: str) -> list[tuple[str, str, str, str]]:
    """App, model, codename and name of each permission in the database."""
    permission, kind = auth.tables.permission, auth.tables.content_type
    joined = select(kind.c.app_label, kind.c.model, permission.c.codename, permission.c.name).join_from(
        permission, kind, kind.c.id == permission.c.content_type_id
    )
    return sorted(tuple(row.values()) for row in await rows(url, joined))


async def kinds(auth: Auth, url: str) -> list[tuple[str, str]]:
    """The content types."""
    return sorted((row["app_label"], row["model"]) for row in await rows(url, auth.tables.content_type))


async def test_A4_1_crud_declares_djangos_four(url: str) -> None:
    async with connected(url, permissions=crud("blog", "Post")) as auth:
        assert await stored(auth, url) == CRUD
        assert await kinds(auth, url) == [("blog", "post")]


def test_A4_1_a_model_is_called_as_django_calls_it() -> None:
    assert [permission.name for permission in crud("blog", "BlogPost", actions=["add"])] == ["Can add blog post"]
    assert [permission.perm for permission in crud("blog", "BlogPost", actions=["add"])] == ["blog.add_blogpost"]
    assert [permission.name for permission in crud("blog", "post", "article", actions=["add"])] == ["Can add article"]


async def test_A4_2_permissions_of_ones_own_stand_beside_the_four_or_alone(url: str) -> None:
    publish = Permission("blog.publish_post", "Can publish posts", model="post")
    row = ("blog", "post", "publish_post", "Can publish posts")
    async with connected(url, permissions=[*crud("blog", "post", actions=()), publish]) as auth:
        assert await stored(auth, url) == [row]
    async with connected(url, permissions=[*crud("blog", "post"), publish]) as auth:
        assert await stored(auth, url) == sorted([*CRUD, row])


async def test_A4_3_A18_4_they_are_made_once_with_their_content_types(url: str) -> None:
    """`create_tables()` and `asgiauth syncpermissions` call `sync()`. Deliberately different: not a part of `migrate`."""
    auth = make_auth(url, permissions=crud("blog", "post"))
    async with auth:
        await auth.create_tables()
        assert await auth.permissions.sync() == []
        await auth.create_tables()
        assert await stored(auth, url) == CRUD
    more = make_auth(url, permissions=[*crud("blog", "post"), Permission("shop.close")])
    async with more:
        assert await more.permissions.sync() == ["shop.close"]
        assert await more.permissions.sync() == []
        assert await stored(more, url) == [*CRUD, ("shop", "", "close", "Can close")]
        assert await kinds(more, url) == [("blog", "post"), ("shop", "")]


async def test_A4_3_what_is_declared_no_more_stays(url: str) -> None:
    """As in Django: somebody may hold it."""
    async with connected(url, permissions=crud("blog", "post")):
        pass
    async with connected(url) as auth:
        assert await stored(auth, url) == CRUD


async def test_A4_4_a_renamed_model_takes_its_permissions_along(url: str) -> None:
    """From name to name and back to the first one, with everything that was granted. Deliberately different: the
    declaration says what was renamed, for there are no migrations of models to see it in."""
    async with blog(url, "ann") as auth:
        await auth.permissions.grant(await user(auth, "ann"), "blog.change_post")
        before = await stored(auth, url)
    for model, former in (("article", ["post"]), ("story", ["article", "post"]), ("post", ["story"])):
        async with blog(url, permissions=crud("blog", model, renamed_from=former), resources=()) as auth:
            assert await auth.permissions.of(await user(auth, "ann")) == {f"blog.change_{model}"}
            assert ("blog", model, f"add_{model}", f"Can add {model}") in await stored(auth, url)
            assert await kinds(auth, url) == [("blog", model), ("shop", "")]
    async with blog(url) as auth:
        assert await stored(auth, url) == before


async def test_A4_4_a_name_that_skips_one_is_carried_over_at_once(url: str) -> None:
    """A database that has never seen `article`."""
    async with blog(url, "ann") as auth:
        await auth.permissions.grant(await user(auth, "ann"), "blog.change_post")
    async with blog(url, permissions=crud("blog", "story", renamed_from=["article", "post"]), resources=()) as auth:
        assert await auth.permissions.of(await user(auth, "ann")) == {"blog.change_story"}


async def test_A4_4_a_rename_leaves_the_same_codename_of_another_model_alone(url: str) -> None:
    async with connected(url, permissions=[*crud("blog", "post"), Permission("blog.flag", model="page")]) as auth:
        page = next(row["id"] for row in await rows(url, auth.tables.content_type) if row["model"] == "page")
        await run(url, auth.tables.permission.insert().values(name="Own", codename="change_post", content_type_id=page))
    async with connected(url, permissions=crud("blog", "article", renamed_from="post")) as auth:
        assert [row[1:3] for row in await stored(auth, url)] == [
            ("article", "add_article"),
            ("article", "change_article"),
            ("article", "delete_article"),
            ("article", "view_article"),
            ("page", "change_post"),
            ("page", "flag"),
        ]


async def test_A4_4_a_rename_onto_a_permission_that_is_there_is_refused(url: str) -> None:
    """And nothing is changed. Deliberately different: a ConfigurationError, which names what is in the way."""
    async with connected(url, permissions=[*crud("blog", "post"), *crud("blog", "article")]) as auth:
        before = await stored(auth, url)
    auth = make_auth(url, permissions=crud("blog", "article", renamed_from="post"))
    async with auth:
        with pytest.raises(ConfigurationError, match=r"4 permission rename conflict\(s\) detected: blog\.add_article"):
            await auth.permissions.sync()
        assert await stored(auth, url) == before


async def test_A4_4_a_rename_of_what_was_never_there_makes_it(url: str) -> None:
    async with connected(url, permissions=crud("blog", "post", renamed_from="entry")) as auth:
        assert await stored(auth, url) == CRUD


async def test_A4_5_a_proxy_is_a_model_of_its_own(url: str) -> None:
    """Another content type, and granted on its own."""
    async with blog(url, "ann", permissions=[*crud("blog", "post"), *crud("blog", "draft")]) as auth:
        ann = await user(auth, "ann")
        await auth.permissions.grant(ann, "blog.change_draft")
        assert await kinds(auth, url) == [("blog", "draft"), ("blog", "post")]
        assert await auth.permissions.of(ann) == {"blog.change_draft"}
        with pytest.raises(TypeError):
            await auth.permissions.check(ann, "blog.change_draft", POST)


def test_A4_6_the_name_to_ask_for() -> None:
    permission = Permission("blog.publish_post", "Can publish posts", model="post")
    assert permission.user_perm_str == permission.perm == "blog.publish_post"
    assert (permission.app_label, permission.codename) == split(permission.perm) == ("blog", "publish_post")


def test_A4_7_permissions_and_groups_as_text() -> None:
    assert str(Permission("blog.publish_post", "Can publish posts", model="post")) == "blog | post | Can publish posts"
    assert str(Group(id=1, name="Editors")) == "Editors"


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: [*crud("blog", "post"), Permission("blog.change_post")], "'blog.change_post' is declared twice"),
        (lambda: [Permission("blog.own"), Permission("blog.own", "Again")], "'blog.own' is declared twice"),
        (lambda: crud("blog", "post", "n" * 245), "its name has 256 characters, 255 fit"),
        (lambda: crud("blog", "m" * 94), "its codename has 101 characters, 100 fit"),
        (lambda: [Permission("blog.own", "n" * 256)], "its name has 256 characters, 255 fit"),
        (lambda: [Permission("blog." + "c" * 101)], "its codename has 101 characters, 100 fit"),
        (lambda: [Permission("blog.own", model="m" * 101)], "its model has 101 characters, 100 fit"),
        (lambda: [Permission("a" * 101 + ".own")], "its app has 101 characters, 100 fit"),
        (lambda: [Permission("own")], "write 'app.codename'"),
        (lambda: ["blog.own"], "give Permission"),
    ],
    ids=["builtin", "twice", "verbose", "model", "name", "codename", "content type", "app", "dot", "string"],
)
def test_A4_9_A19_4_what_the_tables_cannot_hold_is_refused_at_the_start(declare: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_auth("sqlite:///never-opened.db", permissions=declare())


def test_A4_9_A19_4_what_just_fits_is_taken() -> None:
    fitting = [
        *crud("blog", "post", "n" * 244),
        *crud("blog", "m" * 93),
        *crud("blog", "empty", actions=()),
        Permission("blog.first", "n" * 255),
        Permission("blog." + "c" * 100),
    ]
    auth = make_auth("sqlite:///never-opened.db", permissions=fitting)
    assert len(auth.permissions.declared) == 10
