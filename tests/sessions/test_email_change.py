"""Another e-mail address is another way to get hold of the account: who stays logged in after it (D-13)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgiauth.testing import Client

from ..login.helpers import Step, error, prove, steps
from .helpers import PASSWORD, Site, site_at, token_of, user

PHONE = "phone"
"""Who logs in from there needs a second step."""


@pytest.fixture
async def site(url: str) -> AsyncIterator[Site]:
    second = steps(Step("totp", applies=lambda user, attempt: attempt.device == PHONE))
    async with site_at(url, "ann", "bob", features=[second]) as site:
        yield site


async def half_way(site: Site, name: str = "ann") -> Client:
    """A browser whose login waits for its second step."""
    browser = site.browser(headers={"User-Agent": PHONE})
    answer = await browser.post("/api/auth/login", json={"username": name, "password": PASSWORD})
    assert error(answer) == (401, "step_required")
    return browser


async def test_D13_a_new_address_ends_every_other_session_and_the_pending_logins(site: Site) -> None:
    """The session of the request that does it stays, with its data, and so does everybody else's."""
    browser, others, bob = await site.log_in(), [await site.log_in() for _ in range(2)], await site.log_in("bob")
    waiting, bobs = await half_way(site), await half_way(site, "bob")
    await site.get(browser, lambda request: request.session.update(a=1))

    async def change(request: Any) -> str:
        return str((await site.auth.users.update(request.user, email="new@site.example")).email)

    assert await site.ask(browser, change) == "new@site.example"
    assert await site.ask(browser, lambda request: [request.user.email, request.session["a"]]) == [
        "new@site.example",
        1,
    ]
    assert [await site.who(token_of(one)) for one in (*others, bob)] == ["", "", "bob"]
    assert (await prove(waiting, "totp")).status_code == 401
    assert await site.who(token_of(waiting)) == ""
    assert (await prove(bobs, "totp")).status_code == 200
    assert len(await site.auth.sessions.list(await user(site))) == 1


async def test_D13_outside_of_a_request_a_new_address_ends_every_session(site: Site) -> None:
    """By a command, say, or by the staff in a request of their own, whose session stays."""
    ann, bob = await site.log_in(), await site.log_in("bob")
    await site.auth.users.update(await user(site), email="first@site.example")
    assert [await site.who(token_of(one)) for one in (ann, bob)] == ["", "bob"]
    ann = await site.log_in()

    async def change(request: Any) -> None:
        await site.auth.users.update(await user(site), email="second@site.example")

    await site.get(bob, change)
    assert [await site.who(token_of(one)) for one in (ann, bob)] == ["", "bob"]


@pytest.mark.parametrize("changes", [{"first_name": "Ann"}, {"email": "ann@site.example"}, {"is_staff": True}], ids=str)
async def test_D13_any_other_change_ends_none(site: Site, changes: dict[str, Any]) -> None:
    """Nor does the address that it is already."""
    ann = await site.auth.users.update(await user(site), email="ann@site.example")
    browsers, waiting = [await site.log_in() for _ in range(2)], await half_way(site)

    async def change(request: Any) -> None:
        await site.auth.users.update(request.user, **changes)

    await site.get(browsers[0], change)
    await site.auth.users.update(ann, **changes)
    assert [await site.who(token_of(one)) for one in browsers] == ["ann", "ann"]
    assert (await prove(waiting, "totp")).status_code == 200
