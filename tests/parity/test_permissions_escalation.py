"""Nobody gives away what they do not hold. Django's admin asks whoever adds users for two permissions, for a new user
could be given any (row A20.2); here each grant may be asked who makes it."""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth import AnonymousUser, Auth, Group, User
from asgiauth.exceptions import PermissionDenied

from .blog import OTHER, POST, blog, user


async def held(auth: Auth, who: User) -> list[frozenset[str]]:
    permissions = auth.permissions
    return [await permissions.of(who), await permissions.of(who, POST), await permissions.of(who, OTHER)]


@pytest.mark.parametrize("to_group", [False, True], ids=["user", "group"])
async def test_A20_2_whoever_grants_must_hold_it(url: str, to_group: bool) -> None:
    """Everywhere, to grant it everywhere; on the object, to grant it there. Adding and changing users gives nothing."""
    async with blog(url, "ann", "bob") as auth:
        ann, bob, grant = await user(auth, "ann"), await user(auth, "bob"), auth.permissions.grant
        await auth.groups.create("readers")
        await auth.groups.add(bob, "readers")
        readers = await auth.groups.get("readers")
        assert readers is not None
        subject: User | Group = readers if to_group else bob
        await grant(ann, "blog.add_post")
        await grant(ann, "blog.change_post", POST)
        for perm, obj in (("blog.delete_post", None), ("blog.change_post", None), ("blog.change_post", OTHER)):
            with pytest.raises(PermissionDenied):
                await grant(subject, perm, obj, by=ann)
        assert await held(auth, bob) == [frozenset()] * 3
        await grant(subject, "blog.add_post", by=ann)
        await grant(subject, "blog.change_post", POST, by=ann)
        theirs = {"blog.add_post"}
        assert await held(auth, bob) == [theirs, theirs | {"blog.change_post"}, theirs]


async def test_A20_2_whoever_puts_users_into_a_group_must_hold_what_it_gives(url: str) -> None:
    async with blog(url, "ann", "bob") as auth:
        ann, bob = await user(auth, "ann"), await user(auth, "bob")
        await auth.groups.create("writers", ["blog.add_post"])
        editors = await auth.groups.create("editors", ["blog.add_post"])
        await auth.permissions.grant(editors, "blog.change_post", POST)
        await auth.permissions.grant(ann, "blog.add_post")
        for names in (("editors",), ("writers", "editors")):
            with pytest.raises(PermissionDenied):
                await auth.groups.add(bob, *names, by=ann)
        assert await auth.groups.of(bob) == []
        await auth.groups.add(bob, "writers", by=ann)
        await auth.permissions.grant(ann, "blog.change_post", POST)
        await auth.groups.add(bob, "editors", by=ann)
        assert await held(auth, bob) == [{"blog.add_post"}, {"blog.add_post", "blog.change_post"}, {"blog.add_post"}]


async def test_A20_2_a_superuser_may_grant_anything_and_one_who_is_inactive_nothing(url: str) -> None:
    async with blog(url, "bob") as auth:
        bob, root = await user(auth, "bob"), await auth.users.create_superuser("root")
        await auth.permissions.grant(bob, "blog.add_post", by=root)
        await auth.users.update(root, is_active=False)
        who: list[Any] = [root, AnonymousUser()]
        for by in who:  # `root` is what was read before: whoever acts is read afresh
            with pytest.raises(PermissionDenied):
                await auth.permissions.grant(bob, "blog.change_post", by=by)
        assert await auth.permissions.of(bob) == {"blog.add_post"}
