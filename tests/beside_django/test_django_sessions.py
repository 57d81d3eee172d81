"""A1.6 to A1.8, A7, A8: one session and one cookie for a Django site and an application, whoever opened it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from starlette.requests import Request

from asgiauth import SessionPolicy
from asgiauth.backends import PasswordBackend
from asgiauth.db.django_session import django_session
from asgiauth.db.migrate import upgrade
from asgiauth.guards import recent_login, requires
from asgiauth.passwords import Hashed, PBKDF2Hasher
from asgiauth.sessions import DjangoSessionStore
from asgiauth.testing import Client

from ..conftest import make_auth
from ..parity.introspect import schema
from ..parity.test_schema import differences
from ..sessions.helpers import Site, rows, user
from ..sites import PASSWORD
from .driving import LIKE_DJANGO, Django, beside, both, log_in_at_django, log_in_here, submit, who

SECRET_KEY = "a key of the Django site, for its tests alone, 0123456789"
NEW_KEY = "another key of the Django site, for its tests alone, 987654"
NEW_PASSWORD = "a new and better password"
COOKIE = "sessionid"

SETTINGS = """
from django.conf import settings
result = {name: getattr(settings, name) for name in values}
for name, value in values.items():
    setattr(settings, name, value)
"""


@asynccontextmanager
async def sharing(django: Django, url: str, *, users: tuple[str, ...] = ("ann",), **store: Any) -> AsyncIterator[Site]:
    """An application that shares its sessions with the Django site."""
    store = {"secret_key": SECRET_KEY, **store}
    async with beside(url, sessions=SessionPolicy(store=DjangoSessionStore(**store))) as site:
        for name in users:
            await site.auth.users.create(name, password=PASSWORD)
        yield site


@asynccontextmanager
async def settings(django: Django, **values: Any) -> AsyncIterator[None]:
    """Django goes on with these."""
    before = await django.run(SETTINGS, values=values)
    try:
        yield
    finally:
        await django.run(SETTINGS, values=before)


async def log_out_at_django(browser: Client) -> None:
    token = (await browser.get("/django/csrf/")).json()["token"]
    assert (await browser.post("/django/logout/", headers={"X-CSRFToken": token})).status_code == 302


async def put_at_django(browser: Client, name: str, value: Any) -> None:
    token = (await browser.get("/django/csrf/")).json()["token"]
    answer = await browser.put(f"/django/session/{name}/", content=json.dumps(value), headers={"X-CSRFToken": token})
    assert answer.json() == {"value": value}


async def got_at_django(browser: Client, name: str) -> Any:
    return (await browser.get(f"/django/session/{name}/")).json()["value"]


def key_of(browser: Client) -> str | None:
    return browser.cookies.get(COOKIE)


async def at_django(django: Django, key: str | None, code: str, **names: Any) -> Any:
    """Runs code that knows `session`, Django's own store for this key."""
    source = "from django.contrib.sessions.backends.db import SessionStore\nsession = SessionStore(key)\n"
    return await django.run(source + code, key=key, **names)


@pytest.mark.parametrize("log_in", [log_in_at_django, log_in_here])
async def test_A7_1_a_login_on_either_side_counts_on_the_other(django: Django, url: str, log_in: Any) -> None:
    """With one cookie, and until a logout on either side."""
    async with sharing(django, url) as site:
        browser = both(django, site.app)
        for leave in ("here", "django"):
            assert await log_in(browser)
            assert await who(browser, site) == ("ann", "ann")
            assert set(browser.cookies) <= {COOKIE, "csrftoken", "__Host-asgiauth-csrf"}
            key = key_of(browser)
            assert key is not None
            assert (len(key), key.isalnum(), key.lower()) == (32, True, key)
            if leave == "here":
                assert (await browser.post("/api/auth/logout")).status_code == 204
            else:
                await log_out_at_django(browser)
            assert await who(browser, site) == ("", "")
            assert await rows(url, django_session(site.auth.metadata)) == []


async def test_A1_8_what_is_written_is_what_django_reads(django: Django, url: str) -> None:
    """A8.25: get_decoded() of Django's own model, the keys and the paths of the backend, and the hash of its own."""
    async with sharing(django, url) as site:
        browser = both(django, site.app)
        assert await log_in_here(browser)
        ann = await user(site)
        (decoded,) = await django.run(
            "from django.contrib.sessions.models import Session\n"
            "result = [session.get_decoded() for session in Session.objects.all()]"
        )
        session_hash = await django.run("result = User.objects.get(username='ann').get_session_auth_hash()")
        assert decoded.pop("_asgiauth").keys() >= {"user", "created", "authenticated_at", "methods", "epoch"}
        assert decoded == {
            "_auth_user_id": str(ann.id),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": session_hash,
        }


