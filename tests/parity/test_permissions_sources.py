"""Who is asked what somebody may do, and in which order (rows A3.4, A5 and A6 of backends)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from starlette.requests import Request

from asgiauth import AnonymousUser, Ref
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import PermissionDenied

from ..sessions.helpers import Site
from .blog import NAMES, OTHER, PERMISSIONS, POST, Post, blog, user

NOBODY = AnonymousUser()


class Granting:
    """Grants without a look at who asks."""

    async def granted(self, user: Any) -> Collection[str]:
        return ["blog.add_post", "forum.moderate", "flag"]


class ByRow:
    """Knows about single posts: all of them are bob's, the anonymous and the inactive have one permission each."""

    async def granted(self, user: Any) -> Collection[str]:
        return ["forum.read"] if user.is_anonymous or user.is_active else []

    async def allows(self, user: Any, perm: str, obj: object | None) -> bool | None:
        if not isinstance(obj, Post):
            return None
        if user.is_anonymous:
            return perm == "blog.view_post" or None
        if not user.is_active:
            return perm == "blog.preview_post" or None
        return True if user.username == "bob" else None


class Denying:
    """A backend for credentials and for permissions that denies whatever it is asked."""

    name = "denying"

    async def authenticate(self, connection: Any, *, username: str, password: str) -> None:
        raise PermissionDenied("not here")

    async def allows(self, user: Any, perm: str, obj: object | None) -> bool | None:
        raise PermissionDenied("not that")


class Known:
    """A backend that knows some users and says nothing of what they may do."""

    name = "known"

    async def authenticate(self, connection: Any, *, username: str, password: str) -> None:
        return None


class Backend(Granting):
    """One for both."""

    name = "both"

    async def authenticate(self, connection: Any, *, username: str, password: str) -> None:
        return None


class PermissionsOnly(ByRow):
    """A backend that no credentials fit: it knows nobody, only what they may do."""

    name = "permissions"

    async def authenticate(self, connection: Any) -> None:
        return None


class Counting:
    """Grants nothing, and counts how often it is asked."""

    name = "counting"
    asked = 0

    async def authenticate(self, connection: Any) -> None:
        return None

    async def granted(self, user: Any) -> Collection[str]:
        self.asked += 1
        return ()


async def test_A6_7_a_source_grants_beside_the_database(sqlite_url: str) -> None:
    """What it grants is a part of all that the user may do. Deliberately different: whether through a group is known of
    the grants in the database alone."""
    async with blog(sqlite_url, "ann", backends=[PasswordBackend(), Backend()]) as auth:
        ann = await user(auth, "ann")
        await auth.permissions.grant(ann, "blog.view_post")
        assert await auth.permissions.of(ann) == {"blog.view_post", "blog.add_post", "forum.moderate", "flag"}
        assert await auth.permissions.direct(ann) == {"blog.view_post"}
        assert await auth.permissions.from_groups(ann) == frozenset()
        for perm in ("blog.view_post", "blog.add_post", "forum.moderate", "flag"):
            assert await auth.permissions.check(ann, perm), perm
        assert await auth.permissions.check(ann, "blog.add_post", POST)
        assert not await auth.permissions.check(ann, "blog.change_post", POST)


async def test_A5_5_an_object_that_belongs_to_nothing_is_an_error(sqlite_url: str) -> None:
    """Deliberately different: a TypeError, where Django answers no."""
    async with blog(sqlite_url, "ann", backends=[PasswordBackend(), Backend()]) as auth:
        ann = await user(auth, "ann")
        for perm in ("blog.add_post", "blog.change_post"):
            with pytest.raises(TypeError, match=r"give an instance of Post, or Ref"):
                await auth.permissions.check(ann, perm, object())
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await auth.permissions.check(ann, "shop.close", POST)
        with pytest.raises(TypeError, match="belongs to no Resource"):
            await auth.permissions.of(ann, object())


