"""`examples/custom_feature`, used as a new user would, and its PIN in detail."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from asgiauth import AnonymousUser, Contribution
from asgiauth.testing import WebSocketRefused, client, websocket
from examples.custom_feature.keys import MachineKeys
from examples.custom_feature.pin import Pin

from ..conftest import make_auth
from .conftest import PASSWORD, fresh, serving
from .features import GUARDED, OPEN, PIN, Site, log_in, prove, site


@pytest.fixture
async def local(sqlite_url: str) -> AsyncIterator[Site]:
    async with site(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def everywhere(url: str) -> AsyncIterator[Site]:
    """On each server."""
    async with site(url) as opened:
        yield opened


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["code"]


def fields_of(answer: httpx2.Response) -> dict[str, list[str]]:
    assert answer.status_code == 422
    found: dict[str, list[str]] = answer.json()["detail"]["fields"]
    return found


def test_the_example_as_its_docstring_says(url: str) -> None:
    """A PIN is set and asked for, a key is made and used, over real HTTP."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    with serving("custom_feature", ASGIAUTH_DATABASE_URL=url) as (url_of_site, output):
        password = re.search(r"password: (\S+)", output)
        assert password is not None
        demo = {"username": "demo", "password": password[1]}
        with httpx2.Client(base_url=url_of_site, headers=headers, timeout=60) as browser:
            assert browser.get("/account").status_code == 401
            assert browser.post("/api/auth/login", json=demo).status_code == 200
            assert browser.get("/export").status_code == 403
            answer = browser.put("/api/auth/pin", json={"password": password[1], "pin": PIN})
            assert answer.status_code == 204, answer.text
            key = browser.post("/keys").json()["key"]
            assert browser.get("/export").json()["account"]["username"] == "demo"
            assert key[:7] in browser.get("/api/auth/machine-keys.csv").text
            browser.post("/api/auth/logout")
            pending = browser.post("/api/auth/login", json=demo)
            assert code(pending) == (401, "step_required")
            assert pending.json()["detail"]["steps"] == [
                {"name": "pin", "requirement": "second_factor", "url": "/auth/login/pin"}
            ]
            assert browser.get("/").json() == {"user": None}
            assert browser.get("/account").status_code == 401
            assert fields_of(browser.post("/api/auth/login/pin", json={"pin": "000000"})) == {"pin": ["incorrect"]}
            assert browser.post("/api/auth/login/pin", json={"pin": PIN}).json()["user"]["username"] == "demo"
            assert browser.get("/account").json()["username"] == "demo"
            assert browser.get("/api/auth/session").json()["methods"] == ["password", "pin"]
        with httpx2.Client(base_url=url_of_site, headers={"Authorization": f"Bearer {key}"}, timeout=60) as machine:
            assert machine.get("/account").json()["username"] == "demo"
            assert machine.post("/keys").status_code == 403
        with httpx2.Client(base_url=url_of_site, headers=headers, timeout=60) as screen:
            assert screen.post("/machine-session", content=key[:-1]).status_code == 401
            assert screen.post("/machine-session", content=key).json() == {"user": None}
            assert screen.post("/api/auth/login/pin", json={"pin": PIN}).status_code == 200
            assert screen.get("/account").json()["username"] == "demo"


async def test_A9_2_the_example_is_closed_but_for_what_is_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASGIAUTH_DATABASE_URL", f"sqlite:///{tmp_path / 'features.db'}")
    example = fresh("custom_feature")
    async with client(example.app) as browser:
        for path in ("/account", "/api/auth/machine-keys.csv"):
            assert (await browser.get(path)).status_code == 401
        assert (await browser.get("/nowhere")).status_code == 404
        with pytest.raises(WebSocketRefused):
            async with websocket(browser, "/live"):
                pass
        demo = await example.auth.users.find("demo")
        headers = {"Authorization": f"Bearer {await example.keys.create(demo)}"}
        async with websocket(browser, "/live", headers=headers) as socket:
            assert await socket.receive_json() == {"user": "demo"}


def test_together_they_use_every_field_of_a_contribution(monkeypatch: pytest.MonkeyPatch) -> None:
    contributions: list[Contribution] = []
    features = (Pin(), MachineKeys())
    for feature in features:
        install = feature.install
        monkeypatch.setattr(feature, "install", lambda core, install=install: keep(contributions, install(core)))
    make_auth("sqlite:///never-opened.db", features=features)
    used = {name.name for given in contributions for name in fields(Contribution) if getattr(given, name.name)}
    assert used == {name.name for name in fields(Contribution)}


