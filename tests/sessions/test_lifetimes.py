"""When a session ends by itself, and how its use is noted."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from typing import Any

import anyio
import pytest
from sqlalchemy import select

from asgiauth import SessionPolicy
from asgiauth.exceptions import ConfigurationError
from asgiauth.testing import Clock

from ..conftest import client
from ..sites import PASSWORD, START, connected, count, log_in, run, seen_as, site


@pytest.mark.parametrize("option", ["idle", "absolute", "remember_idle", "remember_absolute"])
def test_a_lifetime_that_is_over_before_it_is_noted_is_a_configuration_error(option: str) -> None:
    limits: dict[str, Any] = {option: timedelta(seconds=60)}
    with pytest.raises(ConfigurationError, match=option):
        SessionPolicy(**limits)


LIFETIMES = SessionPolicy(
    idle=timedelta(hours=1),
    absolute=timedelta(hours=3),
    remember_idle=timedelta(hours=10),
    remember_absolute=timedelta(hours=30),
)


async def test_an_idle_session_ends_on_the_second(url: str) -> None:
    """D-11, T20: at t-1 s it lives, at t and t+1 s it is over."""
    clock = Clock(START)
    async with connected(url, clock=clock, sessions=LIFETIMES) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        for remember, hours in ((False, 1), (True, 10)):
            for seconds, name in ((-1, "ann"), (0, ""), (1, "")):
                token = await log_in(browser, remember=remember)
                clock.advance(hours=hours, seconds=seconds)
                assert await seen_as(auth, token) == name
                assert await seen_as(auth, token) == name


@pytest.mark.parametrize(("seconds", "name"), [(-1, "ann"), (0, ""), (1, "")])
@pytest.mark.parametrize(("remember", "hours"), [(False, 3), (True, 30)])
async def test_a_session_in_use_ends_on_the_second_of_its_absolute_limit(
    sqlite_url: str, remember: bool, hours: int, seconds: int, name: str
) -> None:
    """D-11, T20: use extends the idle limit and never the absolute one; what the API says is what happens."""
    clock = Clock(START)
    async with connected(sqlite_url, clock=clock, sessions=LIFETIMES) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        token, end = await log_in(browser, remember=remember), clock() + timedelta(hours=hours)
        while clock() + timedelta(minutes=50) < end:
            clock.advance(minutes=50)
            assert await seen_as(auth, token) == "ann"
        answer = (await browser.get("/api/auth/session")).json()
        assert answer["expires_at"] == end.isoformat()
        clock.set(end + timedelta(seconds=seconds))
        assert await seen_as(auth, token) == name


async def test_an_expired_session_does_not_come_back_when_the_clock_goes_back_after_a_login(sqlite_url: str) -> None:
    """T20: a step back of an hour extends no session beyond its absolute limit and that step."""
    clock = Clock(START)
    async with connected(sqlite_url, clock=clock, sessions=LIFETIMES) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
        clock.advance(hours=-1)
        assert await seen_as(auth, token) == "ann"
        clock.advance(hours=4, seconds=1)
        assert await seen_as(auth, token) == ""


async def test_last_seen_is_written_at_most_once_a_minute(url: str) -> None:
    """D-11: at 59.999999 s not yet, at 60 s once."""
    clock = Clock(START)
    async with connected(url, clock=clock) as auth, client(site(auth)) as browser:
        session = auth.tables.session
        await auth.users.create("ann", password=PASSWORD)
        token, start = await log_in(browser), clock()
        noted = []
        for microseconds in (0, 1_000_000, 59_999_999, 60_000_000, 60_000_001, 119_999_999, 120_000_000):
            clock.set(start + timedelta(microseconds=microseconds))
            assert await seen_as(auth, token) == "ann"
            noted += [row["last_seen"] - start for row in await run(url, select(session.c.last_seen))]
        minute = timedelta(minutes=1)
        assert noted == [minute * 0, minute * 0, minute * 0, minute, minute, minute, minute * 2]


async def test_fifty_requests_that_would_all_note_the_same_minute_are_all_answered(url: str) -> None:
    """Concurrent touches neither wait for each other in vain nor count twice."""
    clock = Clock(START)
    async with connected(url, clock=clock) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        await log_in(browser)
        clock.advance(minutes=2)
        answers = await asyncio.gather(*(browser.get("/who") for _ in range(50)))
        assert {(answer.status_code, answer.json()) for answer in answers} == {(200, "ann")}
        (row,) = await run(url, select(auth.tables.session.c.last_seen))
        assert row["last_seen"] == clock()


async def test_a_touch_does_not_bring_back_a_session_that_ended_meanwhile(sqlite_url: str) -> None:
    """DESIGN 9: a session deleted meanwhile is not resurrected."""
    clock = Clock(START)
    async with connected(sqlite_url, clock=clock) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
        clock.advance(minutes=2)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(browser.get, "/who")
            tasks.start_soon(browser.post, "/api/auth/logout")
        assert await seen_as(auth, token) == ""
        assert await count(sqlite_url, auth.tables.session) == 0


async def test_a_page_is_served_where_its_session_cannot_be_noted_as_used(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite, locked by another process: who it comes from is known, and that is what the page needs."""
    monkeypatch.setattr("asgiauth.db.sources._PATIENCE", 50)
    clock = Clock(START)
    async with connected(sqlite_url, clock=clock) as auth, client(site(auth)) as browser:
        await auth.users.create("ann", password=PASSWORD)
        token = await log_in(browser)
        clock.advance(minutes=5)
        other = await asyncio.to_thread(
            sqlite3.connect, sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False
        )
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        assert await seen_as(auth, token) == "ann"
        await asyncio.to_thread(other.close)
        assert await seen_as(auth, token) == "ann"
