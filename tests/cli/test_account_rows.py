"""A18.1, A18.2: what Django's own tests of `createsuperuser` and `changepassword` show beyond those of test_accounts.py."""

from __future__ import annotations

import asyncio
import getpass
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from ..conftest import make_auth
from ..sites import run
from .conftest import GOOD, Project
from .test_accounts import SUPERUSER, look, prepare, typed
from .test_own_fields import NAMED, RIGHT, made, members, options

__all__ = ["members", "typed"]


def test_A18_1_options_come_before_the_environment(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    given = ("createsuperuser", "--noinput", "--username", "bob", "--email", "bob@example.com")
    assert project.run(*given, **SUPERUSER).exit_code == 0
    user, right = look(sqlite_url, "bob", GOOD)
    assert user is not None
    assert (user.email, right) == ("bob@example.com", True)
    assert look(sqlite_url, "ann", GOOD)[0] is None


def test_A18_1_at_a_terminal_the_environment_is_not_read(project: Project, sqlite_url: str, typed: None) -> None:
    prepare(sqlite_url)
    project.use(sqlite_url)
    lines = "bob\nbob@example.com\nanother horse\nanother horse\n"
    result = project.run("createsuperuser", typed=lines, **SUPERUSER)
    assert result.exit_code == 0, result.output
    assert look(sqlite_url, "bob", "another horse")[1]
    assert look(sqlite_url, "ann", GOOD)[0] is None


@pytest.mark.parametrize("unattended", [["--noinput"], []])
def test_A18_1_a_blank_name_is_refused(project: Project, sqlite_url: str, typed: None, unattended: list[str]) -> None:
    """Given as an option, asked or unasked; nothing else is asked for then."""
    prepare(sqlite_url)
    project.use(sqlite_url)
    result = project.run("createsuperuser", *unattended, "--username", "", "--email", "")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "username" in result.stderr


def test_A18_1_a_blank_address_is_one_that_is_given(project: Project, sqlite_url: str) -> None:
    """In the environment as in an option."""
    prepare(sqlite_url)
    project.use(sqlite_url)
    assert project.run("createsuperuser", "--noinput", **{**SUPERUSER, "ASGIAUTH_SUPERUSER_EMAIL": ""}).exit_code == 0
    user, _ = look(sqlite_url, "ann", GOOD)
    assert user is not None
    assert user.email == ""


def test_A18_1_a_name_with_an_at_sign_is_the_own_address(project: Project, sqlite_url: str) -> None:
    """Django takes `joe+admin@somewhere.org` beside another address; here that could be somebody else's login."""
    prepare(sqlite_url)
    project.use(sqlite_url)
    given = ("createsuperuser", "--noinput", "--username", "joe+admin@example.com", "--email")
    refused = project.run(*given, "joe@example.com")
    assert (refused.exit_code, "must be the user's own e-mail address" in refused.stderr) == (1, True)
    assert project.run(*given, "joe+admin@example.com").exit_code == 0
    assert look(sqlite_url, "joe+admin@example.com", "")[0] is not None


@pytest.mark.parametrize("way", ["option", "environment", "terminal"])
def test_A18_1_a_key_that_is_in_no_row_is_refused(members: Project, way: str) -> None:
    """Before a password is asked for, whatever gives it."""
    given = {**NAMED, **RIGHT, "team_id": "99"}
    if way == "environment":
        env = {f"ASGIAUTH_SUPERUSER_{name.upper()}": value for name, value in given.items()}
        result = members.run("createsuperuser", "--noinput", **env)
    else:
        unattended = ["--noinput"] if way == "option" else []
        result = members.run("createsuperuser", *unattended, *options(given))
    assert (result.exit_code, result.stderr, result.stdout) == (1, "Error: team_id: team has no such row\n", "")
    assert made()[0] is None


def test_A18_2_the_name_may_be_one_that_only_django_allows(project: Project, sqlite_url: str, typed: None) -> None:
    """And is told as it is."""
    prepare(sqlite_url, "zoe")
    project.use(sqlite_url)
    auth = make_auth(sqlite_url)
    values = {"username": "J\xfalia", "password": "!", "email": "", "first_name": "", "last_name": ""}
    flags = {
        "is_active": True,
        "is_staff": False,
        "is_superuser": False,
        "date_joined": datetime(2026, 1, 2, tzinfo=UTC),
    }
    asyncio.run(run(sqlite_url, insert(auth.tables.user).values(**values, **flags)))
    result = project.run("changepassword", "J\xfalia", typed=f"{GOOD}\n{GOOD}\n")
    assert result.exit_code == 0, result.output
    assert "Password changed successfully for user 'J\xfalia'" in result.output
    assert look(sqlite_url, "J\xfalia", GOOD)[1]


def test_A18_2_the_user_is_by_default_the_one_of_the_system(
    project: Project, sqlite_url: str, typed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(sqlite_url, "joe")
    project.use(sqlite_url)
    monkeypatch.setattr(getpass, "getuser", lambda: "joe")
    assert project.run("changepassword", typed="another horse\nanother horse\n").exit_code == 0
    assert look(sqlite_url, "joe", "another horse")[1]
