"""What users hold, directly and through groups (rows A4.8 and A5), and who holds it (A2.5), on each server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Integer

from asgiauth import AnonymousUser, Auth, Ref, User, UserModel
from asgiauth.backends import PasswordBackend
from asgiauth.exceptions import UnknownPermission

from .blog import NAMES, OTHER, PERMISSIONS, POST, blog, user
from .test_permissions_sources import Backend, PermissionsOnly

NOBODY = AnonymousUser()


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    badge: int | None = None


async def sets(auth: Auth, who: User) -> list[frozenset[str]]:
    """All, those of the user, those of the groups."""
    permissions = auth.permissions
    return [await permissions.of(who), await permissions.direct(who), await permissions.from_groups(who)]


async def test_A5_1_only_an_active_superuser_may_everything(url: str) -> None:
    """Staff may not, and an inactive superuser has nothing at all (A5.6)."""
    async with blog(url, "ann") as auth:
        ann = await user(auth, "ann")

        async def answers() -> list[bool]:
            check = auth.permissions.check
            return [await check(ann, "blog.add_post"), await check(ann, "x.y"), await check(ann, "blog.add_post", POST)]

        assert await answers() == [False, False, False]
        ann = await auth.users.update(ann, is_staff=True)
        assert await answers() == [False, False, False]
        ann = await auth.users.update(ann, is_superuser=True)
        assert await answers() == [True, True, True]
        assert await auth.permissions.has_module(ann, "blog")
        ann = await auth.users.update(ann, is_active=False)
        assert await answers() == [False, False, False]
        assert not await auth.permissions.has_module(ann, "blog")
        assert await sets(auth, ann) == [frozenset()] * 3


async def test_A5_4_sets_of_the_user_and_of_the_groups(url: str) -> None:
    async with blog(url, "ann") as auth:
        ann, permissions = await user(auth, "ann"), auth.permissions
        await permissions.grant(ann, "blog.add_post")
        assert await sets(auth, ann) == [{"blog.add_post"}, {"blog.add_post"}, frozenset()]
        assert [await permissions.has_module(ann, app) for app in ("post", "blog", "shop", "blo")] == [
            False,
            True,
            False,
            False,
        ]
        for perm in ("blog.change_post", "shop.close"):
            await permissions.grant(ann, perm)
        own = {"blog.add_post", "blog.change_post", "shop.close"}
        assert await sets(auth, ann) == [own, own, frozenset()]
        assert not await permissions.check(ann, "add_post")
        editors = await auth.groups.create("editors")
        await permissions.grant(editors, "blog.publish_post")
        await permissions.grant(editors, "shop.close")
        await auth.groups.add(ann, "editors")
        assert await sets(auth, ann) == [own | {"blog.publish_post"}, own, {"blog.publish_post", "shop.close"}]
        assert [await permissions.check(ann, perm) for perm in sorted(own | {"blog.publish_post"})] == [True] * 4
        assert not await permissions.check(ann, "blog.delete_post")
        assert await sets(auth, NOBODY) == [frozenset()] * 3  # type: ignore[arg-type]


async def test_A5_6_the_inactive_hold_nothing_until_they_are_active_again(url: str) -> None:
    async with blog(url, "ann") as auth:
        ann = await user(auth, "ann")
        await auth.permissions.grant(ann, "blog.add_post")
        await auth.permissions.grant(ann, "blog.change_post", POST)
        await auth.groups.create("editors", ["blog.publish_post"])
        await auth.groups.add(ann, "editors")
        before = await sets(auth, ann)
        assert before == [{"blog.add_post", "blog.publish_post"}, {"blog.add_post"}, {"blog.publish_post"}]
        ann = await auth.users.update(ann, is_active=False)
        assert await sets(auth, ann) == [frozenset()] * 3
        assert await auth.permissions.of(ann, POST) == frozenset()
        for perm, obj in (("blog.add_post", None), ("blog.publish_post", None), ("blog.change_post", POST)):
            assert not await auth.permissions.check(ann, perm, obj)
        ann = await auth.users.update(ann, is_active=True)
        assert await sets(auth, ann) == before


async def test_A5_4_a_superuser_holds_every_permission_there_is(url: str) -> None:
    async with blog(url) as auth:
        root = await auth.users.create_superuser("root")
        assert await sets(auth, root) == [NAMES] * 3


async def test_A5_5_what_is_held_everywhere_is_held_on_each_object(url: str) -> None:
    """Deliberately different: Django's ModelBackend says no as soon as there is an object."""
    async with blog(url, "ann") as auth:
        ann, permissions = await user(auth, "ann"), auth.permissions
        await permissions.grant(ann, "blog.add_post")
        assert [await permissions.check(ann, "blog.add_post", obj) for obj in (None, POST, Ref("blog.post", 7))] == [
            True,
            True,
            True,
        ]
        assert await permissions.of(ann, OTHER) == {"blog.add_post"}
        with pytest.raises(TypeError, match=r"is about blog\.post, and str is not"):
            await permissions.check(ann, "blog.add_post", "object")
        await permissions.grant(ann, "blog.change_post", POST)
        assert [await permissions.check(ann, "blog.change_post", obj) for obj in (None, POST, OTHER)] == [
            False,
            True,
            False,
        ]
        assert await permissions.of(ann) == {"blog.add_post"}


