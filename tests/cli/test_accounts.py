"""Commands about users, typed into a real terminal and run by scripts, on each server."""

from __future__ import annotations

import asyncio
import getpass
import json
from typing import Any

import pytest
from sqlalchemy import select

from asgiauth import User
from asgiauth.cli import accounts
from asgiauth.cli.words import told
from asgiauth.exceptions import PasswordRejected, Reason
from asgiauth.testing import client, force_login

from ..conftest import make_auth
from ..sites import run, site
from .conftest import GOOD, Project

SUPERUSER = {
    "ASGIAUTH_SUPERUSER_USERNAME": "ann",
    "ASGIAUTH_SUPERUSER_EMAIL": "ann@example.com",
    "ASGIAUTH_SUPERUSER_PASSWORD": GOOD,
}


def prepare(url: str, *names: str) -> None:
    async def create() -> None:
        async with make_auth(url) as auth:
            await auth.create_tables()
            for name in names:
                await auth.users.create(name, email=f"{name}@example.com", password=GOOD)

    asyncio.run(create())


def look(url: str, name: str, password: str) -> tuple[User | None, bool]:
    """The user, and whether this is the password."""

    async def find() -> tuple[User | None, bool]:
        async with make_auth(url) as auth:
            user = await auth.users.find(name)
            return user, user is not None and await auth.users.check_password(user, password)

    return asyncio.run(find())


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process there is no terminal: what click's runner puts in counts as typed."""
    monkeypatch.setattr(accounts, "is_terminal", lambda stream: True)
    monkeypatch.setattr(getpass, "getuser", lambda: "Zoë Ann")


def test_A18_1_a_superuser_is_typed_in(project: Project, url: str) -> None:
    """Name, address, the password twice and unseen; what is wrong is asked again, a weak password needs a yes."""
    prepare(url, "bob")
    project.use(url)
    terminal = project.terminal("createsuperuser")
    terminal.answer("User name", "a b\n")
    terminal.answer("use up to 150 letters", "")
    terminal.answer("User name", "BOB\n")
    terminal.answer("another user has this username", "")
    terminal.answer("User name", "ann\n")
    terminal.answer("E-mail address", "nonsense\n")
    terminal.answer("E-mail address", "ann@Example.com\n")
    for first, second, problem in [("one", "two", "didn't match"), ("  ", "  ", "Blank"), ("abc", "abc", "at least 8")]:
        terminal.answer("Password: ", f"{first}\n")
        terminal.answer("Password (again): ", f"{second}\n")
        terminal.answer(problem, "")
    terminal.answer("create user anyway? [y/N]", "n\n")
    terminal.answer("Password: ", f"{GOOD}\n")
    terminal.answer("Password (again): ", f"{GOOD}\n")
    assert terminal.end() == 0
    assert "Superuser created successfully." in terminal.seen
    assert GOOD not in terminal.seen
    user, right = look(url, "ann", GOOD)
    assert user is not None
    assert right
    assert (user.email, user.is_superuser, user.is_staff) == ("ann@example.com", True, True)