def keep(contributions: list[Contribution], given: Contribution) -> Contribution:
    contributions.append(given)
    return given


async def test_B10_4_a_pin_unlocks_what_the_feature_is_told(local: Site) -> None:
    """For whoever has set one, as long as there is one; nobody else, the anonymous least of all."""
    pin = Pin(unlocks=["account.export_data"])
    pin._core, pin._table, pin._by_user = local.pin._core, local.pin._table, local.pin._by_user
    assert await pin.granted(local.ann) == {"account.export_data"}
    assert [*await pin.granted(local.bob), *await pin.granted(AnonymousUser())] == []
    assert list(await local.pin.granted(local.ann)) == []
    await pin.remove(local.ann)
    assert list(await pin.granted(local.ann)) == []


async def test_after_the_password_alone_the_user_is_nobody_everywhere(everywhere: Site) -> None:
    """Views, guards, templates, WebSockets, FastAPI's dependencies, the JSON API: until the PIN is proved."""
    async with everywhere.browser() as browser:
        assert code(await log_in(browser, "ann")) == (401, "step_required")
        for path in GUARDED:
            assert ((await browser.get(path)).status_code, path) == (401, path)
        for path in OPEN:
            assert "nobody" in (await browser.get(path)).text
        with pytest.raises(WebSocketRefused):
            async with websocket(browser, "/live"):
                pass
        session = (await browser.get("/api/auth/session")).json()
        assert (session["user"], session["methods"]) == (None, [])
        assert code(await browser.put("/api/auth/pin", json={"password": PASSWORD, "pin": "123456"})) == (
            401,
            "not_authenticated",
        )
        assert (await prove(browser, PIN)).json()["user"]["username"] == "ann"
        for path in GUARDED:
            assert (await browser.get(path)).status_code == 200
        for path in OPEN:
            assert "ann" in (await browser.get(path)).text
        async with websocket(browser, "/live") as socket:
            assert await socket.receive_json() == {"user": "ann"}


async def test_the_pin_stands_in_every_way_in_of_those_who_have_one(local: Site) -> None:
    async with local.browser() as browser:
        assert (await log_in(browser, "bob")).status_code == 200
    for user, seen in ((local.ann, "nobody"), (local.bob, "bob")):
        async with local.browser() as browser:
            answer = await browser.post("/machine", content=await local.keys.create(user))
            assert answer.json() == seen
    async with local.browser() as browser:
        assert code(await prove(browser, PIN)) == (401, "login_refused")  # no login is waiting


async def test_D16_ten_wrong_pins_an_hour_however_many_logins(everywhere: Site) -> None:
    """Forty at once, five logins of eight: ten are looked at, and then the right one is not, for an hour."""

    async def guess() -> Counter[str]:
        async with everywhere.browser() as browser:
            await log_in(browser, "ann")
            answers = await asyncio.gather(*(prove(browser, f"00000{n}") for n in range(8)))
            return Counter(answer.json()["detail"]["code"] for answer in answers)

    answers = sum(await asyncio.gather(*(guess() for _ in range(5))), Counter[str]())
    assert answers == {"invalid_fields": 10, "too_many_attempts": 30}
    async with everywhere.browser() as browser:
        answer = await log_in(browser, "ann", PIN)
        assert (code(answer), answer.headers["retry-after"]) == ((429, "too_many_attempts"), "3600")
        everywhere.clock.advance(hours=1)
        assert (await log_in(browser, "ann", PIN)).status_code == 200
    (row,) = await everywhere.rows(everywhere.pin._table)
    assert row["tries"] == 0


async def test_two_pins_set_at_once_are_one_pin(everywhere: Site) -> None:
    await asyncio.gather(*(everywhere.pin.set(everywhere.bob, f"12345{n}") for n in range(6)))
    rows = await everywhere.rows(everywhere.pin._table)
    assert [row["user_id"] for row in rows] == [everywhere.ann.id, everywhere.bob.id]


async def test_D13_a_pin_ends_the_sessions_that_were_opened_without_it(local: Site) -> None:
    async with local.browser() as here, local.browser() as there:
        await log_in(here, "bob")
        await log_in(there, "bob")
        assert (await here.put("/api/auth/pin", json={"password": PASSWORD, "pin": "135790"})).status_code == 204
        assert (await here.get("/function")).text == "bob"
        assert (await there.get("/function")).status_code == 401


