"""T17: a client that goes away at any await of the step for a new password leaves nothing half done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asgiauth.events import PasswordChanged, UserLoggedIn

from ..login.helpers import ANN, LOGIN, PASSWORD, error, user_named
from ..login.renewing import NEW, renew
from .test_cancellation import Place, at, sweep


@pytest.fixture(params=["asyncio", "anyio"])
async def place(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with at(url, request.param) as place:
        yield place


async def test_T17_a_login_that_has_to_wait_for_a_new_password_waits_or_not(place: Place) -> None:
    """A pending login or none, and never a session; the next try goes on."""
    tables = place.auth.tables
    ann = await user_named(place.auth, "ann")
    await place.auth.users.require_password_change(ann)

    async def once(k: int) -> bool:
        before = await place.rows(tables.pending_login)
        browser = place.browser()
        answer = await place.abort(lambda: browser.post(LOGIN, json=ANN), k)
        waiting = await place.rows(tables.pending_login) - before
        assert waiting in (0, 1)
        assert (await place.rows(tables.session), await place.told(UserLoggedIn)) == (0, 0)
        assert (await user_named(place.auth, "ann")).last_login is None
        assert answer is None or (error(answer), waiting) == ((401, "step_required"), 1)
        return answer is not None

    assert await sweep(place, once) >= 3


async def test_T17_a_new_password_at_a_login_is_whole_or_not_at_all(place: Place) -> None:
    """Hash, flag, session, pending login, other sessions and what a listener wrote go together; what is left can be
    completed."""
    tables = place.auth.tables
    ann = await user_named(place.auth, "ann")

    async def once(k: int) -> bool:
        await place.auth.sessions.revoke_all(ann)
        await place.auth.users.set_password(ann, PASSWORD)
        browser, other = place.browser(), place.browser()
        assert (await other.post(LOGIN, json=ANN)).status_code == 200
        await place.auth.users.require_password_change(ann)
        assert error(await browser.post(LOGIN, json=ANN)) == (401, "step_required")
        before = await place.told(PasswordChanged), await place.told(UserLoggedIn)
        answer = await place.abort(lambda: renew(browser), k)
        changed = await place.told(PasswordChanged) - before[0]
        assert changed == await place.told(UserLoggedIn) - before[1] in (0, 1)
        assert await place.auth.users.check_password(ann, NEW if changed else PASSWORD)
        flags = tables.user_state.c.must_change_password
        assert await place.rows(tables.user_state, flags) == 1 - changed
        assert (await place.rows(tables.session), await place.rows(tables.pending_login)) == (1, 1 - changed)
        assert ((await other.get("/who")).json()[0] == "") == bool(changed)
        assert answer is None or (answer.status_code, changed) == (200, 1)
        if not changed:
            assert (await renew(browser)).status_code == 200
            assert (await browser.get("/who")).json()[0] == "ann"
        return answer is not None

    assert await sweep(place, once) >= 3
