"""Work that recurs: when it runs, who runs it, and what it survives."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Integer, Table

from asgiauth import Auth, SessionPolicy, User
from asgiauth.exceptions import ConfigurationError, NotReady, Unavailable
from asgiauth.jobs import Job
from asgiauth.testing import Clock

from .conftest import make_auth
from .login.helpers import Extension
from .sessions.helpers import PASSWORD, Site, rows

SOON = timedelta(milliseconds=5)


class Work:
    """Counts its runs; each raises the next of `errors`, if there is one."""

    def __init__(self, *errors: BaseException) -> None:
        self.runs = 0
        self.errors = list(errors)

    async def __call__(self) -> None:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)

    async def reached(self, runs: int) -> None:
        async with asyncio.timeout(60):
            while self.runs < runs:
                await asyncio.sleep(0.001)


def auth_with(url: str, *jobs: Job, **options: Any) -> Auth:
    return make_auth(url, features=[Extension(jobs=jobs)], **options)


async def test_a_job_runs_every_so_often_while_the_application_does(sqlite_url: str) -> None:
    """First one span after the start; not once more after the end; and anew at the next start."""
    work = Work()
    auth = auth_with(sqlite_url, Job("work", SOON, work))
    for _ in range(2):
        work.runs = 0
        async with auth.lifespan(None):
            assert work.runs == 0
            await work.reached(3)
        runs = work.runs
        await asyncio.sleep(0.02)
        assert work.runs == runs


@pytest.mark.parametrize("jobs", ["worker", "off"])
async def test_jobs_run_only_where_they_are_asked_for(sqlite_url: str, jobs: Any) -> None:
    """DESIGN 3: `async with auth` runs none, and neither does a lifespan that leaves them to a worker or to nobody."""
    work = Work()
    auth = auth_with(sqlite_url, Job("work", SOON, work), jobs=jobs)
    async with auth.lifespan(None):
        await asyncio.sleep(0.03)
    async with auth_with(sqlite_url, Job("work", SOON, work)):
        await asyncio.sleep(0.03)
    assert work.runs == 0


@pytest.mark.parametrize("jobs", ["Lifespan", "on", "", None, True])
def test_another_word_for_who_runs_the_jobs_is_a_configuration_error(jobs: Any) -> None:
    """A misspelt one would leave everything that has expired in the database for ever."""
    with pytest.raises(ConfigurationError, match="jobs"):
        make_auth("sqlite:///never.db", jobs=jobs)


@pytest.mark.parametrize("every", [timedelta(0), timedelta(seconds=-1), -SOON])
def test_a_job_that_would_never_rest_is_a_configuration_error(every: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="every"):
        Job("work", every, Work())


async def test_a_job_that_fails_is_logged_and_tried_again(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback; another job beside it goes on. One that has to wait for its tables is no failure."""
    bad, good = Work(LookupError("broken"), Unavailable("down"), NotReady("no tables yet")), Work()
    auth = auth_with(sqlite_url, Job("bad", SOON, bad), Job("good", SOON, good))
    caplog.set_level(logging.INFO, "asgiauth")
    async with auth.lifespan(None):
        await bad.reached(5)
        await good.reached(5)
    told = [
        (one.levelname, one.getMessage(), bool(one.exc_info)) for one in caplog.records if "job" in one.getMessage()
    ]
    failed = f"the job bad has failed; it is tried again in {SOON}"
    assert told == [
        ("ERROR", failed, True),
        ("ERROR", failed, True),
        ("INFO", "the job bad has to wait: no tables yet", False),
    ]


async def test_a_job_does_not_overtake_itself(sqlite_url: str) -> None:
    inside = most = 0
    done = Work()

    async def slow() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1
        await done()

    async with auth_with(sqlite_url, Job("slow", SOON, slow)).lifespan(None):
        await done.reached(3)
    assert (most, inside) in ((1, 0), (1, 1))


@pytest.mark.parametrize("fails", [False, True])
async def test_the_end_of_the_application_cuts_a_job_off_and_nothing_of_it_stays(url: str, fails: bool) -> None:
    """Its unit of work is rolled back, its connection returned; also when the application ends by an error."""
    begun = Work()

    def table(metadata: Any) -> None:
        Table("thing", metadata, Column("id", Integer, primary_key=True))

    async def write() -> None:
        async with feature.core.db.unit() as unit:
            await unit.insert(feature.core.tables.user.metadata.tables["thing"], {"id": begun.runs + 1})
            await begun()
            await asyncio.sleep(60)

    feature = Extension(table, jobs=[Job("write", SOON, write)])
    auth = make_auth(url, features=[feature])
    async with auth:
        await auth.create_tables()
        async with asyncio.timeout(60):
            with pytest.raises(LookupError) if fails else nullcontext():
                async with auth.lifespan(None):
                    await begun.reached(1)
                    if fails:
                        raise LookupError
        assert await auth.users.create("ann") == await auth.users.get_by(username="ann")
    assert await rows(url, auth.metadata.tables["thing"]) == []


class Second:
    name = requirement = path = "second"

    async def applies_to(self, user: User, attempt: object) -> bool:
        return user.username == "bob"


async def test_what_has_expired_is_deleted_by_itself_and_nothing_else(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions, those of visitors too, and logins that wait for a step. Two processes may do it at once."""
    monkeypatch.setattr("asgiauth.auth._PURGE_EVERY", SOON)
    clock, work = Clock(), Work()
    options: dict[str, Any] = {"clock": clock, "sessions": SessionPolicy()}
    first = make_auth(url, features=[Extension(login_steps=[Second()], jobs=[Job("work", SOON, work)])], **options)
    second = make_auth(url, **options)
    async with first.lifespan(None), second.lifespan(None):
        await work.reached(2)  # without tables: jobs wait for them
        await first.create_tables()
        for name in ("ann", "bob"):
            await first.users.create(name, password=PASSWORD)
        site = Site(first)
        await site.log_in(remember=True)
        await site.log_in()
        await site.get(site.browser(), lambda request: request.session.update(a=1))
        answer = await site.browser().post("/api/auth/login", json={"username": "bob", "password": PASSWORD})
        assert answer.status_code == 401
        for span, left in (({"minutes": 9}, (3, 1)), ({"minutes": 1}, (3, 0)), ({"hours": 24}, (1, 0))):
            clock.advance(**span)
            await work.reached(work.runs + 3)
            async with asyncio.timeout(60):
                while await counts(url, first) != left:
                    await asyncio.sleep(0.005)
            assert await counts(url, first) == left


async def counts(url: str, auth: Auth) -> tuple[int, int]:
    return len(await rows(url, auth.tables.session)), len(await rows(url, auth.tables.pending_login))