async def test_A2_20_A4_8_groups_are_set_and_taken_away(url: str) -> None:
    """Deliberately different: `auth.groups` has the members, no user has `groups`."""
    async with blog(url, "ann", "bob") as auth:
        ann, bob, groups = await user(auth, "ann"), await user(auth, "bob"), auth.groups
        editors = await groups.create("editors", ["blog.change_post"])
        writers = await groups.create("writers", ["blog.add_post"])
        await groups.add(ann, "editors", "writers")
        await groups.add(ann, "editors")
        await groups.add(bob, "editors")
        assert sorted(group.name for group in await groups.of(ann)) == ["editors", "writers"]
        assert {member.username for member in await groups.members("editors")} == {"ann", "bob"}
        assert await auth.permissions.of(ann) == {"blog.add_post", "blog.change_post"}
        await groups.remove(ann, "editors")
        await groups.remove(ann, "editors")
        assert await groups.of(ann) == [writers]
        assert await auth.permissions.of(ann) == {"blog.add_post"}
        await auth.permissions.revoke(writers, "blog.add_post")
        assert await auth.permissions.of(ann) == frozenset()
        await groups.delete(editors)
        assert await groups.of(bob) == []
        assert await auth.permissions.of(bob) == frozenset()
        assert [group.name for group in await groups.all()] == ["writers"]


async def test_A2_18_A4_8_a_group_is_found_by_its_exact_name(url: str) -> None:
    async with blog(url) as auth:
        editors = await auth.groups.create("Editors")
        assert [await auth.groups.get(name) for name in ("Editors", "editors", "Edit")] == [editors, None, None]


async def names_with(auth: Auth, perm: Any, **options: Any) -> list[str]:
    found = [user.username for user in await auth.users.with_perm(perm, **options)]
    assert len(found) == len(set(found))
    return sorted(found)


async def people(auth: Auth) -> None:
    """Who holds `blog.add_post`: `own`, `twice` by two groups, the superusers; and of each an inactive twin."""
    for name in ("one", "two"):
        await auth.groups.create(name, ["blog.add_post"])
    for active in (True, False):
        mark = "" if active else "_off"
        own, twice, _ = [await auth.users.create(name + mark, is_active=active) for name in ("own", "twice", "none")]
        await auth.users.create_superuser("root" + mark, is_active=active)
        await auth.permissions.grant(own, "blog.add_post")
        await auth.groups.add(twice, "one", "two")


async def test_A2_5_with_perm_finds_each_holder_once(url: str) -> None:
    """Given its name or the `Permission`. Deliberately different: the words are `active` and `superusers`."""
    async with blog(url) as auth:
        await people(auth)
        active, inactive = ["own", "root", "twice"], ["own_off", "root_off", "twice_off"]
        for perm in ("blog.add_post", next(one for one in PERMISSIONS if one.perm == "blog.add_post")):
            assert await names_with(auth, perm) == active
            assert await names_with(auth, perm, active=False) == inactive
            assert await names_with(auth, perm, active=None) == sorted([*active, *inactive])
            assert await names_with(auth, perm, superusers=False) == ["own", "twice"]
            assert await names_with(auth, perm, active=False, superusers=False) == ["own_off", "twice_off"]
            assert await names_with(auth, perm, active=None, superusers=False) == [
                "own",
                "own_off",
                "twice",
                "twice_off",
            ]