def test_A18_1_ctrl_c_cancels_with_exit_code_1(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    terminal = project.terminal("createsuperuser", "--username", "ann", "--email", "")
    terminal.answer("Password: ", "")
    assert terminal.end(by="\x03") == 1
    assert "Traceback" not in terminal.seen
    assert look(sqlite_url, "ann", "")[0] is None


def test_A18_1_without_a_terminal_nothing_is_asked(project: Project, sqlite_url: str) -> None:
    """Django says so and exits with 0; here it is 1, because there is no superuser now."""
    prepare(sqlite_url)
    project.use(sqlite_url)
    process, here = project.process("createsuperuser"), project.run("createsuperuser")
    assert (process.returncode, here.exit_code) == (1, 1)
    assert "skipped due to not running in a TTY" in process.stderr
    assert process.stderr == here.stderr


def test_A18_1_a_script_gives_it_all_in_the_environment(project: Project, url: str) -> None:
    prepare(url)
    project.use(url)
    result = project.process("createsuperuser", "--noinput", **SUPERUSER)
    assert (result.returncode, result.stdout) == (0, "Superuser created successfully.\n")
    assert look(url, "ann", GOOD)[1]
    again = project.process("createsuperuser", "--noinput", **SUPERUSER)
    assert (again.returncode, again.stderr) == (1, "Error: another user has this username\n")


@pytest.mark.parametrize("field", ["USERNAME", "EMAIL"])
def test_A18_1_a_script_that_gives_too_little_is_told_what(project: Project, sqlite_url: str, field: str) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    env = {name: value for name, value in SUPERUSER.items() if field not in name}
    result = project.run("createsuperuser", "--noinput", **env)
    assert result.exit_code == 2
    assert f"--noinput needs --{field.lower()} or ASGIAUTH_SUPERUSER_{field}" in result.stderr


@pytest.mark.parametrize(
    ("password", "said", "right"), [(None, "asgiauth changepassword ann", False), ("abc", "not a good password", True)]
)
def test_A18_1_a_script_runs_no_validators(
    project: Project, sqlite_url: str, password: str | None, said: str, right: bool
) -> None:
    """As in Django; a weak password is warned of, and none at all can never be the right one."""
    prepare(sqlite_url)
    project.use(sqlite_url)
    env = {} if password is None else {"ASGIAUTH_SUPERUSER_PASSWORD": password}
    result = project.run("createsuperuser", "--noinput", "--username", "ann", "--email", "", **env)
    assert result.exit_code == 0
    assert said in result.output
    assert look(sqlite_url, "ann", password or "")[1] is right


@pytest.mark.parametrize(("username", "said"), [("a b", "use up to 150"), ("bob", "another user has this username")])
def test_A18_1_a_given_name_that_is_wrong_ends_it(
    project: Project, sqlite_url: str, typed: None, username: str, said: str
) -> None:
    prepare(sqlite_url, "bob")
    project.use(sqlite_url)
    result = project.run("createsuperuser", "--username", username)
    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.parametrize(
    ("taken", "lines", "name", "password"),
    [
        ([], ["", "", "abc", "abc", "y"], "zoeann", "abc"),
        ([], ["bad name", "", "", "x" * 1025, "x" * 1025, GOOD, GOOD], "zoeann", GOOD),
        (
            ["zoeann"],
            ["ann@example.com", "", "a", "b", " ", " ", "abc", "abc", "n", GOOD, GOOD],
            "ann@example.com",
            GOOD,
        ),
    ],
)
def test_A18_1_the_default_name_is_the_one_of_the_system(
    project: Project, sqlite_url: str, typed: None, taken: list[str], lines: list[str], name: str, password: str
) -> None:
    """ASCII and lower case, and none where it is taken. A name with @ is the address, too; a password that cannot be
    stored cannot be forced either."""
    prepare(sqlite_url, *taken)
    project.use(sqlite_url)
    result = project.run("createsuperuser", typed="".join(f"{line}\n" for line in lines))
    assert (result.exit_code, password in result.output) == (0, False)
    assert look(sqlite_url, name, password)[1]


def test_A18_1_a_system_that_does_not_know_its_user_gives_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert accounts._os_user() == ""


def test_A18_2_a_password_is_changed_in_a_terminal(project: Project, url: str) -> None:
    prepare(url, "ann")
    project.use(url)
    terminal = project.terminal("changepassword", "ann@example.com")
    for line in ("short", "another horse entirely"):
        terminal.answer("Password: ", f"{line}\n")
        terminal.answer("Password (again): ", f"{line}\n")
    assert terminal.end() == 0
    assert "Password changed successfully for user 'ann'" in terminal.seen
    assert look(url, "ann", "another horse entirely")[1]


def test_A18_2_three_tries_and_no_more(project: Project, sqlite_url: str, typed: None) -> None:
    """The default is who is called as the system's user; a weak password cannot be forced."""
    prepare(sqlite_url, "zoeann")
    project.use(sqlite_url)
    result = project.run("changepassword", typed="a\nb\nabc\nabc\n\n\n")
    assert result.exit_code == 1
    assert "Aborting password change for user 'zoeann' after 3 attempts" in result.stderr
    assert look(sqlite_url, "zoeann", GOOD)[1]


def test_A18_2_an_unknown_user_is_refused(project: Project, sqlite_url: str, typed: None) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    unknown = project.run("changepassword", "no\x1bbody")
    assert (unknown.exit_code, "user 'no�body' does not exist" in unknown.stderr) == (1, True)


def test_A18_2_a_password_is_not_taken_from_a_pipe(project: Project, sqlite_url: str) -> None:
    project.use(sqlite_url)
    piped = project.run("changepassword", "ann", typed=f"{GOOD}\n{GOOD}\n")
    assert (piped.exit_code, "typed, not piped" in piped.stderr) == (1, True)


def test_A18_2_a_changed_password_ends_the_tries(project: Project, sqlite_url: str, typed: None) -> None:
    prepare(sqlite_url, "ann")
    project.use(sqlite_url)
    result = project.run("changepassword", "ann", typed="a\nb\nanother horse\nanother horse\n")
    assert result.exit_code == 0
    assert look(sqlite_url, "ann", "another horse")[1]


@pytest.mark.parametrize("expire", [True, False])
def test_B4_6_a_password_may_be_given_for_one_login(
    project: Project, sqlite_url: str, typed: None, expire: bool
) -> None:
    """With --expire its user chooses another one at the next login."""
    prepare(sqlite_url, "ann")
    project.use(sqlite_url)
    options = ["--expire"] if expire else []
    result = project.run("changepassword", "ann", *options, typed="another horse entirely\nanother horse entirely\n")
    assert result.exit_code == 0
    state = make_auth(sqlite_url).tables.user_state
    flagged = asyncio.run(run(sqlite_url, select(state.c.must_change_password)))
    assert [row["must_change_password"] for row in flagged] == ([True] if expire else [])


def test_a_password_problem_without_a_sentence_is_told_by_its_code(project: Project, sqlite_url: str) -> None:
    error = PasswordRejected([Reason("has_no_poetry"), Reason("password_too_short", {"min_length": 8})])
    assert told(error) == "password: Not accepted: has_no_poetry. Use at least 8 characters."


def test_users_are_listed_for_people_and_for_scripts(project: Project, url: str) -> None:
    """Searched, filtered, limited; as JSON the public fields and no hash."""
    prepare(url, "ann", "bob", "cyd")
    project.use(url)

    async def change() -> None:
        async with make_auth(url) as auth:
            ann, bob, cyd = (await auth.users.page()).items
            await auth.users.update(ann, is_staff=True, last_login=ann.date_joined)
            await auth.users.update(bob, is_active=False)
            await auth.users.update(cyd, is_staff=True, is_superuser=True)

    asyncio.run(change())
    listed = project.run("users").stdout.splitlines()
    assert [line.split()[1] for line in listed] == ["USER", "ann", "bob", "cyd"]
    assert [line.split()[-1] for line in listed[1:]] == ["staff", "inactive", "superuser"]
    for options, names in [
        (["--search", "ANN@"], ["ann"]),
        (["--inactive"], ["bob"]),
        (["--active", "--limit", "1"], ["ann"]),
    ]:
        result = project.run("users", "--json", *options)
        assert [user["username"] for user in json.loads(result.stdout)] == names
        assert "argon2" not in result.stdout


def test_users_are_read_page_by_page(project: Project, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "PAGE_LIMIT", 2)
    prepare(sqlite_url, "ann", "bob", "cyd", "dan", "eve")
    project.use(sqlite_url)
    for options, count in [([], 5), (["--limit", "4"], 4), (["--limit", "3"], 3)]:
        assert len(json.loads(project.run("users", "--json", *options).stdout)) == count


def test_revoke_logs_a_user_out_everywhere(project: Project, url: str) -> None:
    """By another process, at the next request."""
    prepare(url, "ann")
    project.use(url)

    async def use() -> tuple[Any, Any]:
        async with make_auth(url) as auth, client(site(auth)) as browser:
            ann = await auth.users.find("ann")
            assert ann is not None
            await force_login(browser, ann)
            before = (await browser.get("/who")).json()
            result = await asyncio.to_thread(project.process, "revoke", "ann")
            assert result.stdout == "Ended 1 session of 'ann'.\n"
            return before, (await browser.get("/who")).json()

    assert asyncio.run(use()) == ("ann", "")
    assert project.run("revoke", "ann").stdout == "Ended 0 sessions of 'ann'.\n"


@pytest.mark.parametrize("command", [["revoke", "ann"], ["clearsessions"]])
def test_sessions_in_the_memory_of_another_process_cannot_be_reached(project: Project, command: list[str]) -> None:
    project.write(
        "from asgiauth import SessionPolicy\nfrom asgiauth.sessions.memory import MemorySessionStore\n"
        "from tests.conftest import make_auth\n"
        "auth = make_auth('sqlite:///app.db', sessions=SessionPolicy(store=MemorySessionStore()))\n"
    )
    result = project.run("--app", "project_under_test:auth", *command)
    assert (result.exit_code, "restart it to end them" in result.stderr) == (1, True)


def test_A16_2_the_password_is_compared_with_the_names_of_the_new_superuser(
    project: Project, sqlite_url: str, typed: None
) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    project.write(
        "from dataclasses import replace\n"
        "from asgiauth.passwords import UserAttributeSimilarityValidator\n"
        "from tests.conftest import FAST, make_auth\n"
        "policy = replace(FAST, validators=[UserAttributeSimilarityValidator()])\n"
        f"auth = make_auth({sqlite_url!r}, passwords=policy)\n"
    )
    unattended = ("createsuperuser", "--noinput", "--username", "testclient", "--email", "")
    warned = project.run(*unattended, ASGIAUTH_SUPERUSER_PASSWORD="testclient1")
    assert "This is too much like your user name." in warned.stderr
    lines = ["longaddress", "longaddress", "n", GOOD, GOOD, ""]
    attended = ("createsuperuser", "--username", "ann", "--email", "longaddress@example.com")
    asked = project.run(*attended, typed="\n".join(lines))
    assert "This is too much like your e-mail address." in asked.stderr
    assert look(sqlite_url, "ann", GOOD)[1]
