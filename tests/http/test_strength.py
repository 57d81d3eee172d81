"""What is said of a password while it is typed: by the action, and beside the field of a page."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from asgiauth import Auth
from asgiauth.exceptions import PasswordRejected, Reason
from asgiauth.fastapi import auth_router
from asgiauth.http.actions import Action, Field
from asgiauth.http.actions import Page as Face
from asgiauth.passwords import CommonPasswordValidator, StrengthValidator, recommended_validators
from asgiauth.testing import Client, Clock, client
from asgiauth.texts import texts
from examples.custom_feature.pin import Pin

from ..conftest import FAST, make_auth, program
from ..login.helpers import Extension
from ..sites import PASSWORD, log_in, site
from .paging import BROWSER, CHANGE, LOGIN, Page
from .paging import site as pages
from .test_pages_attacked import HOSTILE

STRENGTH = "/api/auth/password/strength"
BESIDE = "/auth/password_strength"
STRONG = "seven pears on a wall"
RULES = replace(FAST, validators=recommended_validators())


@asynccontextmanager
async def asked(url: str, *validators: Any, **options: Any) -> AsyncIterator[tuple[Auth, Client]]:
    """A site with these validators, or with the recommended ones, and somebody who may ask."""
    policy = replace(FAST, validators=validators or RULES.validators)
    auth = make_auth(url, **{"passwords": policy, **options})
    async with auth, client(site(auth)) as browser:
        await auth.create_tables()
        yield auth, browser


@pytest.fixture
async def browser(sqlite_url: str) -> AsyncIterator[Client]:
    async with asked(sqlite_url) as (_, browser):
        yield browser


async def judged(browser: httpx2.AsyncClient, password: str, **names: str) -> dict[str, Any]:
    answer = await browser.post(STRENGTH, json={"password": password, **names})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def codes(browser: httpx2.AsyncClient, password: str, **names: str) -> list[str]:
    return [problem["code"] for problem in (await judged(browser, password, **names))["problems"]]


async def test_B4_2_a_password_is_judged_before_it_is_set(auth: Auth) -> None:
    """By anybody, on each server: its strength, every rule that it breaks, and what to do about it, in words."""
    auth.passwords.validators.extend(recommended_validators())
    async with client(site(auth)) as browser:
        weak = await judged(browser, "1234567")
        assert list(weak) == ["score", "problems", "warning", "suggestions"]
        assert weak["score"] == 0
        assert weak["problems"][:2] == [
            {"code": "password_too_short", "text": "Use at least 8 characters.", "params": {"min_length": 8}},
            {"code": "password_too_common", "text": texts().problem("password_too_common"), "params": {}},
        ]
        too_weak = weak["problems"][2]
        assert (too_weak["code"], too_weak["params"]["min_score"]) == ("password_too_weak", 3)
        assert weak["warning"] == "This is one of the ten most used passwords."
        assert weak["suggestions"]
        assert all(one in too_weak["text"] for one in (weak["warning"], *weak["suggestions"]))
        assert await judged(browser, STRONG) == {"score": 4, "problems": [], "warning": None, "suggestions": []}


async def test_what_could_not_be_stored_is_told_as_such(browser: Client) -> None:
    assert await codes(browser, "") == ["password_too_short", "password_blank"]
    assert await codes(browser, STRONG * 60) == ["password_too_long"]
    raw = await browser.post(
        STRENGTH, content=b'{"password": "\\ud800 on a wall"}', headers={"Content-Type": "application/json"}
    )
    assert [problem["code"] for problem in raw.json()["problems"]] == ["password_not_unicode"]


async def test_A16_2_the_names_that_are_typed_beside_it_count(browser: Client) -> None:
    """For a registration: there is no user yet."""
    assert "password_too_similar" not in await codes(browser, "rosamunde-pilcher")
    (similar, *_) = (await judged(browser, "rosamunde-pilcher", username="rosamundepilcher"))["problems"]
    assert (similar["code"], similar["params"]) == ("password_too_similar", {"verbose_name": "username"})
    assert similar["text"] == "This is too much like your user name."
    assert "password_too_similar" in await codes(browser, "rosamunde-pilcher", email="rosamunde-pilch@site.example")


async def test_A16_2_of_who_is_logged_in_the_own_names_count(sqlite_url: str) -> None:
    """And no others."""
    async with asked(sqlite_url) as (auth, browser):
        await auth.users.create("ann", password=PASSWORD, validate=False, email="rosamunde-pilch@site.example")
        await log_in(browser)
        assert "password_too_similar" in await codes(browser, "rosamunde-pilcher", username="bob")
        assert "password_too_similar" not in await codes(browser, "wolfeschlegel", username="wolfeschlegel")


async def test_A16_2_of_whose_login_waits_for_a_step_the_own_names_count(sqlite_url: str) -> None:
    """The step may be a new password: nobody is logged in then."""
    pin = Pin()
    async with asked(sqlite_url, features=[pin]) as (auth, browser):
        ann = await auth.users.create("ann", password=PASSWORD, validate=False, email="rosamunde-pilch@site.example")
        await pin.set(ann, "24068931")
        waiting = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert waiting.json()["detail"]["code"] == "step_required"
        assert "password_too_similar" in await codes(browser, "rosamunde-pilcher")
        browser.cookies.clear()
        assert "password_too_similar" not in await codes(browser, "rosamunde-pilcher")


class Remote:
    """Asks somebody else, and takes its time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    async def validate(self, password: str, user: object) -> None:
        self.asked += 1
        raise PasswordRejected([Reason(self.name, {"of": {1: [user, None]}})])


