"""The pages in the words and the language of the application."""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth.exceptions import LoginRefused, TooManyAttempts
from asgiauth.testing import client

from ..conftest import make_auth
from ..login.helpers import Extension
from .paging import BROWSER, CHANGE, CHANGED, LOGIN, PASSWORD, SESSIONS, Page, log_in, site

GERMAN = {
    "login.title": "Anmelden",
    "login.submit": "Hinein",
    "field.username": "Name",
    "error.prefix": "Noch nicht: {title}",
    "error.invalid_credentials": "Name oder Passwort stimmt nicht.",
    "error.login.login_refused": "Dieses Konto ist gesperrt.",
    "error.too_many_attempts": "Zu viele Versuche. In {wait} wieder.",
    "wait.minutes": "{count} Minuten",
    "error.title": "Das ging nicht",
    "error.not_found": "Hier ist nichts.",
    "rule.password_too_short": "Mindestens {min_length} Zeichen.",
    "password_change_done.title": "Passwort geändert",
    "sessions.last_seen": "Zuletzt am {when}",
    "when": "{day}.{month}{year}",
}
LANGUAGES = {"de": GERMAN, "ar": {"login.title": "تسجيل الدخول"}, "en": {"nav.home": "Back to the shop"}}


def by_header(connection: Any) -> str:
    return str(connection.headers.get("accept-language", ""))


async def test_each_request_is_answered_in_its_language(sqlite_url: str) -> None:
    """`<html lang dir>` follows, and what has no words is English."""
    auth = make_auth(sqlite_url, texts=LANGUAGES, locale=by_header)
    async with client(site(auth), headers=BROWSER) as browser:
        for asked, lang, direction, title in (
            ("de-DE", "de", "ltr", "Anmelden"),
            ("ar", "ar", "rtl", "تسجيل الدخول"),
            ("en", "en", "ltr", "Log in"),
            ("xx", "en", "ltr", "Log in"),
        ):
            page = Page(await browser.get(LOGIN, headers={"Accept-Language": asked}))
            assert page.all("html") == [{"lang": lang, "dir": direction}]
            assert page.texts("h1") == page.texts("title") == [title]
            assert page.texts("a") == ["Back to the shop"]
            assert ("Password" in page.texts("label")) is True


async def test_one_language_for_everybody(sqlite_url: str) -> None:
    """Titles, fields, buttons, rules, times and errors."""
    auth = make_auth(sqlite_url, texts=LANGUAGES, locale="de-CH")
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD)
        wrong = Page(await browser.post(LOGIN, data={"username": "ann", "password": "x"}))
        assert (wrong.alert, wrong.texts("title")) == ("Name oder Passwort stimmt nicht.", ["Noch nicht: Anmelden"])
        assert (wrong.texts("button"), wrong.texts("label")[0]) == (["Hinein"], "Name")
        await log_in(browser)
        assert "Mindestens 8 Zeichen." in Page(await browser.get(CHANGE)).texts("li")
        assert Page(await browser.get(CHANGED)).texts("h1") == ["Passwort geändert"]
        when = Page(await browser.get(SESSIONS)).texts("p")[1]
        assert when.startswith("Zuletzt am ")
        missing = Page(await browser.post(f"{SESSIONS}/1f/revoke"))
        assert (missing.texts("h1"), missing.alert) == (["Das ging nicht"], "Hier ist nichts.")


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (TooManyAttempts(retry_after=100), "Zu viele Versuche. In 2 Minuten wieder."),
        (LoginRefused("not today"), "Dieses Konto ist gesperrt."),
    ],
)
async def test_a_refusal_is_told_in_the_language_of_the_request(
    sqlite_url: str, refusal: LoginRefused, says: str
) -> None:
    class Strict:
        async def admit(self, attempt: object) -> None:
            raise refusal

    auth = make_auth(sqlite_url, texts=LANGUAGES, locale=by_header, features=[Extension(login_guards=[Strict()])])
    async with auth, client(site(auth), headers={**BROWSER, "Accept-Language": "de"}) as browser:
        await auth.create_tables()
        assert Page(await browser.post(LOGIN, data={"username": "a", "password": "b"})).alert == says


async def test_a_text_of_the_application_is_escaped(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, texts={"en": {"login.title": "<b>In & out</b>"}})
    async with client(site(auth), headers=BROWSER) as browser:
        assert Page(await browser.get(LOGIN)).texts("h1") == ["<b>In & out</b>"]
