"""Django's admin, by its own forms: what it makes works here, and what asgiauth made it shows, changes and deletes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asgiauth import User
from asgiauth.exceptions import Conflict
from asgiauth.testing import Client

from ..sessions.helpers import Site
from ..sites import PASSWORD
from .driving import (
    Django,
    beside,
    both,
    form_on,
    log_in_at_django,
    log_in_here,
    log_in_on_our_page,
    submit,
    who,
)

USERS, GROUPS = "/django/admin/auth/user", "/django/admin/auth/group"


async def admin(django: Django, site: Site) -> Client:
    """A superuser that asgiauth made, in the admin."""
    await site.auth.users.create_superuser("root", password=PASSWORD)
    browser = both(django, site.app)
    assert await log_in_at_django(browser, "root")
    return browser


async def save(browser: Client, path: str, **changes: Any) -> None:
    """Sends a form of the admin back; it is content when it leads somewhere else."""
    answer = await submit(browser, path, **changes)
    assert answer.status_code == 302, re.findall(r"errorlist[^>]*>(.*?)</ul>", answer.text, re.DOTALL)


async def options(browser: Client, path: str, select: str) -> dict[str, str]:
    """What a list of the page offers: the value of each text."""
    page = (await browser.get(path)).text
    found = re.search(rf'<select name="{select}".*?</select>', page, re.DOTALL)
    assert found is not None
    return {text: value for value, text in re.findall(r'<option value="(\d+)"[^>]*>(.*?)</option>', found[0])}


async def known(site: Site, username: str) -> User:
    found = await site.auth.users.get_by(username=username)
    assert isinstance(found, User)
    return found


async def test_a_user_whom_the_admin_adds_logs_in_here(django: Django, url: str) -> None:
    """As JSON and on the page, and by the address that the admin writes next."""
    async with beside(url) as site:
        boss = await admin(django, site)
        await save(boss, f"{USERS}/add/", username="ann", password1=PASSWORD, password2=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_here(browser)
        assert await log_in_on_our_page(browser)
        assert await who(browser, site) == ("", "ann")
        ann = await known(site, "ann")
        await save(boss, f"{USERS}/{ann.id}/change/", email="ann@example.com", first_name="Ann")
        assert await who(browser, site) == ("", "ann")
        assert await log_in_here(browser, "ann@example.com")
        assert await site.ask(browser, lambda request: request.user.first_name) == "Ann"


async def test_the_admin_changes_a_user_of_ours(django: Django, url: str) -> None:
    """Names, flags, groups and permissions: the form shows what is here, and what it saves is here at the next request."""
    async with beside(url) as site:
        boss = await admin(django, site)
        auth = site.auth
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD, first_name="Zoë")
        await auth.groups.create("editors", ["blog.change_post"])
        await auth.groups.create("writers", ["blog.publish_post"])
        await auth.groups.add(ann, "editors")
        await auth.permissions.grant(ann, "shop.close")
        browser = both(django, site.app)
        assert await log_in_here(browser)
        page = f"{USERS}/{ann.id}/change/"
        form = form_on(await boss.get(page))
        groups, permissions = await options(boss, page, "groups"), await options(boss, page, "user_permissions")
        names = {text.split(" | ")[-1]: value for text, value in permissions.items()}
        assert (form["username"], form["first_name"], form["is_active"]) == (["ann"], ["Zoë"], ["on"])
        assert (form["groups"], form["user_permissions"]) == ([groups["editors"]], [names["Can close the shop"]])
        await save(
            boss,
            page,
            first_name="Anna",
            groups=groups["writers"],
            user_permissions=[names["Can add post"], names["Can close the shop"]],
        )
        assert await auth.permissions.of(ann) == {"blog.publish_post", "blog.add_post", "shop.close"}
        assert [group.name for group in await auth.groups.of(ann)] == ["writers"]
        assert await site.ask(browser, lambda request: request.user.first_name) == "Anna"
        await save(boss, page, username="anna", email="anna@example.com", user_permissions=None, groups=None)
        assert await who(browser, site) == ("", "anna")
        assert await auth.permissions.of(ann) == frozenset()
        tries = ("ann", "ann@example.com", "anna@example.com")
        assert [await log_in_here(both(django, site.app), name) for name in tries] == [False, False, True]
        await save(boss, page, is_active=None)
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser, "anna")


async def test_the_admin_sets_the_password_of_a_user_of_ours(django: Django, url: str) -> None:
    """Which ends the sessions here; and it may switch it off."""
    async with beside(url) as site:
        boss = await admin(django, site)
        ann = await site.auth.users.create("ann", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_here(browser)
        page = f"{USERS}/{ann.id}/password/"
        await save(boss, page, usable_password="true", password1="new horse 1", password2="new horse 1")
        assert await who(browser, site) == ("", "")
        assert [await log_in_here(browser, "ann", text) for text in (PASSWORD, "new horse 1")] == [False, True]
        await save(boss, page, **{"usable_password": "false", "unset-password": "Disable"})
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser, "ann", "new horse 1")
        assert await who(boss, site) == ("root", "")


async def test_the_admin_deletes_users_of_ours(django: Django, url: str) -> None:
    """One on a page of its own, several by an action of the list, with all that asgiauth has of them."""
    async with beside(url) as site:
        boss = await admin(django, site)
        auth, browsers = site.auth, []
        for name in ("ann", "bob", "cat"):
            user = await auth.users.create(name, email=f"{name}@example.com", password=PASSWORD)
            await auth.permissions.grant(user, "blog.add_post")
            browsers.append(both(django, site.app))
            assert await log_in_here(browsers[-1], name)
        await save(boss, f"{USERS}/{(await known(site, 'ann')).id}/delete/")
        chosen = [str((await known(site, name)).id) for name in ("bob", "cat")]
        asked = await submit(boss, f"{USERS}/", action="delete_selected", _selected_action=chosen, index="0")
        assert asked.status_code == 200
        assert "Delete multiple objects" in asked.text
        sure = await boss.post(f"{USERS}/", data=form_on(asked))
        assert sure.status_code == 302
        assert await django("usernames") == ["root"]
        assert [await who(browser, site) for browser in browsers] == [("", "")] * 3
        assert [await auth.users.find(f"{name}@example.com") for name in ("ann", "bob", "cat")] == [None] * 3
        again = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        assert await auth.permissions.of(again) == frozenset()


async def test_the_admin_makes_changes_and_deletes_groups(django: Django, url: str) -> None:
    """Its own and ours, with permissions that only asgiauth declares among those it offers."""
    async with beside(url) as site:
        boss, auth = await admin(django, site), site.auth
        ann = await auth.users.create("ann", password=PASSWORD)
        names = {
            text.split(" | ")[-1]: value
            for text, value in (await options(boss, f"{GROUPS}/add/", "permissions")).items()
        }
        await save(
            boss, f"{GROUPS}/add/", name="keepers", permissions=[names["Can close the shop"], names["Can add post"]]
        )
        await auth.groups.add(ann, "keepers")
        assert await auth.permissions.of(ann) == {"shop.close", "blog.add_post"}
        editors = await auth.groups.create("editors", ["blog.publish_post"])
        await auth.groups.add(ann, "editors")
        page = f"{GROUPS}/{editors.id}/change/"
        assert form_on(await boss.get(page))["permissions"] == [names["Can publish posts"]]
        await save(boss, page, name="writers", permissions=names["Can view post"])
        assert await auth.permissions.of(ann) == {"shop.close", "blog.add_post", "blog.view_post"}
        assert [group.name for group in await auth.groups.all()] == ["keepers", "writers"]
        await save(boss, f"{GROUPS}/{editors.id}/delete/")
        assert await auth.permissions.of(ann) == {"shop.close", "blog.add_post"}
        assert [group.name for group in await auth.groups.of(ann)] == ["keepers"]


async def test_the_admin_lets_a_user_of_ours_do_what_asgiauth_granted(django: Django, url: str) -> None:
    """Staff without superuser: its pages ask `has_perm()`."""
    async with beside(url) as site:
        auth = site.auth
        ann = await auth.users.create("ann", password=PASSWORD, is_staff=True)
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        add = "/django/admin/blog/post/add/"
        assert (await browser.get(add)).status_code == 403
        await auth.permissions.grant(ann, "blog.add_post")
        assert (await browser.get(add)).status_code == 200
        assert (await browser.get(f"{USERS}/")).status_code == 403
        await auth.permissions.revoke(ann, "blog.add_post")
        assert (await browser.get(add)).status_code == 403


async def test_who_has_worked_in_the_admin_is_deleted_by_the_admin(django: Django, url: str) -> None:
    """Its log names them, so here the deletion is refused as a whole."""
    async with beside(url) as site:
        boss, auth = await admin(django, site), site.auth
        await auth.users.create_superuser("dora", password=PASSWORD)
        dora = both(django, site.app)
        assert await log_in_at_django(dora, "dora")
        await save(dora, f"{GROUPS}/add/", name="keepers")
        user = await known(site, "dora")
        with pytest.raises(Conflict):
            await auth.users.delete(user)
        assert await who(dora, site) == ("dora", "")
        await save(boss, f"{USERS}/{user.id}/delete/")
        assert await auth.users.get(user.id) is None
        assert await who(dora, site) == ("", "")
