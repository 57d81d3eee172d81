"""A1.7, A2.16, A17, A25: what Django signs, with values that Django 6.1 has made and with a live Django."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies

from asgiauth.django_signing import (
    MAX_SIZE,
    DjangoKeys,
    DjangoResetTokens,
    ResetUser,
    uid_from_base64,
    uid_to_base64,
)
from asgiauth.exceptions import ConfigurationError, InvalidToken
from asgiauth.testing import Clock

from .parity.test_hashes import DJANGO, django

SECRET, FALLBACK = "asgiauth-test-secret", "old-secret"
KEYS = DjangoKeys(SECRET, [FALLBACK])
SALT = "django.contrib.sessions.SessionStore"
PASSWORD = "pbkdf2_sha256$1500000$seasalt$P4UiMPVduVWIL/oS1GzH+IofsccjJNM5hUTikBvi5to="
BLOB = "eyJhIjoxfQ:1vb66i:eB2NslVvH0RDkzRPs9lgMlj4UQhOxytXDt6g01xEu8I"
TIMEOUT = timedelta(days=3)


@dataclass(frozen=True)
class Joe:
    id: int = 42
    password: str = PASSWORD
    last_login: datetime | None = None
    email: str = "joe@example.com"
    contact: str = ""


def tokens_at(now: datetime, *, keys: DjangoKeys = KEYS, **options: Any) -> DjangoResetTokens:
    return DjangoResetTokens(keys, clock=lambda: now, **options)


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "d1p9c0-9014e4a0685f01ffc7e2673059bb90f2"


def test_A25_what_django_has_made() -> None:
    """The vectors of the specification."""
    hashes = [one.hex() for one in KEYS.session_hashes(PASSWORD)]
    assert hashes == [
        "02a6c667a8bb80a52b8c2e5165086c1c9d934d8bba56c1337af4f41b140718c3",
        "b0d720115bca691a424906218e499516e121330abbb96cbdb51feeca5238d2f6",
    ]
    assert KEYS.dumps({"a": 1}, salt=SALT, at=NEW_YEAR, compress=True) == BLOB
    assert KEYS.loads(BLOB, salt=SALT) == ({"a": 1}, NEW_YEAR)
    assert tokens_at(NEW_YEAR).make(Joe()) == TOKEN
    late = Joe(last_login=datetime(2025, 12, 31, 23, 59, 59, 999, tzinfo=UTC))
    assert tokens_at(NEW_YEAR).make(late) == "d1p9c0-6401851095b9bdc1d4e027fe388c2ca1"
    assert (uid_to_base64(42), uid_from_base64("NDI")) == ("NDI", "42")


@given(
    strategies.recursive(
        strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(),
        lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    )
)
def test_A1_7_what_is_signed_comes_back(value: Any) -> None:
    for compress in (False, True):
        assert KEYS.loads(KEYS.dumps(value, salt=SALT, at=NEW_YEAR, compress=compress), salt=SALT)[0] == value


def test_A1_7_it_is_compressed_where_that_is_shorter() -> None:
    long, short = [KEYS.dumps({"a": text}, salt=SALT, at=NEW_YEAR, compress=True) for text in ("x" * 100, "x")]
    assert (long[0], short[0]) == (".", "e")
    assert KEYS.dumps(0, salt=SALT, at=datetime.fromtimestamp(0, UTC)).split(":")[1] == "0"


@given(strategies.integers(0, len(BLOB) - 1), strategies.sampled_from("Aa0:.-_= \x00\u00e9\U0001f511"))
def test_A1_7_a_value_that_was_changed_is_refused(place: int, character: str) -> None:
    changed = BLOB[:place] + character + BLOB[place + 1 :]
    if changed != BLOB:
        with pytest.raises(InvalidToken, match="SECRET_KEY"):
            KEYS.loads(changed, salt=SALT)


@pytest.mark.parametrize("text", ["", ":", "::", ".", ".::", "a", "a:b", BLOB + " ", BLOB * 2, "\u00e9:1:\u00e9"])
def test_A1_7_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        KEYS.loads(text, salt=SALT)
    with pytest.raises(InvalidToken):
        KEYS.loads(BLOB, salt="another salt")


def signed(data: bytes, *, mark: str = "", stamp: str = "1vb66i") -> str:
    """Signed with the right key, whatever it is."""
    encoded = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    value = f"{mark}{encoded}:{stamp}"
    mac = KEYS.macs(SALT + "signer", value)[0]
    return f"{value}:{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


HOSTILE = {
    "a bomb": signed(zlib.compress(b"[" + b" " * 50 * MAX_SIZE + b"]", 9), mark="."),
    "one byte too much": signed(zlib.compress(b" " * (MAX_SIZE - 1) + b"[]", 9), mark="."),
    "cut off": signed(zlib.compress(b'{"a":1}')[:-2], mark="."),
    "no zlib": signed(b'{"a":1}', mark="."),
    "no JSON": signed(b"{"),
    "nothing": signed(b""),
    "deep": signed(b"[" * 100_000),
    "deep and packed": signed(zlib.compress(b"[" * 100_000), mark="."),
    "a large number": signed(b"1" * 5000),
    "no time": signed(b"{}", stamp="-"),
    "a time beyond all": signed(b"{}", stamp="z" * 30),
    "large": ":" * (2 * MAX_SIZE + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_A8_11_a_value_that_cannot_be_read_is_a_value_error(name: str) -> None:
    """Also when it is signed; and it costs no more than its limit."""
    with pytest.raises(ValueError) as caught:
        KEYS.loads(HOSTILE[name], salt=SALT)
    assert not isinstance(caught.value, InvalidToken)


def test_A1_7_what_json_does_not_know_is_null() -> None:
    """Python writes NaN into JSON, and it would come back to no other reader."""
    assert KEYS.loads(signed(b'{"a":NaN,"b":[-Infinity,1.5]}'), salt=SALT)[0] == {"a": None, "b": [None, 1.5]}


def test_A7_10_a_fallback_verifies_and_does_not_sign() -> None:
    old = DjangoKeys(FALLBACK).dumps([1], salt=SALT, at=NEW_YEAR)
    assert KEYS.loads(old, salt=SALT)[0] == [1]
    assert KEYS.dumps([1], salt=SALT, at=NEW_YEAR) != old
    with pytest.raises(InvalidToken):
        DjangoKeys(SECRET).loads(old, salt=SALT)
    assert DjangoKeys(SECRET.encode()).dumps([1], salt=SALT, at=NEW_YEAR) == KEYS.dumps([1], salt=SALT, at=NEW_YEAR)


@pytest.mark.parametrize(("key", "fallbacks"), [("", []), (b"", []), ("x", [""]), ("x", "y"), ("x", b"y")])
def test_a_key_that_is_none_is_a_configuration_error(key: Any, fallbacks: Any) -> None:
    with pytest.raises(ConfigurationError, match="SECRET_KEY_FALLBACKS"):
        DjangoKeys(key, fallbacks)


def test_the_keys_are_nowhere_to_be_seen() -> None:
    """In no repr, and in no attribute that a page for errors would show."""
    shown = f"{KEYS!r} {vars(KEYS)} {tokens_at(NEW_YEAR)!r}"
    assert SECRET not in shown
    assert FALLBACK not in shown


# A17


def test_A17_1_a_token_that_was_made_holds() -> None:
    clock = Clock(NEW_YEAR)
    tokens = DjangoResetTokens(KEYS, clock=clock)
    token = tokens.make(Joe())
    assert token == TOKEN
    assert tokens.check(Joe(), token)
    clock.advance(seconds=1)
    assert tokens.make(Joe()) != token
    assert tokens.check(Joe(), token)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 43},
        {"password": PASSWORD + "x"},
        {"email": "other@example.com"},
        {"email": ""},
        {"last_login": NEW_YEAR},
    ],
    ids=str,
)
def test_A17_2_A17_3_whatever_it_covers_ends_it_by_changing(change: Any) -> None:
    assert not tokens_at(NEW_YEAR).check(replace(Joe(), **change), TOKEN)


def test_A17_2_a_login_counts_by_the_second_and_in_utc() -> None:
    """A database without microseconds says the same, and so does one in another zone."""
    login = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    token = tokens_at(NEW_YEAR).make(Joe(last_login=login))
    for same in (login.replace(microsecond=0), login.astimezone(ZoneInfo("Asia/Tokyo"))):
        assert tokens_at(NEW_YEAR).check(Joe(last_login=same), token)


def test_A17_2_the_address_may_be_in_another_column() -> None:
    """Or be None, or missing: then the token covers none."""
    contact = tokens_at(NEW_YEAR, email_field="contact")
    token = contact.make(Joe(contact="a@example.com"))
    assert token != TOKEN
    assert contact.check(Joe(contact="a@example.com", email=""), token)
    assert not contact.check(Joe(contact="b@example.com"), token)
    assert tokens_at(NEW_YEAR, email_field="nowhere").make(Joe()) == contact.make(Joe(contact=""))


@pytest.mark.parametrize("timeout", [None, 60])
def test_A17_4_it_holds_up_to_the_very_second(timeout: int | None) -> None:
    options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    limit = NEW_YEAR + timedelta(seconds=259_200 if timeout is None else timeout)
    assert tokens_at(limit, **options).check(Joe(), TOKEN)
    assert not tokens_at(limit + timedelta(seconds=1), **options).check(Joe(), TOKEN)


def test_A17_5_a_fallback_verifies_until_it_is_dropped() -> None:
    old = tokens_at(NEW_YEAR, keys=DjangoKeys(FALLBACK)).make(Joe())
    assert tokens_at(NEW_YEAR).check(Joe(), old)
    assert tokens_at(NEW_YEAR).make(Joe()) != old
    assert not tokens_at(NEW_YEAR, keys=DjangoKeys(SECRET)).check(Joe(), old)
    assert not tokens_at(NEW_YEAR, keys=DjangoKeys("another")).check(Joe(), TOKEN)


MALFORMED = [
    None,
    "",
    "-",
    "d1p9c0",
    TOKEN.replace("-", ""),
    f"{TOKEN}-",
    f" {TOKEN}",
    f"{TOKEN}\n",
    TOKEN.upper(),
    f"0{TOKEN}",
    "-" + TOKEN.partition("-")[2],
    "\uff11" + TOKEN[1:],
    "z" * 14 + TOKEN[6:],
    "z" * 13 + TOKEN[6:],
    "\ud800" + TOKEN[1:],
    TOKEN[:-1],
    TOKEN + "0",
    "x" * 100_000,
]


@pytest.mark.parametrize("token", MALFORMED, ids=lambda token: repr(token)[:20])
def test_A17_6_what_is_malformed_is_false(token: str | None) -> None:
    assert tokens_at(NEW_YEAR).check(Joe(), token) is False
    assert tokens_at(NEW_YEAR).check(None, TOKEN) is False


def test_A17_7_a_subclass_may_cover_more() -> None:
    class Ours(DjangoResetTokens):
        def covered(self, user: ResetUser, seconds: int) -> str:
            return super().covered(user, seconds) + "confirmed"

    token = Ours(KEYS, clock=lambda: NEW_YEAR).make(Joe())
    assert token != TOKEN
    assert Ours(KEYS, clock=lambda: NEW_YEAR).check(Joe(), token)


def test_A17_8_the_time_is_that_of_the_site() -> None:
    """Django counts the seconds of its own clock on the wall, which daylight saving puts forward and back."""
    tokyo = ZoneInfo("Asia/Tokyo")
    assert tokens_at(datetime(2026, 1, 1, tzinfo=tokyo), zone=tokyo).make(Joe()) == TOKEN
    berlin = ZoneInfo("Europe/Berlin")
    before, after = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]  # both are 2:30
    token = tokens_at(before, zone=berlin).make(Joe())
    assert tokens_at(after, zone=berlin).make(Joe()) == token
    assert tokens_at(after - timedelta(minutes=45), zone=berlin).check(Joe(), token)  # "from the future"


@pytest.mark.parametrize("text", ["A", "_____", "/w", "gA"])
def test_a_uid_that_is_none_is_none(text: str) -> None:
    assert uid_from_base64(text) is None


if DJANGO is not None:
    LIVE = """
