"""A9.4, A6.12 beside Django: one session for both, opened by the header of a proxy on this side."""

from __future__ import annotations

from typing import Any

from asgiauth import SessionPolicy
from asgiauth.backends import PasswordBackend, RemoteUserBackend
from asgiauth.sessions import DjangoSessionStore

from .driving import Django, beside, both, log_in_at_django
from .test_django_sessions import SECRET_KEY, settings

MODEL, REMOTE = (f"django.contrib.auth.backends.{name}" for name in ("ModelBackend", "RemoteUserBackend"))
ANN, BOB = {"Remote-User": "ann"}, {"Remote-User": "bob"}


async def test_A9_4_whom_the_proxy_names_here_is_logged_in_at_django_too(
    sqlite_django: Django, sqlite_url: str
) -> None:
    """And out there as well once the header is gone; a login by password at Django stays. Django knows the user that was
    created here, who has no password."""
    store = DjangoSessionStore(secret_key=SECRET_KEY, backend_map={MODEL: "password", REMOTE: "remote_user"})
    options: dict[str, Any] = {
        "sessions": SessionPolicy(store=store),
        "backends": [RemoteUserBackend(), PasswordBackend()],
        "trusted_proxies": ["127.0.0.1"],
    }
    async with (
        beside(sqlite_url, **options) as site,
        settings(sqlite_django, AUTHENTICATION_BACKENDS=[MODEL, REMOTE]),
    ):
        await site.auth.users.create("bob", password="correct horse")
        browser = both(sqlite_django, site.app)
        for headers, name in ((ANN, "ann"), (BOB, "bob"), ({}, ""), (ANN, "ann")):
            browser.headers.pop("Remote-User", None)
            browser.headers.update(headers)
            assert await site.ask(browser, lambda request: request.user.username) == name
            assert (await browser.get("/django/whoami/")).json()["username"] == name
        assert not await log_in_at_django(both(sqlite_django, site.app), "ann", "")
        browser = both(sqlite_django, site.app)
        assert await log_in_at_django(browser, "bob", "correct horse")
        assert await site.ask(browser, lambda request: request.user.username) == "bob"
        browser.headers.update(ANN)
        assert await site.ask(browser, lambda request: request.user.username) == "ann"
        assert (await browser.get("/django/whoami/")).json()["username"] == "ann"