class Slow:
    live = False

    def validate(self, password: str, user: object) -> None:
        raise PasswordRejected([Reason("slow")])


async def test_what_asks_elsewhere_waits_for_the_form(sqlite_url: str) -> None:
    """Async validators, unless they say that they are quick, and plain ones that say they are not. What a validator
    gives along may be anything."""
    remote, quick = Remote("remote"), Remote("quick")
    quick.live = True  # type: ignore[attr-defined]
    async with asked(sqlite_url, remote, quick, Slow()) as (auth, browser):
        (problem,) = (await judged(browser, STRONG))["problems"]
        assert (problem["code"], problem["text"]) == ("quick", "This is not valid.")
        assert problem["params"] == {"of": {"1": ["namespace(username='', email='')", None]}}
        assert (remote.asked, quick.asked) == (0, 1)
        with pytest.raises(PasswordRejected, match="remote, quick, slow"):
            await auth.passwords.validate(STRONG)


async def test_without_the_extra_there_is_no_score(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zxcvbn_rs_py", None)
    async with asked(sqlite_url, CommonPasswordValidator()) as (_, browser):
        said = await judged(browser, "password1")
        assert (said["score"], said["warning"], said["suggestions"]) == (None, None, [])
        assert [problem["code"] for problem in said["problems"]] == ["password_too_common"]


async def test_a_policy_without_a_rule_for_it_has_a_score_all_the_same(sqlite_url: str) -> None:
    """With words of the site, where there is a rule."""
    async with asked(sqlite_url, CommonPasswordValidator()) as (_, browser):
        assert (await judged(browser, "zyzzyvas"))["score"] < 4
        assert await codes(browser, "zyzzyvas") == []
    async with asked(sqlite_url, StrengthValidator(words=["zyzzyvasvasa"])) as (_, browser):
        assert (await judged(browser, "zyzzyvasvasa"))["score"] == 0


async def statuses(browser: httpx2.AsyncClient, count: int, **headers: str) -> list[int]:
    answers = [await browser.post(STRENGTH, json={"password": STRONG}, headers=headers) for _ in range(count)]
    return [answer.status_code for answer in answers]


async def test_V042_sixty_a_minute_for_each_address(sqlite_url: str) -> None:
    """The proxy's word counts, the client's own does not; of IPv6 the /64; and of unknown ones all together."""
    clock = Clock()
    async with asked(sqlite_url, StrengthValidator(), clock=clock, trusted_proxies=["127.0.0.1"]) as (auth, browser):
        assert set(await statuses(browser, 60, **{"X-Forwarded-For": "203.0.113.7"})) == {200}
        refused = await browser.post(
            STRENGTH, json={"password": STRONG}, headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
        )
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["detail"]["code"] == "too_many_attempts"
        assert set(await statuses(browser, 30, **{"X-Forwarded-For": "2001:db8:1:2::1"})) == {200}
        assert await statuses(browser, 31, **{"X-Forwarded-For": "2001:db8:1:2:ffff::"}) == [*[200] * 30, 429]
        assert await statuses(browser, 1, **{"X-Forwarded-For": "2001:db8:1:3::1"}) == [200]
        async with program(site(auth)) as nowhere:
            nowhere._transport.client = None  # type: ignore[attr-defined]
            assert await statuses(nowhere, 61) == [*[200] * 60, 429]
        clock.advance(seconds=2)
        assert await statuses(browser, 3, **{"X-Forwarded-For": "203.0.113.7"}) == [200, 200, 429]


async def test_sixty_a_minute_for_each_session(sqlite_url: str) -> None:
    """Wherever its requests come from."""
    clock = Clock()
    async with asked(sqlite_url, StrengthValidator(), clock=clock, trusted_proxies=["127.0.0.1"]) as (auth, browser):
        await auth.users.create("ann", password=PASSWORD, validate=False)
        await log_in(browser)
        for number in range(60):
            assert await statuses(browser, 1, **{"X-Forwarded-For": f"203.0.113.{number}"}) == [200]
        assert await statuses(browser, 1, **{"X-Forwarded-For": "203.0.113.99"}) == [429]
        async with client(site(auth)) as other:
            assert await statuses(other, 60, **{"X-Forwarded-For": "203.0.113.99"}) == [200] * 60


async def test_no_password_is_echoed_or_logged(browser: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for password in ("Tr0ub4dor&3-of-ann", "zyzzyvasvasa\ud800", "q" * 2000):
            answer = await browser.post(
                STRENGTH,
                content=json.dumps({"password": password, "username": password[:100]}),
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 200
            assert password[:11] not in answer.text
            assert answer.headers["cache-control"] == "no-store"
    assert not any(word in caplog.text for word in ("Tr0ub", "zyzzy", "q" * 20))


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        ('{"password": "x"}', {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        ("[]", {}, (400, "invalid_body")),
        ("{}", {}, (422, "invalid_fields")),
        ('{"password": 1}', {}, (422, "invalid_fields")),
        ('{"password": "x", "user": "ann"}', {}, (422, "invalid_fields")),
        ('{"password": "x", "username": "' + "a" * 255 + '"}', {}, (422, "invalid_fields")),
        ('{"password": "' + "x" * 65536 + '"}', {}, (413, "body_too_large")),
        ('{"password": "x"}', {"Sec-Fetch-Site": "cross-site"}, (403, "csrf_failed")),
        ('{"password": "x"}', {"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, (403, "csrf_failed")),
    ],
)
async def test_D35_whatever_else_is_refused_in_the_one_shape(
    browser: Client, content: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = await browser.post(STRENGTH, content=content, headers={"Content-Type": "application/json", **headers})
    assert (answer.status_code, answer.json()["detail"]["code"]) == expected


async def test_what_is_refused_for_its_form_is_not_counted(browser: Client) -> None:
    for _ in range(70):
        assert (await browser.post(STRENGTH, json={})).status_code == 422
    assert await statuses(browser, 1) == [200]


async def test_it_speaks_the_language_of_the_request(sqlite_url: str) -> None:
    german = {"error.password_too_short": "Mindestens {min_length} Zeichen.", "strength.warning.top_10": "Bekannt."}
    language = {"texts": {"de": german}, "locale": lambda connection: connection.headers.get("accept-language", "en")}
    async with asked(sqlite_url, StrengthValidator(), **language) as (_, browser):
        browser.headers["Accept-Language"] = "de-AT"
        said = await judged(browser, "1234567")
        assert said["problems"][0]["text"] == "Mindestens 8 Zeichen."
        assert said["warning"] == "Bekannt."


async def test_it_stands_in_the_openapi_document(sqlite_auth: Auth) -> None:
    app = FastAPI()
    app.include_router(auth_router(sqlite_auth), prefix="/api/auth")
    operation = app.openapi()["paths"][STRENGTH]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert (list(body["properties"]), body["required"]) == (["password", "username", "email"], ["password"])
    assert body["properties"]["password"]["writeOnly"] is True
    shown = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert shown["required"] == ["score", "problems", "warning", "suggestions"]
    assert {"403", "413", "415", "422", "429"} <= set(operation["responses"])


# beside the pages


def box(page: Page) -> dict[str, str | None]:
    """What the script reads."""
    (box,) = [one for one in page.all("div") if "data-strength-of" in one]
    return box


async def test_a_field_for_a_new_password_has_its_rules_and_a_meter(sqlite_url: str) -> None:
    """A page needs neither the JSON API nor JavaScript: there is nothing to see of the meter until the script shows it,
    and the rules are there."""
    auth = make_auth(sqlite_url, passwords=RULES)
    async with auth, client(pages(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        ann = await auth.users.create("ann", password=PASSWORD, validate=False)
        await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD})
        answer = await browser.get(CHANGE)
        page = Page(answer)
        assert page.texts("li") == auth.passwords.help_texts()
        assert page.inputs()["new_password"]["aria-describedby"] == "new_password-rules"
        assert (box(page)["data-strength-of"], box(page)["data-url"]) == ("new_password", BESIDE)
        assert len(json.loads(str(box(page)["data-words"]))) == 5
        (meter,) = page.all("meter")
        assert "hidden" in meter
        (script,) = page.all("script")
        assert f"script-src 'self' 'nonce-{script['nonce']}'" in answer.headers["content-security-policy"]
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
        said = await browser.post(BESIDE, json={"password": f"{ann.username}{datetime.now().year}"})
        assert (said.status_code, said.headers["content-type"]) == (200, "application/json")
        assert "password_too_obvious" in [problem["code"] for problem in said.json()["problems"]]
        assert (await browser.get(BESIDE)).status_code == 405
        assert (await browser.post(BESIDE, data={"password": "x"})).status_code == 415
        assert Page(await browser.get(LOGIN)).all("script") == []


async def test_a_meter_knows_where_the_pages_are_mounted(sqlite_auth: Auth) -> None:
    await sqlite_auth.users.create("ann", password=PASSWORD)
    inner = Starlette(routes=[Mount("/my/auth", routes=sqlite_auth.html_routes())])
    app = Starlette(routes=[Mount("/shop", app=inner)], middleware=sqlite_auth.middleware)
    async with client(app, headers=BROWSER) as browser:
        await browser.post("/shop/my/auth/login", data={"username": "ann", "password": PASSWORD})
        url = box(Page(await browser.get("/shop/my/auth/password_change")))["data-url"]
        assert url == "/shop/my/auth/password_strength"
        assert (await browser.post(str(url), json={"password": STRONG})).status_code == 200


async def test_every_field_of_a_feature_for_a_new_password_has_one(sqlite_url: str) -> None:
    """Whatever its name; and no other field, though it be secret."""

    async def register(auth: Any, **fields: str) -> None:
        raise PasswordRejected([Reason("password_too_common")], field="passphrase")

    fields = {
        "username": Field(autocomplete="username"),
        "passphrase": Field(secret=True, autocomplete="new-password"),
        "pin": Field(secret=True, autocomplete="one-time-code"),
    }
    face = Face(path="register", name="register", title="Register")
    action = Action(name="register", path="register", run=register, fields=fields, public=True, page=face)
    auth = make_auth(sqlite_url, passwords=RULES, features=[Extension(actions=[action])])
    async with auth, client(pages(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        page = Page(await browser.get("/auth/register"))
        assert box(page)["data-strength-of"] == "passphrase"
        assert page.texts("li") == auth.passwords.help_texts()
        assert "aria-describedby" not in page.inputs()["pin"]
        again = Page(await browser.post("/auth/register", data=dict.fromkeys(fields, "x")))
        assert again.inputs()["passphrase"]["aria-describedby"] == "passphrase-problem passphrase-rules"
        assert box(again)["data-url"] == BESIDE


async def test_T11_no_text_of_a_meter_becomes_an_element(sqlite_url: str) -> None:
    """Whoever has translated it."""
    keys = ["strength", "strength.refused", *(f"strength.{score}" for score in range(5))]
    escaped = [text.replace("{", "{{").replace("}", "}}") for text in HOSTILE]
    own = {f"en-x-{number}": dict.fromkeys(keys, text) for number, text in enumerate(escaped)}
    auth = make_auth(sqlite_url, texts=own, locale=lambda connection: connection.headers.get("accept-language", "en"))
    async with auth, client(pages(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        await browser.post(LOGIN, data={"username": "ann", "password": PASSWORD})
        outline = Page(await browser.get(CHANGE)).outline
        for locale, text in zip(own, HOSTILE, strict=True):
            page = Page(await browser.get(CHANGE, headers={"Accept-Language": locale}))
            assert page.outline == outline
            assert page.all("meter")[0]["aria-label"] == box(page)["data-refused"] == text
            assert json.loads(str(box(page)["data-words"])) == [text] * 5


async def test_the_script_is_ascii_and_holds_nothing_that_a_template_would_read() -> None:
    """It stands in the page as it is, and writes texts alone."""
    script = (Path(__file__).parents[2] / "asgiauth/templates/asgiauth/strength.js").read_text()
    assert script.isascii()
    assert not any(
        word in script for word in ("{{", "{%", "{#", "</", "innerHTML", "insertAdjacent", "eval", "console")
    )