import json, os, sys, time
from datetime import datetime, timezone
from types import SimpleNamespace
from unittest import mock
import django
from django.conf import settings
job = json.load(sys.stdin)
settings.configure(SECRET_KEY=job["secret"], SECRET_KEY_FALLBACKS=job["fallbacks"], TIME_ZONE=job["zone"], USE_TZ=True)
django.setup()
os.environ["TZ"] = job["zone"]  # as a settings module does it
time.tzset()
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.contrib.sessions.backends.db import SessionStore
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

joe = SimpleNamespace(pk=42, password=job["password"], last_login=None, email="joe@example.com")
joe.get_email_field_name = lambda: "email"
if job["login"]:
    joe.last_login = datetime.fromisoformat(job["login"])
tokens = PasswordResetTokenGenerator()
tokens._now = lambda: datetime.fromisoformat(job["now"]).astimezone().replace(tzinfo=None)
print(json.dumps({
    "made": tokens.make_token(joe),
    "checked": [tokens.check_token(joe, token) for token in job["tokens"]],
    "encoded": [SessionStore().encode(value) for value in job["values"]],
    "decoded": [SessionStore().decode(text) for text in job["blobs"]],
    "uid": urlsafe_base64_encode(str(joe.pk).encode()),
}))
"""
    VALUES: list[dict[str, Any]] = [
        {},
        {"a": 1},
        {"cart": ["x"] * 500},
        {"\u20ac": "\U0001f511\u0000", "n": {"a": [1.5, None, True]}},
    ]

    @pytest.mark.parametrize("zone", ["UTC", "America/Chicago"])
    async def test_A17_1_A17_8_tokens_and_blobs_go_both_ways(zone: str) -> None:
        now, login = datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 6, 30, 1, 2, 3, 4, tzinfo=UTC)
        joe = Joe(last_login=login)
        old = DjangoKeys(FALLBACK)
        ages = [timedelta(0), TIMEOUT, TIMEOUT + timedelta(seconds=1)]
        ours = [tokens_at(now - age, zone=ZoneInfo(zone)).make(joe) for age in ages]
        ours += [tokens_at(now, zone=ZoneInfo(zone), keys=old).make(joe), *(token or "" for token in MALFORMED)]
        answer = await django(
            LIVE,
            stdin={
                "secret": SECRET,
                "fallbacks": [FALLBACK],
                "zone": zone,
                "password": PASSWORD,
                "login": login.isoformat(),
                "now": now.isoformat(),
                "tokens": ours,
                "values": VALUES,
                "blobs": [
                    keys.dumps(value, salt=SALT, at=now, compress=True) for value in VALUES for keys in (KEYS, old)
                ],
            },
        )
        assert tokens_at(now, zone=ZoneInfo(zone)).check(joe, answer["made"])
        assert tokens_at(now, zone=ZoneInfo(zone)).make(joe) == answer["made"]
        assert answer["checked"] == [True, True, False, True, *[False] * len(MALFORMED)]
        assert [tokens_at(now, zone=ZoneInfo(zone)).check(joe, token) for token in ours] == answer["checked"]
        assert [KEYS.loads(text, salt=SALT)[0] for text in answer["encoded"]] == VALUES
        assert answer["decoded"] == [value for value in VALUES for _ in range(2)]
        assert answer["uid"] == uid_to_base64(42)
        assert json.loads(json.dumps(VALUES)) == VALUES