async def test_A8_3_data_goes_both_ways_and_shows_no_login(django: Django, url: str) -> None:
    """Each side keeps what the other has stored, before and after a login, and through a cycled key."""
    async with sharing(django, url) as site:
        browser = both(django, site.app)
        await put_at_django(browser, "cart", {"tea": [1, "\u20ac"]})
        assert await site.ask(browser, lambda request: dict(request.session)) == {"cart": {"tea": [1, "\u20ac"]}}
        await site.ask(browser, lambda request: request.session.update(name="\U0001f511"))
        assert await got_at_django(browser, "name") == "\U0001f511"
        visitor = key_of(browser)
        assert await log_in_here(browser)
        assert key_of(browser) != visitor
        assert await got_at_django(browser, "cart") == {"tea": [1, "\u20ac"]}
        key = key_of(browser)
        await site.ask(browser, lambda request: request.session.cycle_key())
        assert key_of(browser) != key
        await put_at_django(browser, "more", 1)
        assert await who(browser, site) == ("ann", "ann")
        data = await site.ask(browser, lambda request: dict(request.session))
        assert data == {"cart": {"tea": [1, "\u20ac"]}, "name": "\U0001f511", "more": 1}
        await site.ask(browser, lambda request: request.session.update(_auth_user_id="999", _asgiauth={}))
        assert await who(browser, site) == ("ann", "ann")


async def test_A7_1_a_login_as_somebody_else_leaves_no_data(sqlite_django: Django, sqlite_url: str) -> None:
    async with sharing(sqlite_django, sqlite_url, users=("ann", "bob")) as site:
        for first, second in ((log_in_at_django, log_in_here), (log_in_here, log_in_at_django)):
            browser = both(sqlite_django, site.app)
            assert await first(browser, "ann")
            await site.ask(browser, lambda request: request.session.update(secret="of ann"))
            key = key_of(browser)
            assert await second(browser, "bob")
            assert await who(browser, site) == ("bob", "bob")
            assert await site.ask(browser, lambda request: dict(request.session)) == {}
            assert await at_django(sqlite_django, key, "result = dict(session.load())") == {}


@pytest.mark.parametrize("place", ["here", "django", "elsewhere"])
@pytest.mark.parametrize("log_in", [log_in_at_django, log_in_here])
async def test_A7_8_A7_9_a_password_change_ends_the_other_sessions(
    sqlite_django: Django, sqlite_url: str, place: str, log_in: Any
) -> None:
    """The one that changes it goes on under a fresh key, on both sides."""
    django = sqlite_django
    async with sharing(django, sqlite_url) as site:
        changing, other = both(django, site.app), both(django, site.app)
        for browser in (changing, other):
            assert await log_in(browser)
        key = key_of(changing)
        if place == "here":
            words = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
            assert (await changing.post("/api/auth/password/change", json=words)).status_code == 204
        elif place == "django":
            words = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
            token = (await changing.get("/django/csrf/")).json()["token"]
            answer = await changing.post("/django/password_change/", data={**words, "csrfmiddlewaretoken": token})
            assert answer.status_code == 302
        else:
            await site.auth.users.set_password(await user(site), NEW_PASSWORD)
        stays = "" if place == "elsewhere" else "ann"
        assert await who(other, site) == ("", "")
        assert await who(changing, site) == (stays, stays)
        assert place == "elsewhere" or key_of(changing) != key


