"""A1.6 to A1.8 with all the rest: one cookie for an application and for Django's admin, its test client, its commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ..sites import PASSWORD
from .driving import Django, both, log_in_at_django, log_in_here, log_in_on_our_page, submit, who
from .test_admin_live import GROUPS, USERS, save
from .test_django_sessions import COOKIE, at_django, key_of, sharing

NEW = "new horse, same staple"
SITE = {"domain": "site.example", "path": "/"}


@pytest.mark.parametrize("step", ["client_login", "force_login"])
async def test_A1_8_who_is_logged_in_by_djangos_test_client_is_so_here(django: Django, url: str, step: str) -> None:
    """A user whom asgiauth made, in a session that Django made."""
    async with sharing(django, url) as site:
        key = await django(step, "ann", *([PASSWORD] if step == "client_login" else []))
        browser = both(django, site.app)
        browser.cookies.set(COOKIE, key, **SITE)
        assert await who(browser, site) == ("ann", "ann")


@pytest.mark.parametrize("log_in", [log_in_here, log_in_on_our_page])
async def test_A1_8_a_login_here_opens_djangos_admin(django: Django, url: str, log_in: Any) -> None:
    """Its forms take what is sent from there; the password that is changed there is changed here, in the same session."""
    async with sharing(django, url, users=()) as site:
        await site.auth.users.create_superuser("root", password=PASSWORD)
        browser, other = both(django, site.app), both(django, site.app)
        for one in (browser, other):
            assert await log_in(one, "root")
        assert (await browser.get("/django/admin/")).status_code == 200
        await save(browser, f"{GROUPS}/add/", name="keepers")
        assert [group.name for group in await site.auth.groups.all()] == ["keepers"]
        await save(
            browser, "/django/admin/password_change/", old_password=PASSWORD, new_password1=NEW, new_password2=NEW
        )
        assert await who(browser, site) == ("root", "root")
        assert await who(other, site) == ("", "")
        assert [await log_in_here(other, "root", text) for text in (PASSWORD, NEW)] == [False, True]
        assert await who(other, site) == ("root", "root")
        assert (await browser.post("/api/auth/logout")).status_code == 204
        assert (await browser.get("/django/admin/")).status_code == 302


async def test_A6_10_what_the_admin_does_to_a_user_ends_the_one_session(django: Django, url: str) -> None:
    """A password, a deactivation, a deletion: on both sides at the next request. Permissions it changes without."""
    async with sharing(django, url) as site:
        users = site.auth.users
        await users.create_superuser("root", password=PASSWORD)
        ann = await users.get_by(username="ann")
        assert ann is not None
        boss, browser = both(django, site.app), both(django, site.app)
        assert await log_in_here(boss, "root")
        assert await log_in_here(browser)
        page = f"{USERS}/{ann.id}"
        await save(boss, f"{page}/change/", is_superuser="on")
        assert await who(browser, site) == ("ann", "ann")
        assert (await browser.get("/django/publish/")).status_code == 200
        assert await site.ask(browser, lambda request: request.auth.has_perm("blog.publish_post")) is True
        await save(boss, f"{page}/password/", usable_password="true", password1=NEW, password2=NEW)
        assert await who(browser, site) == ("", "")
        assert await log_in_at_django(browser, "ann", NEW)
        assert await who(browser, site) == ("ann", "ann")
        await save(boss, f"{page}/change/", is_active=None)
        assert await who(browser, site) == ("", "")
        await save(boss, f"{page}/change/", is_active="on")
        assert await log_in_here(browser, "ann", NEW)
        await save(boss, f"{page}/delete/")
        assert await who(browser, site) == ("", "")
        assert await who(boss, site) == ("root", "root")


async def test_A18_3_either_side_clears_away_what_has_expired(django: Django, url: str) -> None:
    """Django's `clearsessions` the sessions that asgiauth has opened, and our job those of Django's; a `flush` all."""
    expire = (
        "from django.contrib.sessions.models import Session\nSession.objects.filter(pk=key).update(expire_date=when)"
    )
    count = "from django.contrib.sessions.models import Session\nresult = Session.objects.count()"
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    async with sharing(django, url) as site:
        kept, gone, theirs = (both(django, site.app) for _ in range(3))
        for browser in (kept, gone):
            assert await log_in_here(browser)
        assert await log_in_at_django(theirs)
        await django.run(expire, key=key_of(gone), when=past)
        await django("command", "clearsessions")
        assert await django.run(count) == 2
        assert await who(gone, site) == ("", "")
        await django.run(expire, key=key_of(theirs), when=past)
        assert await site.auth.sessions.purge_expired() == 1
        assert await django.run(count) == 1
        assert await who(theirs, site) == ("", "")
        assert await who(kept, site) == ("ann", "ann")
        await django("flush")
        assert await who(kept, site) == ("", "")
        assert await django.run(count) == 0


async def test_A8_3_forms_of_both_are_filled_in_one_after_the_other(django: Django, url: str) -> None:
    """A visitor's data of both sides goes along when they log in, on whichever page, and back again."""
    async with sharing(django, url) as site:
        browser = both(django, site.app)
        await site.ask(browser, lambda request: request.session.update(basket=["tea"]))
        assert await log_in_at_django(browser)
        answer = await submit(
            browser, "/django/password_change/", old_password=PASSWORD, new_password1=NEW, new_password2=NEW
        )
        assert answer.status_code == 302
        fields = {"old_password": NEW, "new_password": PASSWORD}
        assert (await submit(browser, "/auth/password_change", **fields)).status_code == 303
        assert await who(browser, site) == ("ann", "ann")
        assert await site.ask(browser, lambda request: request.session["basket"]) == ["tea"]
        assert await at_django(django, key_of(browser), "result = session['basket']") == ["tea"]
        assert (await browser.get("/django/session/basket/")).json() == {"value": ["tea"]}
