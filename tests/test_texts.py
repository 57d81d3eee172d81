"""Words: ours in English, an application's in whatever languages it has."""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth.exceptions import ConfigurationError
from asgiauth.texts import ENGLISH, Languages, texts

from .conftest import make_auth

OWN = Languages(
    {
        "de": {"login.title": "Anmelden", "wait.hours": "{count} Stunden", "my.own": "Mein {thing}"},
        "de_AT": {"month.1": "Jänner"},
        "pt-BR": {"login.title": "Entrar"},
        "en": {"site": "The corner shop"},
    }
)


@pytest.mark.parametrize(
    ("asked", "found", "title"),
    [
        ("en", "en", "Log in"),
        ("de", "de", "Anmelden"),
        ("de-AT", "de-AT", "Anmelden"),
        ("DE_at", "de-AT", "Anmelden"),
        ("de-CH-1996", "de", "Anmelden"),
        ("pt-BR", "pt-BR", "Entrar"),
        ("pt", "en", "Log in"),
        ("fr", "en", "Log in"),
        ("", "en", "Log in"),
        ('"><script>', "en", "Log in"),
        ("de-" * 30_000, "de", "Anmelden"),
    ],
    ids=lambda value: value[:12],
)
def test_a_locale_finds_the_nearest_language(asked: str, found: str, title: str) -> None:
    """What a request says comes out as a language of the application's, or English."""
    assert (OWN(asked).locale, OWN(asked)("login.title")) == (found, title)


def test_what_a_language_leaves_out_is_english_in_the_words_of_the_application() -> None:
    assert OWN("de")("login.submit") == ENGLISH["login.submit"]
    assert OWN("de")("site") == OWN("en")("site") == "The corner shop"
    assert (OWN("de").wait(9000), OWN("de-AT").wait(60)) == ("3 Stunden", "a minute")
    assert OWN("de")("my.own", thing="Haus") == "Mein Haus"
    assert "my.own" in OWN
    assert "my.other" not in OWN


def test_the_application_changes_nothing_for_another_one() -> None:
    assert texts()("site") == texts("de")("site") == "Account"
    one, other = make_auth("sqlite:///one.db", texts={"en": {"site": "One"}}), make_auth("sqlite:///other.db")
    assert (one.texts()("site"), other.texts()("site")) == ("One", "Account")


def test_a_time_is_written_as_people_read_it() -> None:
    moment = "2026-01-02T03:04:05.678901+00:00"
    assert texts().when(moment) == "2 January 2026, 03:04 UTC"
    german = Languages({"de": {"when": "{day}. {month} {year} um {time}", "month.1": "Januar"}})
    assert german("de").when(moment) == "2. Januar 2026 um 03:04"


@pytest.mark.parametrize(
    ("locale", "direction"),
    [("en", "ltr"), ("ar", "rtl"), ("he_IL", "rtl"), ("az", "ltr"), ("az-Arab", "rtl"), ("ur-Latn-PK", "ltr")],
)
def test_the_direction_is_that_of_the_script(locale: str, direction: str) -> None:
    assert Languages({locale: {}})(locale).direction == direction


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"d": {}}, "'d' is no language: give its tag, such as de or pt-BR"),
        ({"de dev": {}}, "is no language"),
        ({3: {}}, "3 is no language"),
        ({"de": ["login.title"]}, "give the texts by their keys"),
        ({"de": {"site": 3}}, "is no text, but 3: give a str"),
        ({"de": {"wait.hours": "{stunden} Stunden"}}, "nothing fills in {stunden}: use {count}"),
        ({"de": {"site": "{name}"}}, "nothing fills in {name}: use no braces"),
        ({"de": {"my.own": "{"}}, "write {{ and }} for braces"),
        ({"de": {"my.own": "{0}"}}, "only plain names"),
        ({"de": {"my.own": "{}"}}, "only plain names"),
        ({"de": {"wait.hours": "{count:d}"}}, "only plain names"),
        ({"de": {"wait.hours": "{count!r}"}}, "only plain names"),
        ({"de": {"wait.hours": "{count.real}"}}, "only plain names"),
    ],
    ids=str,
)
def test_texts_that_could_not_be_spoken_are_refused_when_auth_is_built(own: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_auth("sqlite:///never-opened.db", texts=own)
    assert says in str(refused.value)


def test_braces_may_be_written_twice() -> None:
    assert Languages({"de": {"site": "{{Konto}}"}})("de")("site") == "{Konto}"
