"""Commands on an Auth that only reads: what writes says so before it asks for anything, what reads works."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from asgiauth import crud

from ..conftest import make_auth
from ..readers import reader
from .conftest import GOOD, Project

SITE = """
from asgiauth import Auth, crud
from tests.conftest import make_auth
auth = make_auth({url!r}, permissions=crud("blog", "post"), {options})
"""
WRITING = [
    ["db", "upgrade"],
    ["createsuperuser"],
    ["createsuperuser", "--noinput", "--username", "bob", "--email", ""],
    ["changepassword", "ann"],
    ["revoke", "ann"],
    ["syncpermissions"],
    ["clearsessions"],
    ["worker"],
    ["passwords", "wrap", "md5"],
]
READING = [
    (["users"], 0, "ann"),
    (["users", "--json"], 0, '"username": "ann"'),
    (["explain", "ann", "blog.add_post"], 0, "yes"),
    (["explain", "ann", "blog.delete_post"], 1, "no"),
    (["db", "check"], 0, "The database is up to date."),
    (["passwords", "wrap", "md5", "--dry-run"], 0, "0 to wrap."),
]


def use(project: Project, url: str, options: str = "read_only=True") -> None:
    project.use(url)
    project.write(SITE.format(url=url, options=options))


async def prepare(url: str) -> None:
    from asgiauth.db.migrate import upgrade

    async with make_auth(url, permissions=crud("blog", "post")) as auth:
        await upgrade(auth)
        ann = await auth.users.create("ann", password=GOOD)
        await auth.permissions.grant(ann, "blog.add_post")


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_command_that_writes_says_that_it_cannot(project: Project, sqlite_url: str, arguments: list[str]) -> None:
    """Exit code 1, in a line that names the cure; nothing was opened."""
    use(project, sqlite_url)
    done = project.run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Auth(read_only=True) only reads, and this would write")
    assert done.stderr.count("\n") == 1
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


def test_a_command_that_reads_works_for_a_role_that_may_only_read(project: Project, server: str, url: str) -> None:
    async def work() -> None:
        await prepare(url)
        async with reader(server, url) as theirs:
            use(project, theirs)
            for arguments, code, words in READING:
                done = await asyncio.to_thread(project.run, *arguments)
                assert (done.exit_code, words in done.stdout) == (code, True), done.output

    asyncio.run(work())


@pytest.mark.parametrize(("options", "found"), [("", True), (", jobs='off'", False), (", jobs='worker'", False)])
def test_check_says_that_no_jobs_run(project: Project, sqlite_url: str, options: str, found: bool) -> None:
    """Somebody else has to delete what has expired; `jobs="off"` says that this is known."""
    use(project, sqlite_url, "read_only=True" + options)
    done = project.run("check", "--json")
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    assert [(one["code"], one["level"]) for one in findings] == [("read_only_runs_no_jobs", "warning")] * found
    assert done.exit_code == 0


@pytest.mark.parametrize("arguments", [["clearsessions"], ["syncpermissions"]], ids=" ".join)
def test_a_role_that_may_only_read_is_told_of_the_setting(
    project: Project, server: str, url: str, arguments: list[str]
) -> None:
    """Where `read_only=True` was forgotten: a line, and no traceback."""

    async def work() -> None:
        async with make_auth(url) as auth:
            await auth.create_tables()
        async with reader(server, url) as theirs:
            use(project, theirs, "")
            done = await asyncio.to_thread(project.run, *arguments)
            assert done.exit_code == 1, done.output
            assert done.stderr.startswith("Error: ")
            assert done.stderr.count("\n") == 1
            assert "read_only=True" in done.stderr

    asyncio.run(work())
