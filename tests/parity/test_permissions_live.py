"""A1.3 to A1.5, A4 and A5 beside a real Django, on one database: what one grants, the other sees."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from asgiauth import Auth, Permission, crud
from asgiauth.db.migrate import upgrade

from ..conftest import make_auth
from ..sessions.helpers import Site, rows
from ..sites import count
from .blog import NAMES, PERMISSIONS, POST, blog, user
from .test_hashes import DJANGO, django

OF_DJANGO = [
    *crud("auth", "user"),
    *crud("auth", "group"),
    *crud("auth", "permission"),
    *crud("contenttypes", "contenttype", "content type"),
    *crud("sessions", "session"),
]
"""As an application declares what Django's own models have."""


def as_rows(*permissions: Permission) -> list[list[str]]:
    return sorted([one.app_label, one.model, one.codename, one.name] for one in permissions)


async def ask(url: str, *steps: tuple[Any, ...]) -> Any:
    return await django("django_permissions.py", url, stdin=steps)


async def ours(auth: Auth, username: str) -> list[list[str]]:
    who, permissions = await user(auth, username), auth.permissions
    found = [await permissions.of(who), await permissions.direct(who), await permissions.from_groups(who)]
    return [sorted(names) for names in found]


async def holders(auth: Auth, perm: str, active: bool | None, superusers: bool) -> list[str]:
    return sorted(found.username for found in await auth.users.with_perm(perm, active=active, superusers=superusers))


WITH_PERM = [
    ("with_perm", perm, active, superusers)
    for perm in ("blog.add_post", "shop.close")
    for active in (True, False, None)
    for superusers in (True, False)
]

MODELS = [
    "Post",
    "BlogPost",
    "HTTPServer",
    "OAuth2Token",
    "ABTest",
    "IPv4Address",
    "X",
    "postA",
    "A1B2",
    "My_Model",
    "URL",
    "Été",
]

