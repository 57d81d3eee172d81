"""A1.2 to A1.5, A4, A5: groups and permissions that either side makes, gives or takes away hold on the other at once."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgiauth import User, permission_required
from asgiauth.exceptions import GroupExists, UnknownPermission
from asgiauth.testing import Client

from ..sessions.helpers import Site
from ..sites import PASSWORD
from .driving import Django, DjangoError, beside, both, log_in_at_django, log_in_here

ALL = ["blog.add_post", "blog.change_post", "blog.delete_post", "blog.publish_post", "blog.view_post", "shop.close"]


@permission_required("blog.publish_post")
async def publish(request: Request) -> JSONResponse:
    return JSONResponse({"published": True})


async def may_publish(browser: Client) -> tuple[bool, bool]:
    """Whether the view at Django lets the browser in, and whether ours does: guards of each side's own."""
    answers = [(await browser.get(path)).status_code for path in ("/django/publish/", "/publish")]
    assert set(answers) <= {200, 403}
    return answers[0] == 200, answers[1] == 200


async def inside(django: Django, site: Site) -> Client:
    """A browser in which ann has logged in on both sides; we have a view that needs the permission to publish."""
    site.app.router.routes.append(Route("/publish", publish))
    browser = both(django, site.app)
    assert await log_in_at_django(browser)
    assert await log_in_here(browser)
    return browser


async def created(site: Site, name: str) -> User:
    user: User = await site.auth.users.create(name, password=PASSWORD)
    return user


async def test_A5_7_what_either_side_grants_a_user_both_guards_see(django: Django, url: str) -> None:
    """At the next request of the sessions that go on, and so what it takes away."""
    async with beside(url) as site:
        ann, permissions = await created(site, "ann"), site.auth.permissions
        browser = await inside(django, site)
        assert await may_publish(browser) == (False, False)
        await django("grant", "ann", "blog.publish_post")
        assert await may_publish(browser) == (True, True)
        await permissions.revoke(ann, "blog.publish_post")
        assert await may_publish(browser) == (False, False)
        await permissions.grant(ann, "blog.publish_post")
        assert await may_publish(browser) == (True, True)
        await django("revoke", "ann", "blog.publish_post")
        assert await may_publish(browser) == (False, False)
        await django("change", "ann", is_superuser=True)
        assert await may_publish(browser) == (True, True)
        await site.auth.users.update(ann, is_superuser=False)
        assert await may_publish(browser) == (False, False)


async def test_A4_8_groups_of_djangos_give_and_take_here(django: Django, url: str) -> None:
    """Made, filled, changed, renamed and deleted by Django."""
    async with beside(url) as site:
        ann, groups = await created(site, "ann"), site.auth.groups
        browser = await inside(django, site)
        await django("create_group", "editors", ["blog.publish_post", "shop.close"], ["ann"])
        assert await may_publish(browser) == (True, True)
        assert [group.name for group in await groups.of(ann)] == ["editors"]
        assert await groups.members("editors") == [await site.auth.users.get(ann.id)]
        editors = await groups.get("editors")
        assert editors is not None
        assert await groups.permissions(editors) == {"blog.publish_post", "shop.close"}
        await django("revoke_group", "editors", "blog.publish_post")
        assert await may_publish(browser) == (False, False)
        await django("grant_group", "editors", "blog.publish_post")
        assert await may_publish(browser) == (True, True)
        await django("leave", "ann", "editors")
        assert await may_publish(browser) == (False, False)
        await django("join", "ann", "editors")
        await django("rename_group", "editors", "writers")
        assert await may_publish(browser) == (True, True)
        assert await site.ask(browser, lambda request: request.user.username) == "ann"
        assert [group.name for group in await groups.all()] == ["writers"]
        await django("delete_group", "writers")
        assert await may_publish(browser) == (False, False)
        assert await groups.all() == []


