"""Commands that keep a site running, against each server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from asgiauth import Auth
from asgiauth.testing import client, force_login

from ..conftest import make_auth
from ..sites import count, run, site
from .conftest import COMMAND, Project

WORKING = """
import asyncio, datetime
from asgiauth import Contribution
from asgiauth.jobs import Job
from tests.conftest import make_auth
async def beat():
    with open("beats", "a") as file:
        file.write("x")
class Beating:
    name = "beating"
    def tables(self, metadata): pass
    def install(self, core): return Contribution(jobs=[Job("beat", datetime.timedelta(milliseconds=50), beat)])
auth = make_auth({url!r}, jobs="worker", features=[Beating()])
"""

ENGINE = """
from sqlalchemy.ext.asyncio import create_async_engine
from tests.conftest import make_auth
engine = create_async_engine({url!r})
auth = make_auth(engine)
"""


def test_db_upgrade_makes_what_is_missing_and_db_check_names_it(project: Project, url: str) -> None:
    """Exit code 1 while something is missing; the second upgrade has nothing to do."""
    project.use(url)
    before = project.process("db", "check")
    assert (before.returncode, "auth_user" in before.stdout) == (1, True)
    listed = project.run("db", "check", "--json")
    assert listed.exit_code == 1, listed.exception
    assert any("auth_user" in line for line in json.loads(listed.stdout))
    done = project.process("db", "upgrade", "--for-django")
    assert (done.returncode, "table auth_user" in done.stdout, done.stderr) == (0, True, "")
    assert done.stdout.endswith("\nThe database is up to date.\n")
    assert project.run("db", "upgrade", "--for-django").stdout == "The database is up to date.\n"
    after = project.run("db", "check")
    assert (after.exit_code, after.stdout) == (0, "The database is up to date.\n")
    assert json.loads(project.run("db", "check", "--json").stdout) == []


def test_commands_work_on_an_engine_of_the_application(project: Project, sqlite_url: str) -> None:
    """And dispose of it, at the end of the process that it lives in."""
    project.write(ENGINE.format(url=sqlite_url.replace("sqlite://", "sqlite+aiosqlite://")))
    assert project.process("--app", "project_under_test:auth", "db", "upgrade").returncode == 0
    listed = project.run("--app", "project_under_test:auth", "users")
    assert (listed.exit_code, listed.stdout.split()) == (0, ["ID", "USER", "NAME", "E-MAIL", "LAST", "LOGIN"])


def test_A18_3_clearsessions_deletes_what_has_expired(project: Project, url: str) -> None:
    """And nothing else."""
    project.use(url)

    async def prepare() -> Auth:
        async with make_auth(url) as auth:
            await auth.create_tables()
            async with client(site(auth)) as browser:
                ann = await auth.users.create("ann", password=None)
                await force_login(browser, ann)
                past = update(auth.tables.session).values(expires_at=ann.date_joined - timedelta(days=1))
                await run(url, past)
                await force_login(browser, ann)
            return auth

    auth = asyncio.run(prepare())
    done = project.process("clearsessions")
    assert (done.returncode, done.stdout) == (0, "Deleted 1 expired session, 0 unfinished logins and 0 spent limits.\n")
    assert asyncio.run(count(url, auth.tables.session)) == 1
    assert "Deleted 0 expired sessions" in project.run("clearsessions").stdout


def test_A18_3_clearsessions_deletes_what_belonged_to_users_whom_django_has_deleted(
    project: Project, sqlite_url: str
) -> None:
    """And says so, where there was any. The database is Django's by its table of migrations."""
    project.use(sqlite_url)

    async def prepare() -> None:
        async with make_auth(sqlite_url, shared_with_django=True) as auth:
            await auth.create_tables()
            await auth.users.create("ann", email="ann@example.com")
            async with auth._database.unit() as unit:
                await unit.text("CREATE TABLE django_migrations (app TEXT)")
                await unit.text("DELETE FROM auth_user")

    asyncio.run(prepare())
    assert project.run("clearsessions").stdout.splitlines()[-1] == "Deleted 2 rows of what Django has deleted."
    assert "Django" not in project.run("clearsessions").stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["db", "upgrade"], r"Bringing the database up to date \.\.\.\r\n(.*\r\n)+The database is up to date\.\r\n"),
        (["clearsessions"], r"Deleting what has expired \.\.\.\r\nDeleted 0 expired sessions, .*\.\r\n"),
    ],
)
def test_who_sits_at_a_terminal_is_told_what_takes_a_while_and_what_was_done(
    project: Project, sqlite_url: str, command: list[str], said: str
) -> None:
    project.use(sqlite_url)
    if command == ["clearsessions"]:
        assert project.run("db", "upgrade").exit_code == 0
    terminal = project.terminal(*command)
    assert terminal.end() == 0
    assert re.fullmatch(said, terminal.seen), terminal.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_worker_runs_the_jobs_until_it_is_told_to_stop(
    project: Project, sqlite_url: str, number: signal.Signals
) -> None:
    """Ctrl-C in a terminal or SIGTERM of a service manager: it ends well, with 0."""
    project.write(WORKING.format(url=sqlite_url))
    command = [COMMAND, "--app", "project_under_test:auth", "worker"]
    process = subprocess.Popen(command, cwd=project.directory, env=project.env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    assert "beat: every 0:00:00.050000\n" in lines
    assert lines[-1] == "Working. Press Ctrl-C to stop.\n"
    deadline = time.monotonic() + 60
    while not (project.directory / "beats").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "Stopped.\n")
    assert (project.directory / "beats").read_text()


def test_the_worker_gives_signals_back(project: Project, sqlite_url: str) -> None:
    project.use(sqlite_url)
    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        while signal.getsignal(signal.SIGTERM) is before:  # which would end these tests
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert project.run("worker").output.endswith("Stopped.\n")
    assert signal.getsignal(signal.SIGTERM) is before
