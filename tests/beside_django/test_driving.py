"""The Django site is a real one, and one browser can visit it and an application with asgiauth."""

from __future__ import annotations

import pytest

from ..sites import PASSWORD
from .driving import Django, DjangoError, beside, both, log_in_at_django, log_in_here, who


async def test_a_browser_has_both_open(django: Django, url: str) -> None:
    """Pages of Django's and views of ours, with the cookies of both."""
    await django("create_user", "ann", password=PASSWORD, superuser=True)
    async with beside(url) as site:
        browser = both(django, site.app)
        assert await log_in_at_django(browser)
        assert (await browser.get("/django/admin/")).status_code == 200
        assert await who(browser, site) == ("ann", "")
        assert await log_in_here(browser)
        assert await who(browser, site) == ("ann", "ann")
        assert {"__Host-asgiauth", "csrftoken", "sessionid"} <= set(browser.cookies)


async def test_a_step_that_fails_is_told(sqlite_django: Django) -> None:
    with pytest.raises(DjangoError, match="DoesNotExist"):
        await sqlite_django("has_perm", "nobody", "blog.add_post")
    assert await sqlite_django.run("result = User.objects.count() + one", one=1) == 1