@pytest.mark.parametrize("log_in", [log_in_at_django, log_in_here])
async def test_A7_10_a_new_secret_key_ends_nothing_while_the_old_one_is_a_fallback(
    sqlite_django: Django, sqlite_url: str, log_in: Any
) -> None:
    """A2.16, A7.7: a session that was seen meanwhile, on either side, outlives the fallback; others end with it."""
    django, url = sqlite_django, sqlite_url
    async with sharing(django, url) as site:
        seen_here, seen_there, unseen = [both(django, site.app) for _ in range(3)]
        for browser in (seen_here, seen_there, unseen):
            assert await log_in(browser)
    rotated = {"SECRET_KEY": NEW_KEY, "SECRET_KEY_FALLBACKS": [SECRET_KEY]}
    async with sharing(django, url, users=(), secret_key=NEW_KEY, fallbacks=[SECRET_KEY]) as site:
        first = both(django, site.app)
        first.cookies.update(seen_here.cookies)
        key = key_of(seen_here)
        assert await site.ask(first, lambda request: request.user.username) == "ann"
        assert key_of(first) == key  # in place: a request beside it must not lose its session
        async with settings(django, **rotated):
            second = both(django, site.app)
            second.cookies.update(seen_there.cookies)
            assert (await second.get("/django/whoami/")).json()["username"] == "ann"
            assert key_of(second) != key_of(seen_there)
            assert await who(second, site) == ("ann", "ann")
    async with (
        sharing(django, url, users=(), secret_key=NEW_KEY) as site,
        settings(django, SECRET_KEY=NEW_KEY, SECRET_KEY_FALLBACKS=[]),
    ):
        for browser, name in ((first, "ann"), (second, "ann"), (unseen, "")):
            visitor = both(django, site.app)
            visitor.cookies.update(browser.cookies)
            assert await who(visitor, site) == (name, name)


async def test_A8_9_an_expiry_means_the_same_on_both_sides(django: Django, url: str) -> None:
    """Seconds, a date, a span, the end of the browser, and back to the usual."""
    async with sharing(django, url) as site:
        browser = both(django, site.app)
        assert await log_in_here(browser)
        table = django_session(site.auth.metadata)

        async def lasts() -> float:
            (row,) = await rows(url, table)
            return float((row["expire_date"] - datetime.now(UTC)).total_seconds())

        for value, seconds in ((3600, 3600), (0, 1_209_600), (None, 1_209_600)):
            await site.ask(browser, partial(_set_expiry, value))
            assert seconds - 60 < await lasts() <= seconds
            asked = "result = [session.get_expiry_age(), session.get_expire_at_browser_close()]"
            age, at_close = await at_django(django, key_of(browser), asked)
            assert (seconds - 60 < age <= seconds, at_close) == (True, value == 0)
        until = datetime.now(UTC) + timedelta(days=3)
        await site.ask(browser, partial(_set_expiry, until))
        found = await at_django(django, key_of(browser), "result = session.get_expiry_date().isoformat()")
        assert datetime.fromisoformat(found) == until
        for code, seconds in (
            ("session.set_expiry(7200)", 7200),
            ("import datetime; session.set_expiry(datetime.timedelta(days=2))", 172_800),
            ("session.set_expiry(None)", 1_209_600),
        ):
            await at_django(django, key_of(browser), f"{code}\nsession.save()")
            assert seconds - 60 < await lasts() <= seconds
            left = await site.ask(browser, lambda request: request.session.get_expiry_age())
            assert seconds - 60 < left <= seconds
            await site.ask(browser, lambda request: request.session.update(x=1))
            assert seconds - 60 < await lasts() <= seconds
        await at_django(django, key_of(browser), "session.set_expiry(-1)\nsession.save()")
        assert await who(browser, site) == ("", "")


def _set_expiry(value: int | datetime | None, request: Any) -> None:
    request.session.set_expiry(value)


async def test_A8_12_a_session_that_ended_there_is_not_made_anew(sqlite_django: Django, sqlite_url: str) -> None:
    """A8.22: a logout at Django while a request of ours is under way."""
    async with sharing(sqlite_django, sqlite_url) as site:
        browser = both(sqlite_django, site.app)
        assert await log_in_here(browser)

        async def view(request: Any) -> None:
            await at_django(sqlite_django, key_of(browser), "session.flush()")
            request.session["late"] = 1

        assert (await site.get(browser, view)).status_code == 200
        assert key_of(browser) is None
        assert await rows(sqlite_url, django_session(site.auth.metadata)) == []


@pytest.mark.parametrize("log_in", [log_in_at_django, log_in_here])
async def test_A2_11_who_is_deactivated_or_deleted_is_nobody(
    sqlite_django: Django, sqlite_url: str, log_in: Any
) -> None:
    """By Django, and by us, who end the sessions for good."""
    async with sharing(sqlite_django, sqlite_url, users=("ann", "bob", "dora", "eve")) as site:
        browsers = {name: both(sqlite_django, site.app) for name in ("ann", "bob", "dora", "eve")}
        for name, browser in browsers.items():
            assert await log_in(browser, name)
        await sqlite_django("deactivate", "ann")
        await site.auth.users.update(await user(site, "bob"), is_active=False)
        await sqlite_django("delete", "dora")
        await site.auth.users.delete(await user(site, "eve"))
        for browser in browsers.values():
            assert await who(browser, site) == ("", "")
        await sqlite_django("change", "bob", is_active=True)
        assert await who(browsers["bob"], site) == ("", "")


