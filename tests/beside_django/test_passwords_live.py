"""A7.9, A15: one password for both. A new one that either side sets holds on both at once, and ends the sessions of the
other; the session in which it was changed goes on."""

from __future__ import annotations

import pytest

from asgiauth import PasswordPolicy

from ..sites import PASSWORD
from .driving import (
    Django,
    beside,
    both,
    django_site,
    log_in_at_django,
    log_in_here,
    log_in_on_our_page,
    submit,
    who,
)

NEW = "new horse, same staple"
DEFAULTS = PasswordPolicy(validators=(), failure_deadline=0)
"""No hashers are named: then a shared database has those of Django."""


async def logins(django: Django, username: str, *passwords: str) -> list[bool]:
    """Which of them Django's `authenticate()` takes."""
    return [await django("authenticate", username, password) == username for password in passwords]


async def test_A15_a_password_that_django_sets_is_the_one_here(django: Django, url: str) -> None:
    """By its ORM; and `None`, which nothing matches."""
    async with beside(url) as site:
        await site.auth.users.create("ann", password=PASSWORD)
        browser = both(django, site.app)
        assert await log_in_here(browser)
        assert await log_in_at_django(browser)
        await django("set_password", "ann", NEW)
        assert await who(browser, site) == ("", "")
        assert [await log_in_here(browser, "ann", text) for text in (PASSWORD, NEW)] == [False, True]
        assert await log_in_on_our_page(both(django, site.app), "ann", NEW)
        assert await logins(django, "ann", PASSWORD, NEW) == [False, True]
        await django("set_password", "ann", None)
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser, "ann", NEW)


async def test_A15_a_password_that_asgiauth_sets_is_the_one_at_django(django: Django, url: str) -> None:
    """By `set_password()`; and `None`, which Django knows as unusable."""
    await django("create_user", "ann", password=PASSWORD)
    async with beside(url) as site:
        users = site.auth.users
        ann = await users.get_by(username="ann")
        assert ann is not None
        browser = both(django, site.app)
        assert await log_in_here(browser)
        assert await log_in_at_django(browser)
        await users.set_password(ann, NEW)
        assert await who(browser, site) == ("", "")
        assert await logins(django, "ann", PASSWORD, NEW) == [False, True]
        assert await log_in_at_django(browser, "ann", NEW)
        assert await log_in_here(browser, "ann", NEW)
        await users.set_password(ann, None)
        assert await who(browser, site) == ("", "")
        assert (await django("user", "ann"))["usable"] is False
        assert await logins(django, "ann", NEW, "!") == [False, False]


async def test_A7_9_a_change_on_djangos_page_ends_the_sessions_here(django: Django, url: str) -> None:
    """And Django's own others: `update_session_auth_hash` saves the one that asked."""
    async with beside(url) as site:
        await site.auth.users.create("ann", password=PASSWORD)
        browser, other = both(django, site.app), both(django, site.app)
        for one in (browser, other):
            assert await log_in_here(one)
            assert await log_in_at_django(one)
        answer = await submit(
            browser, "/django/password_change/", old_password=PASSWORD, new_password1=NEW, new_password2=NEW
        )
        assert answer.status_code == 302
        assert await who(browser, site) == ("ann", "")
        assert await who(other, site) == ("", "")
        assert [await log_in_here(other, "ann", text) for text in (PASSWORD, NEW)] == [False, True]


@pytest.mark.parametrize("way", ["json", "page"])
async def test_A7_9_a_change_here_ends_the_sessions_at_django(django: Django, url: str, way: str) -> None:
    """And our own others; the session that asked goes on."""
    await django("create_user", "ann", password=PASSWORD)
    async with beside(url) as site:
        browser, other = both(django, site.app), both(django, site.app)
        for one in (browser, other):
            assert await log_in_here(one)
            assert await log_in_at_django(one)
        if way == "json":
            change = {"old_password": PASSWORD, "new_password": NEW}
            assert (await browser.post("/api/auth/password/change", json=change)).status_code == 204
        else:
            fields = {"old_password": PASSWORD, "new_password": NEW}
            assert (await submit(browser, "/auth/password_change", **fields)).status_code == 303
        assert await who(browser, site) == ("", "ann")
        assert await who(other, site) == ("", "")
        assert await logins(django, "ann", PASSWORD, NEW) == [False, True]


async def test_A15_14_a_login_on_one_side_ends_no_session_of_the_other(django: Django, url: str) -> None:
    """Each leaves a hash alone that the other has made."""
    await django("create_user", "bob", password=PASSWORD)
    async with beside(url) as site:
        await site.auth.users.create("ann", password=PASSWORD)
        for name in ("ann", "bob"):
            hashed = (await django("user", name))["password"]
            browser = both(django, site.app)
            assert await log_in_here(browser, name)
            assert await log_in_at_django(browser, name)
            assert await log_in_here(both(django, site.app), name)
            assert await log_in_at_django(both(django, site.app), name)
            assert await who(browser, site) == (name, name)
            assert (await django("user", name))["password"] == hashed


async def test_A15_14_the_defaults_of_both_agree(sqlite_url: str) -> None:
    """Django's own list of hashers, and no policy here but what the shared database asks for."""
    hashers = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        "django.contrib.auth.hashers.Argon2PasswordHasher",
    ]
    async with django_site(sqlite_url, PASSWORD_HASHERS=hashers) as django:
        await django("migrate")
        await django("create_user", "bob", password=PASSWORD)
        async with beside(sqlite_url, passwords=DEFAULTS) as site:
            await site.auth.users.create("ann", password=PASSWORD)
            for name in ("ann", "bob"):
                hashed = (await django("user", name))["password"]
                assert hashed.startswith("pbkdf2_sha256$1500000$")
                browser = both(django, site.app)
                assert await log_in_at_django(browser, name)
                assert await log_in_here(browser, name)
                assert await who(browser, site) == (name, name)
                assert (await django("user", name))["password"] == hashed


@pytest.mark.parametrize("algorithm", ["pbkdf2_sha1", "argon2", "bcrypt_sha256", "scrypt"])
async def test_A15_each_format_of_djangos_lets_its_user_in_here(
    sqlite_django: Django, sqlite_url: str, algorithm: str
) -> None:
    """Whatever the site has used before; on a shared database nothing is rewritten, and Django's login still works."""
    source = "from django.contrib.auth.hashers import make_password\nresult = make_password(password, hasher=hasher)"
    encoded = await sqlite_django.run(source, password=PASSWORD, hasher=algorithm)
    await sqlite_django("create_user", "ann")
    await sqlite_django("change", "ann", password=encoded)
    async with beside(sqlite_url, passwords=DEFAULTS) as site:
        browser = both(sqlite_django, site.app)
        assert await log_in_here(browser)
        assert (await sqlite_django("user", "ann"))["password"] == encoded
        assert await log_in_at_django(browser)  # where it becomes what Django likes best
        assert (await sqlite_django("user", "ann"))["password"].startswith("pbkdf2_sha256$1000$")
        assert await who(browser, site) == ("ann", "")
        assert await log_in_here(browser)