@pytest.mark.parametrize(
    ("password", "pin", "problem"),
    [
        ("wrong", "123456", {"password": ["incorrect"]}),
        (PASSWORD, "12345", {"pin": ["invalid"]}),
        (PASSWORD, "1" * 13, {"pin": ["invalid"]}),
        (PASSWORD, "١٢٣٤٥٦", {"pin": ["invalid"]}),
    ],
)
async def test_a_pin_needs_the_password_and_has_six_to_twelve_digits(
    local: Site, password: str, pin: str, problem: dict[str, list[str]]
) -> None:
    async with local.browser() as browser:
        await log_in(browser, "bob")
        assert fields_of(await browser.put("/api/auth/pin", json={"password": password, "pin": pin})) == problem
        assert len(await local.rows(local.pin._table)) == 1


async def test_the_pin_is_no_password_and_the_password_no_pin(local: Site) -> None:
    async with local.browser() as browser:
        await log_in(browser, "ann", PIN)
        change = {"old_password": PASSWORD, "new_password": PIN}
        answer = await browser.post("/api/auth/password/change", json=change)
        assert fields_of(answer) == {"new_password": ["password_is_pin"]}
        change["new_password"] = "97531864"
        assert (await browser.post("/api/auth/password/change", json=change)).status_code == 204
        answer = await browser.put("/api/auth/pin", json={"password": "97531864", "pin": "97531864"})
        assert fields_of(answer) == {"pin": ["same_as_password"]}
    await local.auth.users.set_password(local.bob, "97531864")  # who has no PIN


async def test_a_pin_that_is_replaced_while_it_is_verified_is_wrong(
    local: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = local.auth.passwords.verify

    async def replaced_meanwhile(pin: str, encoded: str) -> bool:
        right = await verify(pin, encoded)
        monkeypatch.undo()
        await replace(local)
        return right

    async with local.browser() as browser:
        await log_in(browser, "ann")
        monkeypatch.setattr(local.auth.passwords, "verify", replaced_meanwhile)
        assert fields_of(await prove(browser, PIN)) == {"pin": ["incorrect"]}


async def replace(local: Site) -> None:
    """As another process would, without a word to the login that waits."""
    table = local.pin._table
    encoded = str(await local.auth.passwords.hash("555555"))
    async with local.auth._database.unit() as unit:
        await unit.changed(table.update().where(table.c.user_id == local.ann.id).values(encoded=encoded))


async def test_who_has_forgotten_the_pin_starts_again_without_it(local: Site) -> None:
    async with local.browser() as browser:
        await log_in(browser, "ann")
        await local.pin.remove(local.ann)
        assert code(await prove(browser, PIN)) == (401, "login_refused")
        assert (await log_in(browser, "ann")).status_code == 200


async def test_nothing_is_left_of_a_deleted_user(everywhere: Site) -> None:
    await everywhere.keys.create(everywhere.ann)
    await everywhere.auth.users.delete(everywhere.ann)
    assert await everywhere.rows(everywhere.pin._table) == []
    assert await everywhere.rows(everywhere.keys._table) == []


async def test_nothing_is_left_where_the_database_does_not_cascade(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'engine.db'}")
    async with site(engine) as opened:
        await opened.keys.create(opened.ann)
        await opened.auth.users.delete(opened.ann)
        assert await opened.rows(opened.pin._table) == []
        assert await opened.rows(opened.keys._table) == []
    await engine.dispose()


WRONG_PIN = "907365120944"
"""Long enough not to stand in a log by chance."""


async def test_no_pin_and_no_key_in_the_database_in_a_log_or_a_repr(
    everywhere: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await everywhere.keys.create(everywhere.ann)
    async with everywhere.browser() as browser:
        await log_in(browser, "ann", WRONG_PIN)
        await prove(browser, PIN)
        await browser.get("/function", headers={"Authorization": f"Bearer {key}"})
    dump = [await everywhere.rows(table) for table in everywhere.auth.metadata.tables.values()]
    seen = f"{caplog.text}{dump}{everywhere.pin!r}{everywhere.keys!r}{vars(everywhere.keys)}"
    assert everywhere.ann.username in seen
    assert [secret for secret in (PIN, WRONG_PIN, key, key[7:]) if secret in seen] == []