async def test_A6_14_a_backend_that_is_unknown_here_is_somebody_there(sqlite_django: Django, sqlite_url: str) -> None:
    """Anonymous, as with a backend that was removed; and the session stays what it is for Django."""
    django = sqlite_django
    async with sharing(django, sqlite_url, backend_map={"project.Directory": "password"}) as site:
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        assert await who(browser, site) == ("ann", "")
        await site.ask(browser, lambda request: request.session.update(cart=[1]))
        assert await site.ask(browser, lambda request: request.auth.session) is None
        assert await who(browser, site) == ("ann", "")
        assert await got_at_django(browser, "cart") == [1]
        assert [one.backend for one in await site.auth.sessions.list(await user(site))] == [
            "django.contrib.auth.backends.ModelBackend"
        ]
        assert await log_in_here(browser)  # by a backend that Django does not have
        assert await who(browser, site) == ("", "ann")
        assert await got_at_django(browser, "cart") == [1]


async def test_A6_14_a_backend_without_a_path_counts_here_alone(sqlite_django: Django, sqlite_url: str) -> None:
    class Other(PasswordBackend[Any]):
        name = "other"

    store = DjangoSessionStore(secret_key=SECRET_KEY)
    policy = SessionPolicy(store=store)
    async with beside(sqlite_url, sessions=policy, backends=[Other()]) as site:
        await site.auth.users.create("ann", password=PASSWORD)
        browser = both(sqlite_django, site.app)
        assert await log_in_here(browser)
        assert await who(browser, site) == ("", "ann")


async def test_recent_login_never_trusts_a_login_of_djangos(sqlite_django: Django, sqlite_url: str) -> None:
    """Nobody has noted when it was. What we noted of a visitor, or of another user, is not taken for it either."""
    async with sharing(sqlite_django, sqlite_url, users=("ann", "bob")) as site:

        @requires(recent_login(minutes=5))
        async def guarded(request: Request) -> None:
            pass

        async def is_recent(browser: Client) -> bool:
            return (await site.get(browser, guarded)).status_code == 200

        browser = both(sqlite_django, site.app)
        assert await log_in_here(browser)
        assert await is_recent(browser)
        for name in ("bob", "ann"):
            assert await log_in_at_django(browser, name)
            assert not await is_recent(browser)
        shown = (await browser.get("/api/auth/session")).json()
        assert (shown["user"]["username"], shown["authenticated_at"], shown["methods"]) == ("ann", None, [])
        visitor = both(sqlite_django, site.app)
        await site.ask(visitor, lambda request: request.session.update(x=1))
        assert await log_in_at_django(visitor)
        assert await who(visitor, site) == ("ann", "ann")
        assert await got_at_django(visitor, "x") == 1
        assert not await is_recent(visitor)
        await site.ask(visitor, lambda request: request.session.update(x=2))
        assert not await is_recent(visitor)


async def test_A7_9_a_login_again_at_django_keeps_what_we_know(sqlite_django: Django, sqlite_url: str) -> None:
    """Same user, same hash: Django leaves the session as it is."""
    async with sharing(sqlite_django, sqlite_url) as site:
        browser = both(sqlite_django, site.app)
        assert await log_in_here(browser)
        key, before = key_of(browser), (await browser.get("/api/auth/session")).json()["authenticated_at"]
        assert await log_in_at_django(browser)
        assert (key_of(browser), (await browser.get("/api/auth/session")).json()["authenticated_at"]) == (key, before)


