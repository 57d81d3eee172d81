"""The machine keys of `examples/custom_feature` in detail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from asgiauth.events import PasswordChanged
from asgiauth.exceptions import PasswordRejected, Reason

from .features import PIN, Site, log_in, prove, site


@pytest.fixture
async def local(sqlite_url: str) -> AsyncIterator[Site]:
    async with site(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def everywhere(url: str) -> AsyncIterator[Site]:
    """On each server."""
    async with site(url) as opened:
        yield opened


async def seen_with(local: Site, *headers: str) -> str:
    async with local.browser() as browser:
        answer = await browser.get("/open", headers=[("Authorization", header) for header in headers])
        assert answer.status_code == 200
        return answer.text


async def test_a_key_is_its_user_with_a_scope_of_its_own(everywhere: Site) -> None:
    key = await everywhere.keys.create(everywhere.ann)
    assert await seen_with(everywhere, f"Bearer {key}") == "ann"
    assert await seen_with(everywhere, f"bearer  {key}") == "ann"
    async with everywhere.browser() as browser:
        answer = await browser.get("/scopes", headers={"Authorization": f"Bearer {key}"})
        assert answer.json() == ["authenticated", "machine"]


async def test_what_is_no_key_is_nobody(local: Site) -> None:
    key = await local.keys.create(local.ann)
    wrong = "mk_" + "A" * 43
    for sent in ("Bearer", f"Basic {key}", *(f"Bearer {near}" for near in (wrong, key + "A", key[:-1], key.lower()))):
        assert await seen_with(local, sent) == "nobody"
    assert await seen_with(local, f"Bearer {key}", f"Bearer {key}") == "nobody"


async def test_a_key_ends_with_its_time_its_user_and_the_password(everywhere: Site) -> None:
    key, users = await everywhere.keys.create(everywhere.bob), everywhere.auth.users
    everywhere.clock.advance(days=364)
    assert await seen_with(everywhere, f"Bearer {key}") == "bob"
    await users.update(everywhere.bob, is_active=False)
    assert await seen_with(everywhere, f"Bearer {key}") == "nobody"
    await users.update(everywhere.bob, is_active=True)
    everywhere.clock.advance(days=1)
    assert await seen_with(everywhere, f"Bearer {key}") == "nobody"
    newer = await everywhere.keys.create(everywhere.bob)
    await users.set_password(everywhere.bob, "another long password")
    assert await seen_with(everywhere, f"Bearer {newer}") == "nobody"
    assert await everywhere.keys.revoke_all(everywhere.bob) == 0  # the expired one is gone with the others


async def test_the_keys_stay_when_the_password_does(local: Site) -> None:
    """The listener works within the unit of the change: when a later one fails, nothing has happened."""
    key = await local.keys.create(local.bob)

    async def refuse(event: object) -> None:
        raise PasswordRejected([Reason("not_today")])

    local.auth.events.on(PasswordChanged, refuse)
    with pytest.raises(PasswordRejected):
        await local.auth.users.set_password(local.bob, "another long password")
    assert await seen_with(local, f"Bearer {key}") == "bob"


async def test_the_job_deletes_what_has_expired(everywhere: Site) -> None:
    """As often as it is run, and only that."""
    (job,) = [job for job in everywhere.auth._jobs if "machine" in job.name]
    assert job.every == timedelta(hours=1)
    await everywhere.keys.create(everywhere.ann)
    everywhere.clock.advance(days=200)
    await everywhere.keys.create(everywhere.ann)
    everywhere.clock.advance(days=165)
    assert [await job.run(), await job.run()] == [1, 0]
    assert len(await everywhere.rows(everywhere.keys._table)) == 1


async def test_during_maintenance_machines_alone_log_in(local: Site) -> None:
    async with local.browser() as browser, local.browser() as other:
        assert (await log_in(browser, "bob")).status_code == 200
        local.keys.machines_only = True
        assert (await browser.get("/function")).text == "bob"
        answer = await log_in(other, "bob")
        assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "login_refused")
        assert (await other.post("/machine", content=await local.keys.create(local.bob))).json() == "bob"
        local.keys.machines_only = False
        assert (await log_in(other, "bob")).status_code == 200


async def test_T22_the_list_of_keys_is_ones_own(everywhere: Site) -> None:
    key = await everywhere.keys.create(everywhere.bob)
    await everywhere.keys.create(everywhere.ann)
    async with everywhere.browser() as browser:
        assert (await browser.get("/api/auth/machine-keys.csv")).status_code == 401
        await log_in(browser, "bob")
        answer = await browser.get("/api/auth/machine-keys.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, line = answer.text.splitlines()
    assert head == "key,created,expires"
    assert line.startswith(f"{key[:7]}...,{everywhere.clock().isoformat()}")


async def test_a_key_proves_no_pin(local: Site) -> None:
    """It logs in where it is asked for a session, and then the PIN is asked for, as after a password."""
    async with local.browser() as browser:
        assert (await browser.post("/machine", content=await local.keys.create(local.ann))).json() == "nobody"
        assert (await prove(browser, PIN)).status_code == 200
        assert (await browser.get("/api/auth/session")).json()["methods"] == ["machine_key", "pin"]
