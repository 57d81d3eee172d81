"""The Django site is a real one, and one browser can visit it and an application with asgiauth."""

from __future__ import annotations

import pytest

from ..sessions.helpers import Site
from ..sites import PASSWORD, connected
from .driving import LIKE_DJANGO, Django, DjangoError, both, submit


async def test_a_browser_has_both_open(django: Django, url: str) -> None:
    """Pages of Django's and views of ours, with the cookies of both."""
    await django("create_user", "ann", password=PASSWORD, superuser=True)
    async with connected(url, passwords=LIKE_DJANGO) as auth:
        browser = both(django, Site(auth).app)
        answer = await submit(browser, "/django/login/", username="ann", password=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (302, "/django/whoami/")
        assert (await browser.get("/django/whoami/")).json()["username"] == "ann"
        assert (await browser.get("/django/admin/")).status_code == 200
        assert (await browser.get("/api/auth/session")).json()["user"] is None
        credentials = {"username": "ann", "password": PASSWORD}
        assert (await browser.post("/api/auth/login", json=credentials)).status_code == 200
        assert {"__Host-asgiauth", "csrftoken", "sessionid"} <= set(browser.cookies)


async def test_a_step_that_fails_is_told(sqlite_django: Django) -> None:
    with pytest.raises(DjangoError, match="DoesNotExist"):
        await sqlite_django("has_perm", "nobody", "blog.add_post")
    assert await sqlite_django.run("result = User.objects.count() + one", one=1) == 1
