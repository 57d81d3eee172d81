"""`request.session.set_expiry`: how long a session lasts, in the row, in the cookie and as told (A8.9, A8.10)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from asgiauth import SessionPolicy
from asgiauth.testing import Clock

from .helpers import Site, rows, site_at, token_of

POLICY = SessionPolicy(idle=timedelta(hours=2), absolute=timedelta(hours=10))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = 3600
BERLIN = timezone(timedelta(hours=1))


def data(request: Any) -> dict[str, Any]:
    return dict(request.session)


def store(request: Any, **values: Any) -> None:
    request.session.update(values)


def times(request: Any) -> dict[str, Any]:
    session = request.session
    return {
        "age": session.get_expiry_age(),
        "date": session.get_expiry_date().isoformat(),
        "at_close": session.get_expire_at_browser_close(),
    }


def max_age(header: str) -> int | None:
    _, found, seconds = header.partition("Max-Age=")
    return int(seconds) if found else None


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
async def timed(sqlite_url: str, clock: Clock) -> AsyncIterator[Site]:
    """On SQLite, for users and visitors whose clock the test moves."""
    async with site_at(sqlite_url, "ann", "bob", clock=clock, sessions=POLICY) as site:
        yield site


EXPIRIES: list[tuple[Any, int, int | None]] = [
    (300, 300, 300),
    (1, 1, 1),
    (0, 2 * HOUR, None),
    (None, 2 * HOUR, None),
    (timedelta(hours=3), 3 * HOUR, 3 * HOUR),
    (START + timedelta(hours=4), 4 * HOUR, 4 * HOUR),
    ((START + timedelta(minutes=5)).astimezone(BERLIN), 300, 300),
    (timedelta(days=30), 10 * HOUR, 10 * HOUR),
    (2**31, 10 * HOUR, 10 * HOUR),
    (START + timedelta(days=3000), 10 * HOUR, 10 * HOUR),
]


@pytest.mark.parametrize(("value", "seconds", "age"), EXPIRIES, ids=str)
@pytest.mark.parametrize("logged_in", [True, False])
async def test_A8_9_set_expiry_says_when_the_session_ends_within_the_absolute_limit(
    sqlite_url: str, timed: Site, clock: Clock, value: Any, seconds: int, age: int | None, logged_in: bool
) -> None:
    """The row, the cookie and what the view is told agree, and the session ends on that second."""
    browser = await timed.log_in() if logged_in else timed.browser()

    def view(request: Any) -> Any:
        request.session["a"] = 1
        request.session.set_expiry(value)
        return times(request)

    answer = await timed.get(browser, view)
    end = START + timedelta(seconds=seconds)
    assert answer.json() == {"age": seconds, "date": end.isoformat(), "at_close": age is None}
    (row,) = await rows(sqlite_url, timed.auth.tables.session)
    assert row["expires_at"] == end
    if value is None and logged_in:
        assert "set-cookie" not in answer.headers
    else:
        assert max_age(answer.headers["set-cookie"]) == age
    token = token_of(browser)
    for moment, kept in ((end, False), (end - timedelta(seconds=1), True)):
        clock.set(moment)
        seen = await timed.ask(timed.with_cookie(token), data)
        assert ("a" in seen) == kept


async def test_A8_9_seconds_count_from_the_last_change_and_the_cookie_goes_along(timed: Site, clock: Clock) -> None:
    """A8.20: the browser must keep the cookie as long as the server keeps the session."""
    browser = await timed.log_in()
    await timed.get(browser, lambda request: request.session.set_expiry(300))
    for step in range(3):
        clock.advance(seconds=200)
        answer = await timed.get(browser, partial(store, step=step))
        assert answer.status_code == 200
        assert max_age(answer.headers.get("set-cookie", "")) == 300
    clock.advance(seconds=200)
    assert (await timed.ask(browser, data))["step"] == 2
    clock.advance(seconds=100)
    assert await timed.ask(timed.with_cookie(token_of(browser)), data) == {}


async def test_A8_9_a_date_does_not_move(timed: Site, clock: Clock) -> None:
    browser = await timed.log_in()
    await timed.get(browser, lambda request: request.session.set_expiry(timedelta(hours=1)))
    token = token_of(browser)
    for minutes, a in ((50, {"a": 1}), (9, {"a": 1})):
        clock.advance(minutes=minutes)
        await timed.get(browser, lambda request: request.session.update(a=1))
        assert (await timed.ask(timed.with_cookie(token), data)).items() >= a.items()
    clock.advance(minutes=1)
    assert await timed.who(token) == ""


async def test_A8_9_reading_does_not_prolong_a_custom_expiry(timed: Site, clock: Clock) -> None:
    browser = await timed.log_in()
    await timed.get(browser, lambda request: request.session.set_expiry(300))
    token = token_of(browser)
    for _ in range(2):
        clock.advance(seconds=149)
        assert await timed.who(token) == "ann"
    clock.advance(seconds=2)
    assert await timed.who(token) == ""


async def test_A8_10_what_is_told_is_when_it_ends_if_nothing_more_happens(timed: Site, clock: Clock) -> None:
    """Between two changes the remaining time runs."""
    browser = await timed.log_in()
    await timed.get(browser, lambda request: request.session.set_expiry(300))
    clock.advance(seconds=50)
    end = START + timedelta(seconds=300)
    assert await timed.ask(browser, times) == {"age": 250, "date": end.isoformat(), "at_close": False}


@pytest.mark.parametrize("value", [None, 0])
async def test_A8_10_without_a_custom_expiry_it_is_the_policys_again(
    sqlite_url: str, timed: Site, clock: Clock, value: Any
) -> None:
    """In the very request that says so, in the row, and in the cookie."""
    browser = await timed.log_in()
    await timed.get(browser, lambda request: request.session.set_expiry(300))
    clock.advance(seconds=100)

    def view(request: Any) -> Any:
        request.session.set_expiry(value)
        return times(request)

    answer = await timed.get(browser, view)
    end = START + timedelta(seconds=100, hours=2)
    (row,) = await rows(sqlite_url, timed.auth.tables.session)
    assert row["expires_at"] == end
    assert max_age(answer.headers["set-cookie"]) is None
    assert answer.json() == {"age": 2 * HOUR, "date": end.isoformat(), "at_close": True}


async def test_A8_10_a_remembered_session_outlives_the_browser_unless_told_otherwise(timed: Site) -> None:
    browser = await timed.log_in(remember=True)
    assert (await timed.ask(browser, times))["at_close"] is False
    answer = await timed.get(browser, lambda request: request.session.set_expiry(0))
    assert max_age(answer.headers["set-cookie"]) is None
    assert (await timed.ask(browser, times))["at_close"] is True


@pytest.mark.parametrize(
    "value", [-1, 2**31 + 1, 1.5, "300", True, datetime(2026, 3, 1, 13), b"", [], object], ids=repr
)
async def test_A8_9_what_is_no_time_is_a_value_error_and_changes_nothing(timed: Site, value: Any) -> None:
    def view(request: Any) -> bool:
        with pytest.raises(ValueError, match=r"naive|takes"):
            request.session.set_expiry(value)
        return bool(request.session.modified)

    assert await timed.ask(timed.browser(), view) is False


@pytest.mark.parametrize("value", [START, START - timedelta(days=1), timedelta(0), timedelta(seconds=-5)])
async def test_A8_9_a_date_in_the_past_ends_the_session_at_once(timed: Site, value: Any) -> None:
    browser = await timed.log_in()
    token = token_of(browser)
    answer = await timed.get(browser, lambda request: request.session.set_expiry(value))
    assert max_age(answer.headers["set-cookie"]) == 0
    assert await timed.who(token) == ""