async def test_devices_of_both_sides_are_listed_and_ended(django: Django, url: str) -> None:
    """By public ids, from which no cookie can be told."""
    async with sharing(django, url, users=("ann", "bob")) as site:
        here, there, bob = [both(django, site.app) for _ in range(3)]
        assert await log_in_here(here)
        assert await log_in_at_django(there)
        assert await log_in_at_django(bob, "bob")
        sessions = (await here.get("/api/auth/sessions")).json()["sessions"]
        keys = {key_of(browser) for browser in (here, there, bob)}
        assert [one["current"] for one in sorted(sessions, key=lambda one: not one["current"])] == [True, False]
        assert not keys & {one["id"] for one in sessions}
        (other,) = [one["id"] for one in sessions if not one["current"]]
        assert (await here.delete(f"/api/auth/sessions/{other}")).status_code == 204
        assert await who(there, site) == ("", "")
        assert await log_in_at_django(there)
        assert (await here.delete("/api/auth/sessions")).status_code == 204
        assert await who(here, site) == ("ann", "ann")
        assert await who(there, site) == ("", "")
        assert await site.auth.sessions.revoke_all(await user(site, "bob")) == 1
        assert await who(bob, site) == ("", "")
        assert not await site.auth.sessions.revoke("0" * 64)
        assert not await site.auth.sessions.revoke("0")


async def test_D_13_a_raised_epoch_ends_what_we_have_opened(sqlite_django: Django, sqlite_url: str) -> None:
    """Django knows of no epoch, and its own sessions have none."""
    async with sharing(sqlite_django, sqlite_url) as site:
        here, there = both(sqlite_django, site.app), both(sqlite_django, site.app)
        assert await log_in_here(here)
        assert await log_in_at_django(there)
        await site.auth.sessions.bump_epoch(await user(site))
        assert (await here.get("/django/whoami/")).json()["username"] == "ann"
        assert await who(there, site) == ("ann", "ann")
        assert await site.ask(here, lambda request: request.user.username) == ""
        assert await who(here, site) == ("", "")  # the cookie is gone
        assert await log_in_here(there)
        assert await who(there, site) == ("ann", "ann")


async def test_A1_6_the_table_is_djangos_and_is_made_where_it_is_missing(bare_django: Django, url: str) -> None:
    """Column by column and index by index; Django's `migrate` finds its own there, or makes it first."""
    async with sharing(bare_django, url):
        ours = await schema(url, ["django_session"])
    async with sharing(bare_django, url, users=()) as site:
        await site.auth.create_tables()
        async with site.auth._database.unit() as unit:
            await unit.text("DROP TABLE django_session")
    await bare_django("migrate", "sessions")
    assert differences(ours, await schema(url, ["django_session"])) == []


async def test_A1_6_django_migrates_beside_a_table_that_we_have_made(bare_django: Django, url: str) -> None:
    """`db upgrade --for-django` tells it so."""
    policy = SessionPolicy(store=DjangoSessionStore(secret_key=SECRET_KEY))
    auth = make_auth(url, sessions=policy, passwords=LIKE_DJANGO)
    async with auth:
        done = await upgrade(auth, for_django=True)
        assert {"table django_session", "django_migrations sessions.0001_initial"} <= set(done)
        await bare_django("migrate")
        await auth.users.create("ann", password=PASSWORD)
        site = Site(auth)
        browser = both(bare_django, site.app)
        assert await log_in_at_django(browser)
        assert await who(browser, site) == ("ann", "ann")


async def test_A8_13_a_hash_that_is_upgraded_keeps_the_session_that_did_it(
    sqlite_django: Django, sqlite_url: str
) -> None:
    """A password that is only checked: the browser that gave it stays, the others end, as with Django alone."""
    async with sharing(sqlite_django, sqlite_url) as site:
        here, other = both(sqlite_django, site.app), both(sqlite_django, site.app)
        for browser in (here, other):
            assert await log_in_here(browser)
        ann, weak = await user(site), Hashed(PBKDF2Hasher(iterations=1).encode(PASSWORD))

        async def view(request: Any) -> bool:
            await site.auth.users.set_password(ann, weak)
            return await site.auth.users.check_password(ann, PASSWORD)

        assert await site.ask(here, view)
        assert (await user(site)).password != weak
        assert await who(here, site) == ("ann", "ann")
        assert await who(other, site) == ("", "")


async def test_A8_23_both_logins_have_pages(sqlite_django: Django, sqlite_url: str) -> None:
    """A form of ours, and one of Django's after it, in one browser: no CSRF token of one is void for the other."""
    async with sharing(sqlite_django, sqlite_url) as site:
        browser = both(sqlite_django, site.app)
        assert (await submit(browser, "/auth/login", username="ann", password=PASSWORD)).status_code == 303
        assert await who(browser, site) == ("ann", "ann")
        assert (await submit(browser, "/django/login/", username="ann", password=PASSWORD)).status_code == 302
        words = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await submit(browser, "/auth/password_change", **words)).status_code == 303
        assert await who(browser, site) == ("ann", "ann")