async def test_A2_5_with_perm_of_what_nobody_holds(url: str) -> None:
    async with blog(url) as auth:
        await people(auth)
        for perm in ("blog.delete_post", "blog.nonexistent"):
            assert await names_with(auth, perm) == ["root"], perm
            assert await names_with(auth, perm, superusers=False) == [], perm


@pytest.mark.parametrize("wrong", ["invalid", "too.many.dots", "", 1, None, b"blog.add_post"])
async def test_A2_5_with_perm_refuses_what_is_no_permission(sqlite_url: str, wrong: Any) -> None:
    async with blog(sqlite_url) as auth:
        if isinstance(wrong, str):
            with pytest.raises(ValueError, match=r"should be in the form app_label\.permission_codename"):
                await auth.users.with_perm(wrong)
        else:
            with pytest.raises(TypeError, match="must be a string or a permission instance"):
                await auth.users.with_perm(wrong)


async def test_A4_6_names_are_exact_on_each_server(url: str) -> None:
    """Also where the database itself takes capitals, accents and blanks for nothing."""
    async with blog(url) as auth:
        await people(auth)
        own = await user(auth, "own")
        for wrong in ("blog.ADD_POST", "Blog.add_post", "blog.add_post ", "blog.àdd_post"):
            assert await names_with(auth, wrong, superusers=False) == [], wrong
            assert not await auth.permissions.check(own, wrong), wrong
            assert not await auth.permissions.check(own, wrong, POST), wrong
            with pytest.raises(UnknownPermission):
                await auth.permissions.grant(own, wrong)
            with pytest.raises(UnknownPermission):
                await auth.permissions.revoke(own, wrong)
        assert not await auth.permissions.has_module(own, "BLOG")
        assert await auth.permissions.of(own) == {"blog.add_post"}


async def test_A2_5_with_perm_and_an_object(url: str) -> None:
    """Deliberately different: whoever holds it everywhere, or on that object; Django has nobody as soon as there is one."""
    async with blog(url, "ann") as auth:
        await people(auth)
        await auth.permissions.grant(await user(auth, "ann"), "blog.add_post", POST)
        assert await names_with(auth, "blog.add_post", obj=POST) == ["ann", "own", "root", "twice"]
        assert await names_with(auth, "blog.add_post", obj=Ref("blog.post", 1), superusers=False) == [
            "ann",
            "own",
            "twice",
        ]
        assert await names_with(auth, "blog.add_post", obj=OTHER) == ["own", "root", "twice"]


async def test_A21_3_users_of_ones_own_class_and_table_hold_permissions(url: str) -> None:
    model = UserModel(Member, table="shop_member", id_type=BigInteger(), columns=[Column("badge", Integer)])
    async with blog(url, user_model=model) as auth:
        ann, root = await auth.users.create("ann", badge=7), await auth.users.create_superuser("root", badge=8)
        await auth.groups.create("writers", ["blog.add_post"])
        await auth.groups.add(ann, "writers")
        await auth.permissions.grant(ann, "shop.close")
        await auth.permissions.grant(ann, "blog.change_post", POST)
        assert await sets(auth, ann) == [{"blog.add_post", "shop.close"}, {"shop.close"}, {"blog.add_post"}]
        assert await sets(auth, root) == [NAMES] * 3
        assert await auth.permissions.of(ann, POST) == {"blog.add_post", "blog.change_post"}
        for found in (await auth.users.with_perm("shop.close", superusers=False), await auth.groups.members("writers")):
            assert [(type(one), one.username, getattr(one, "badge", None)) for one in found] == [(Member, "ann", 7)]


async def test_A2_5_with_perm_is_asked_of_the_grants_alone(sqlite_url: str) -> None:
    """Deliberately different: a source answers for one user at a time, and cannot list them."""
    async with blog(sqlite_url, "ann", "bob", backends=[PasswordBackend(), Backend(), PermissionsOnly()]) as auth:
        await auth.permissions.grant(await user(auth, "bob"), "blog.add_post")
        assert await auth.permissions.check(await user(auth, "ann"), "blog.add_post")
        assert await names_with(auth, "blog.add_post") == ["bob"]


async def test_A4_2_an_unknown_permission_is_granted_to_nobody(url: str) -> None:
    """A slip of the pen is found where it is made."""
    async with blog(url, "ann") as auth:
        with pytest.raises(UnknownPermission, match=r"there is no permission 'blog\.ad_post'"):
            await auth.permissions.grant(await user(auth, "ann"), "blog.ad_post")
