"""`createsuperuser` and its kin where users are called otherwise than Django's (A18.1, A21)."""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import pytest

from asgiauth.cli import accounts
from asgiauth.cli.site import load

from .conftest import GOOD, Project

SITE = """
from sqlalchemy import Column, Integer, String, Uuid
from asgiauth import UserModel
from tests.conftest import make_auth

LITTLE = ["first_name", "last_name", "is_staff", "last_login", "date_joined"]
MODELS = {{
    "address": UserModel(id_type=Uuid(), username_field="email", without=LITTLE),
    "nameless": UserModel(without=[*LITTLE, "email", "password", "is_superuser", "is_active"]),
    "number": UserModel(
        without=["username"],
        columns=[Column("username", Integer, nullable=False), Column("nick", String(9))],
        required_fields=["nick"],
    ),
    "handle": UserModel(
        username_field="handle",
        columns=[Column("handle", String(50), nullable=False, unique=True), Column("mail_to", String(254))],
        email_field="mail_to",
        id_type=String(20),
    ),
}}
auth = make_auth({url!r}, user_model=MODELS[{kind!r}])
"""


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What click's runner puts in counts as typed."""
    monkeypatch.setattr(accounts, "is_terminal", lambda stream: True)
    monkeypatch.setattr(getpass, "getuser", lambda: "zoe")


@pytest.fixture(params=["sqlite"])
def site(request: pytest.FixtureRequest, project: Project, sqlite_url: str) -> Any:
    def make(kind: str) -> Project:
        project.use(sqlite_url)
        project.write(SITE.format(url=sqlite_url, kind=kind))
        assert project.run("db", "upgrade").exit_code == 0
        return project

    return make


def found(identifier: str) -> Any:
    auth = load("project_under_test:auth", "auth")

    async def find() -> Any:
        async with auth:
            return await auth.users.find(identifier)

    return asyncio.run(find())


def lines(*typed: str) -> str:
    return "".join(f"{line}\n" for line in typed)


def errors(result: Any) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("Error")]


def test_A18_1_who_is_called_by_the_address_is_asked_for_it_alone(site: Any) -> None:
    """`--email`, as Django calls the option by the field; the name of whoever types is none."""
    project = site("address")
    result = project.run("createsuperuser", typed=lines("zoe", "", "ann@example.com", GOOD, GOOD))
    assert result.exit_code == 0, result.output
    assert "User name" not in result.output
    assert errors(result) == ["Error: email: This is no e-mail address.", "Error: email: Fill this in."] or errors(
        result
    )
    ann = found("ANN@example.com")
    assert (ann.username, ann.is_superuser) == ("ann@example.com", True)
    result = project.run("createsuperuser", "--noinput", "--email", "Ann@example.com")
    assert (result.exit_code, "another user has this email" in result.stderr) == (1, True)
    result = project.run("createsuperuser", "--noinput", ASGIAUTH_SUPERUSER_EMAIL="bob@example.com")
    assert (result.exit_code, "changepassword bob@example.com" in result.stdout) == (0, True)
    assert "--username" not in project.run("createsuperuser", "--help").output
    listed = project.run("users").stdout
    assert (str(ann.id) in listed, "ann@example.com" in listed) == (True, True)
    assert project.run("revoke", "bob@example.com").exit_code == 0


def test_A18_1_users_without_a_password_are_not_asked_for_one(site: Any) -> None:
    project = site("nameless")
    result = project.run("createsuperuser", typed=lines("ann"), ASGIAUTH_SUPERUSER_PASSWORD=GOOD)
    assert (result.exit_code, "assword" in result.output) == (0, False)
    result = project.run("createsuperuser", "--noinput", "--username", "bob", ASGIAUTH_SUPERUSER_PASSWORD=GOOD)
    assert (result.exit_code, "assword" in result.output) == (0, False)
    result = project.run("changepassword", "ann")
    assert (result.exit_code, "have no password" in result.stderr) == (1, True)
    assert found("ann").password == found("bob").password == ""


def test_A18_1_names_that_are_numbers_and_a_field_that_is_required_here_alone(site: Any) -> None:
    """`required_fields` asks for a column that may be NULL, and not for the address."""
    project = site("number")
    result = project.run("createsuperuser", typed=lines("zoe", "7", "", "seven", GOOD, GOOD))
    assert result.exit_code == 0, result.output
    assert errors(result) == ["Error: username: give a value of type int"]
    assert (found("7").username, found("7").email) == ("7", "")
    result = project.run("createsuperuser", "--noinput", "--username", "8")
    assert (result.exit_code, "--nick or ASGIAUTH_SUPERUSER_NICK" in result.stderr) == (2, True)


def test_A18_1_options_are_called_by_their_columns(site: Any) -> None:
    """And a key of text must be told."""
    project = site("handle")
    given = ["--handle", "ann", "--mail_to", "ann@example.com", "--id", "k/1"]
    result = project.run("createsuperuser", "--noinput", *given)
    assert result.exit_code == 0, result.output
    ann = found("ann@example.com")
    assert (ann.id, ann.username, ann.email) == ("k/1", "ann", "ann@example.com")
    result = project.run("createsuperuser", "--noinput", *given[:2], "--mail_to", "", "--id", "k/2")
    assert (result.exit_code, "another user has this" in result.stderr) == (1, True)
    result = project.run("createsuperuser", "--noinput", "--handle", "bob", "--mail_to", "", "--id", "k/1")
    assert (result.exit_code, "another user has this id" in result.stderr) == (1, True)