async def test_A4_8_groups_of_asgiauths_give_and_take_at_django(django: Django, url: str) -> None:
    """Made, filled, changed, renamed and deleted here."""
    await django("create_user", "ann", password=PASSWORD)
    async with beside(url) as site:
        ann = await site.auth.users.get_by(username="ann")
        assert ann is not None
        groups, permissions = site.auth.groups, site.auth.permissions
        browser = await inside(django, site)
        editors = await groups.create("editors", ["blog.publish_post", "shop.close"])
        await groups.add(ann, "editors")
        assert await may_publish(browser) == (True, True)
        assert await django("group", "editors") == {
            "permissions": ["blog.publish_post", "shop.close"],
            "members": ["ann"],
        }
        await permissions.revoke(editors, "blog.publish_post")
        assert await may_publish(browser) == (False, False)
        await permissions.grant(editors, "blog.publish_post")
        editors = await groups.rename(editors, "writers")
        assert await may_publish(browser) == (True, True)
        assert await django("groups_of", "ann") == ["writers"]
        await groups.remove(ann, "writers")
        assert await may_publish(browser) == (False, False)
        await groups.add(ann, "writers")
        await groups.delete(editors)
        assert await may_publish(browser) == (False, False)
        assert await django("group", "writers") is None
        assert await django("groups_of", "ann") == []


async def test_A1_2_a_group_is_one_on_both_sides(django: Django, url: str) -> None:
    """Its name is taken on both, and a user of each side is in it."""
    async with beside(url) as site:
        groups = site.auth.groups
        await created(site, "ann")
        await django("create_user", "bob", password=PASSWORD)
        bob = await site.auth.users.get_by(username="bob")
        assert bob is not None
        await django("create_group", "editors", [], ["ann"])
        with pytest.raises(GroupExists):
            await groups.create("editors")
        await groups.add(bob, "editors")
        assert (await django("group", "editors"))["members"] == ["ann", "bob"]
        assert [member.username for member in await groups.members("editors")] == ["ann", "bob"]
        await groups.create("writers")
        with pytest.raises(DjangoError, match="IntegrityError"):
            await django("create_group", "writers")


async def test_A5_1_A5_4_both_say_the_same_of_everybody(django: Django, url: str) -> None:
    """`has_perm()` and all that somebody may do: own, of groups, superuser, inactive."""
    async with beside(url) as site:
        users, permissions = site.auth.users, site.auth.permissions
        ann, off = await created(site, "ann"), await created(site, "off")
        await users.create_superuser("root", password=PASSWORD)
        await site.auth.groups.create("editors", ["blog.change_post", "shop.close"])
        for user in (ann, off):
            await site.auth.groups.add(user, "editors")
        await permissions.grant(ann, "blog.add_post")
        await users.update(off, is_active=False)
        await django("create_user", "bob", password=PASSWORD)
        await django("grant", "bob", "auth.change_user", "blog.view_post")
        expected = {
            "ann": ["blog.add_post", "blog.change_post", "shop.close"],
            "bob": ["auth.change_user", "blog.view_post"],
            "off": [],
        }
        for name in ("ann", "bob", "off", "root"):
            found = await users.get_by(username=name)
            assert found is not None
            of_django = await django("permissions_of", name)
            assert sorted(await permissions.of(found)) == of_django == expected.get(name, of_django)
            for perm in ALL:
                assert await permissions.check(found, perm) is await django("has_perm", name, perm)
        assert set(ALL) <= set(await django("permissions_of", "root"))


async def test_A1_3_A1_5_each_permission_is_one_row_for_both(django: Django, url: str) -> None:
    """What Django's `migrate` and our `sync()` declare meets; what Django adds can be granted here, what it deletes is
    gone here until somebody declares it again."""
    async with beside(url) as site:
        ann, permissions = await created(site, "ann"), site.auth.permissions
        assert await permissions.sync() == []
        before = await django.run("result = Permission.objects.count()")
        await django("migrate")
        assert await django.run("result = Permission.objects.count()") == before
        await django("create_permission", "blog.pin_post", "Can pin posts")
        await permissions.grant(ann, "blog.pin_post")
        assert await django("has_perm", "ann", "blog.pin_post")
        await django("delete_permission", "blog.pin_post")
        assert await permissions.of(ann) == frozenset()
        with pytest.raises(UnknownPermission):
            await permissions.grant(ann, "blog.pin_post")
        await permissions.grant(ann, "shop.close")
        await django("delete_permission", "shop.close")
        assert not await permissions.check(ann, "shop.close")
        assert await permissions.sync() == ["shop.close"]
        assert not await django("has_perm", "ann", "shop.close")