async def test_A5_5_a_source_decides_about_single_objects(sqlite_url: str) -> None:
    async with blog(sqlite_url, "ann", "bob", "off", backends=[PasswordBackend(), PermissionsOnly()]) as auth:
        ann, bob, off = [await user(auth, name) for name in ("ann", "bob", "off")]
        off = await auth.users.update(off, is_active=False)

        async def may(user: Any, *perms: str, obj: object | None = POST) -> list[bool]:
            return [await auth.permissions.check(user, perm, obj) for perm in perms]

        both = ("blog.view_post", "blog.preview_post")
        assert await may(ann, *both) == [False, False]
        assert await may(bob, *both) == [True, True]
        assert await may(bob, *both, obj=None) == [False, False]
        assert await may(off, *both) == [False, True]
        assert await may(NOBODY, *both) == [True, False]
        theirs = frozenset(permission.perm for permission in PERMISSIONS if permission.model == "post")
        assert [await auth.permissions.of(user, POST) for user in (ann, bob, off, NOBODY)] == [
            frozenset(),
            theirs,
            {"blog.preview_post"},
            {"blog.view_post"},
        ]
        assert await auth.permissions.of(bob) == {"forum.read"}


async def test_A5_5_a_source_may_know_objects_that_are_no_resource(sqlite_url: str) -> None:
    """It gets them as they are, and looks at them itself."""
    async with blog(sqlite_url, "ann", "bob", backends=[PasswordBackend(), PermissionsOnly()], resources=()) as auth:
        answers = [
            await auth.permissions.check(who, perm, obj)
            for who in (await user(auth, "bob"), await user(auth, "ann"))
            for perm in ("blog.view_post", "perm")
            for obj in (POST, object())
        ]
        assert answers == [True, False, True, False, False, False, False, False]


async def test_A5_4_what_groups_may_do_with_an_object_is_a_part_of_the_whole(sqlite_url: str) -> None:
    """Deliberately different: `of(user, obj)` has it, and `explain` says through which group."""
    async with blog(sqlite_url, "ann") as auth:
        ann = await user(auth, "ann")
        editors = await auth.groups.create("editors")
        await auth.groups.add(ann, "editors")
        await auth.permissions.grant(editors, "blog.change_post", POST)
        assert await auth.permissions.of(ann, POST) == {"blog.change_post"}
        assert await auth.permissions.of(ann, OTHER) == frozenset()
        assert await auth.permissions.from_groups(ann) == frozenset()
        explanation = await auth.permissions.explain(ann, "blog.change_post", POST)
        assert "editors" in str(explanation)


async def test_A3_4_the_sources_are_asked_about_the_anonymous(sqlite_url: str) -> None:
    async with blog(sqlite_url, backends=[PasswordBackend(), PermissionsOnly()]) as auth:
        assert await auth.permissions.check(NOBODY, "forum.read")
        assert await auth.permissions.check(NOBODY, "blog.view_post", POST)
        assert not await auth.permissions.check(NOBODY, "blog.change_post", POST)
        assert await auth.permissions.of(NOBODY) == {"forum.read"}
        assert await auth.permissions.direct(NOBODY) == await auth.permissions.from_groups(NOBODY) == frozenset()
        assert [await auth.permissions.has_module(NOBODY, app) for app in ("forum", "blog")] == [True, False]

        async def view(request: Request) -> list[bool]:
            return [
                await request.auth.has_perm("blog.view_post", POST),
                await request.auth.has_perms(["forum.read"]),
                await request.auth.has_perms(["blog.view_post"], POST),
                await request.auth.has_perms(["blog.view_post", "blog.change_post"], POST),
            ]

        site = Site(auth)
        assert await site.ask(site.browser(), view) == [True, True, True, False]


async def test_A3_4_without_a_source_the_anonymous_may_nothing(sqlite_url: str) -> None:
    async with blog(sqlite_url) as auth:
        assert await auth.permissions.of(NOBODY) == await auth.permissions.of(NOBODY, POST) == frozenset()
        assert [await auth.permissions.check(NOBODY, perm) for perm in sorted(NAMES)] == [False] * len(NAMES)
        assert not await auth.permissions.check(NOBODY, "blog.view_post", Ref("blog.post", 1))
        assert not await auth.permissions.has_module(NOBODY, "blog")