if DJANGO is not None:

    async def test_A5_what_asgiauth_grants_django_sees(sqlite_url: str) -> None:
        """On a database that asgiauth made: sets, single answers, and everybody who holds a permission."""
        async with blog(sqlite_url, "ann", "bob", "off") as auth:
            ann, bob, off = [await user(auth, name) for name in ("ann", "bob", "off")]
            await auth.users.create_superuser("root")
            await auth.users.create_superuser("gone", is_active=False)
            writers = await auth.groups.create("writers", ["blog.add_post", "shop.close"])
            for who in (ann, off):
                await auth.groups.add(who, "writers")
            await auth.permissions.grant(ann, "blog.publish_post")
            await auth.permissions.grant(bob, "blog.add_post")
            await auth.permissions.revoke(writers, "shop.close")
            await auth.users.update(off, is_active=False)
            names = ["ann", "bob", "off", "root", "gone"]
            answers = await ask(
                sqlite_url,
                *(("sets", name) for name in names),
                *(("has", name, perm) for name in names for perm in sorted(NAMES)),
                *(("has_module", name, app) for name in names for app in ("blog", "shop", "post")),
                *WITH_PERM,
            )
            expected: list[Any] = [await ours(auth, name) for name in names]
            users = [await user(auth, name) for name in names]
            expected += [await auth.permissions.check(who, perm) for who in users for perm in sorted(NAMES)]
            expected += [
                await auth.permissions.has_module(who, app) for who in users for app in ("blog", "shop", "post")
            ]
            expected += [await holders(auth, *arguments) for _, *arguments in WITH_PERM]  # type: ignore[arg-type]
            assert answers == expected
            assert answers[0] == [["blog.add_post", "blog.publish_post"], ["blog.publish_post"], ["blog.add_post"]]

    async def test_A5_what_django_grants_asgiauth_sees(sqlite_url: str) -> None:
        """On a database that Django made, at the next question: nothing is kept there."""
        await ask(sqlite_url, ("migrate",))
        async with blog(sqlite_url, "ann", "bob") as auth:
            assert auth.permissions.keeps is False
            assert await ours(auth, "ann") == [[], [], []]
            answers = await ask(
                sqlite_url,
                ("user", "cat", False),
                ("user", "root", True),
                ("grant", "ann", "blog.add_post"),
                ("grant", "cat", "auth.change_user"),
                ("group", "writers", ["blog.add_post", "shop.close"], ["bob", "cat"]),
                *(("sets", name) for name in ("ann", "bob", "cat", "root")),
                *WITH_PERM,
            )
            assert answers[5:9] == [await ours(auth, name) for name in ("ann", "bob", "cat", "root")]
            assert answers[9:] == [await holders(auth, *arguments) for _, *arguments in WITH_PERM]  # type: ignore[arg-type]
            assert answers[7] == [
                ["auth.change_user", "blog.add_post", "shop.close"],
                ["auth.change_user"],
                ["blog.add_post", "shop.close"],
            ]
            assert await auth.permissions.check(await user(auth, "cat"), "shop.close")
            assert {member.username for member in await auth.groups.members("writers")} == {"bob", "cat"}

    @pytest.mark.parametrize("first", ["asgiauth", "django"])
    async def test_A4_3_neither_makes_anew_what_the_other_has_made(sqlite_url: str, first: str) -> None:
        """`sync()` declares Django's own permissions too, and `migrate` makes them: each once, whoever came first, and
        with the same texts."""
        declared = [*PERMISSIONS, *OF_DJANGO]
        auth = make_auth(sqlite_url, permissions=declared)
        async with auth:
            if first == "django":
                await ask(sqlite_url, ("migrate",))
                await auth.create_tables()
            else:
                await upgrade(auth, for_django=True)
            _, found, *texts = await ask(
                sqlite_url, ("migrate",), ("permissions",), ("text", "blog.publish_post"), ("text", "shop.close")
            )
            assert found == as_rows(*declared)
            assert await auth.permissions.sync() == []
            assert await ask(sqlite_url, ("permissions",)) == [found]
            kinds = [(row["app_label"], row["model"]) for row in await rows(sqlite_url, auth.tables.content_type)]
            assert sorted(kinds) == sorted({(one.app_label, one.model) for one in declared})
            of_name = {one.perm: one for one in PERMISSIONS}
            for (text, name), one in zip(texts, (of_name["blog.publish_post"], of_name["shop.close"]), strict=True):
                assert (text.split(" | ")[-1], name) == (one.name, one.user_perm_str)

    async def test_A5_7_what_django_grants_holds_at_the_next_request(sqlite_url: str) -> None:
        """And what it takes away: of a session that goes on."""
        await ask(sqlite_url, ("migrate",))
        async with blog(sqlite_url, "ann") as auth:
            site = Site(auth)
            browser = await site.log_in("ann")

            async def view(request: Request) -> list[bool]:
                return [await request.auth.has_perm(perm) for perm in ("blog.add_post", "shop.close")]

            assert await site.ask(browser, view) == [False, False]
            await ask(sqlite_url, ("grant", "ann", "blog.add_post"))
            assert await site.ask(browser, view) == [True, False]
            await ask(sqlite_url, ("group", "keepers", ["shop.close"], ["ann"]))
            assert await site.ask(browser, view) == [True, True]
            await ask(sqlite_url, ("revoke", "ann", "blog.add_post"), ("delete_group", "keepers"))
            assert await site.ask(browser, view) == [False, False]

    async def test_A5_5_what_django_deletes_takes_its_grants_on_objects_along(sqlite_url: str) -> None:
        """They are in tables that Django knows nothing of: what is left there counts for nothing, and goes with the next
        `clearsessions`."""
        await ask(sqlite_url, ("migrate",))
        async with blog(sqlite_url, "ann", "bob") as auth:
            ann, bob = await user(auth, "ann"), await user(auth, "bob")
            readers = await auth.groups.create("readers")
            await auth.groups.add(bob, "readers")
            for subject in (ann, readers):
                await auth.permissions.grant(subject, "blog.change_post", POST)
            await auth.permissions.grant(bob, "blog.preview_post", POST)
            assert await auth.permissions.of(bob, POST) == {"blog.change_post", "blog.preview_post"}
            await ask(sqlite_url, ("delete_user", "ann"), ("delete_group", "readers"))
            assert await auth.permissions.of(bob, POST) == {"blog.preview_post"}
            await ask(sqlite_url, ("delete_permission", "blog.preview_post"))
            assert await auth.permissions.of(bob, POST) == frozenset()
            await auth._purge_orphans()
            grants = [*auth.tables.user_grants(), *auth.tables.group_grants()]
            assert [await count(sqlite_url, table) for table in grants] == [0] * 6

    async def test_A4_1_models_are_called_as_django_calls_them(sqlite_url: str) -> None:
        """Where a verbose name is not given."""
        found = await ask(sqlite_url, *(("verbose", model) for model in MODELS))
        assert [crud("blog", model, actions=["add"])[0].name for model in MODELS] == [
            f"Can add {name}" for name in found
        ]