async def test_A5_2_has_perms_takes_names_and_not_one_string(sqlite_url: str) -> None:
    async with blog(sqlite_url, "ann", backends=[PasswordBackend(), PermissionsOnly()]) as auth:
        site = Site(auth)

        async def view(request: Request) -> str:
            for wrong in ("blog.view_post", object()):
                with pytest.raises(ValueError, match="perm_list must be an iterable of permissions"):
                    await request.auth.has_perms(wrong)
            return "asked"

        assert await site.ask(site.browser(), view) == "asked"


async def test_A5_3_the_inactive_have_no_application(sqlite_url: str) -> None:
    async with blog(sqlite_url, "ann", backends=[PermissionsOnly(), PasswordBackend()]) as auth:
        ann = await user(auth, "ann")
        await auth.permissions.grant(ann, "blog.add_post")
        assert [await auth.permissions.has_module(ann, app) for app in ("forum", "blog", "shop")] == [True, True, False]
        ann = await auth.users.update(ann, is_active=False)
        assert [await auth.permissions.has_module(ann, app) for app in ("forum", "blog", "shop")] == [False] * 3


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
async def test_A5_1_a_denial_is_final_for_those_who_are_asked_later(sqlite_url: str, first: bool) -> None:
    """And changes nothing of what was answered before."""
    backends: list[Any] = [Denying(), PasswordBackend()] if first else [PasswordBackend(), Denying()]
    async with blog(sqlite_url, "ann", backends=backends) as auth:
        ann = await user(auth, "ann")
        await auth.permissions.grant(ann, "blog.add_post")
        held = not first
        assert await auth.permissions.check(ann, "blog.add_post") is held
        assert await auth.permissions.check(ann, "blog.add_post", POST) is held
        assert await auth.permissions.has_module(ann, "blog") is held
        assert await auth.permissions.of(ann) == ({"blog.add_post"} if held else frozenset())
        assert not await auth.permissions.check(ann, "blog.change_post")


async def test_A5_1_a_denial_does_not_stop_a_superuser(sqlite_url: str) -> None:
    """Nobody is asked about an active one."""
    async with blog(sqlite_url, backends=[Denying(), PasswordBackend()]) as auth:
        root = await auth.users.create_superuser("root")
        assert await auth.permissions.check(root, "blog.add_post", POST)
        assert await auth.permissions.has_module(root, "anything")


async def test_A5_1_A6_15_a_backend_that_says_nothing_of_permissions_is_not_asked(sqlite_url: str) -> None:
    async with blog(sqlite_url, "ann", backends=[Known()]) as auth:
        ann = await user(auth, "ann")
        assert not await auth.permissions.check(ann, "blog.add_post")
        await auth.permissions.grant(ann, "blog.add_post")
        assert await auth.permissions.check(ann, "blog.add_post")


async def test_A5_7_A5_8_what_a_request_has_asked_is_kept_for_it(sqlite_url: str) -> None:
    """Deliberately different: in `request.auth`, not on the user; the services ask afresh each time."""
    counting = Counting()
    async with blog(sqlite_url, "ann", backends=[PasswordBackend(), counting]) as auth:
        site = Site(auth)
        browser = await site.log_in("ann")

        async def view(request: Request) -> list[bool]:
            before = await request.auth.has_perm("blog.add_post")
            await auth.permissions.grant(request.user, "blog.add_post")
            return [
                before,
                await request.auth.has_perm("blog.add_post"),
                await auth.permissions.check(request.user, "blog.add_post"),
            ]

        counting.asked = 0
        assert await site.ask(browser, view) == [False, False, True]
        assert counting.asked == 1
        assert await site.ask(browser, view) == [True, True, True]
