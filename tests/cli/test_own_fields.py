"""`createsuperuser` of an application whose users have required columns of their own (A18.1)."""

from __future__ import annotations

import asyncio
import getpass
import re
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Numeric
from sqlalchemy.types import UserDefinedType

from asgiauth.cli import accounts
from asgiauth.cli.fields import _typed
from asgiauth.cli.site import load
from asgiauth.exceptions import InvalidField

from .conftest import GOOD, Project

SITE = """
import enum
from dataclasses import dataclass
from datetime import date
from sqlalchemy import Column, Date, Enum, ForeignKey, Integer, MetaData, String, Table
from asgiauth import User, UserModel
from tests.conftest import make_auth

class Rank(enum.Enum):
    LOW = 1
    HIGH = 2

@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    city: str
    badge: int
    born: date
    rank: Rank
    size: str
    team_id: int
    nick: str | None = None
    points: int = 0

metadata = MetaData()
team = Table("team", metadata, Column("id", Integer, primary_key=True))
columns = [
    Column("city", String(10), nullable=False),
    Column("badge", Integer, nullable=False, unique=True),
    Column("born", Date, nullable=False),
    Column("rank", Enum(Rank, native_enum=False), nullable=False),
    Column("size", Enum("s", "m", native_enum=False), nullable=False),
    Column("team_id", ForeignKey("team.id"), nullable=False),
    Column("nick", String(50)),
    Column("points", Integer, nullable=False, default=0),
]
auth = make_auth({url!r}, metadata=metadata, user_model=UserModel(Member, columns=columns))
"""
RIGHT = {"city": "Ulm", "badge": "7", "born": "2001-02-03", "rank": "HIGH", "size": "m", "team_id": "1"}
NAMED = {"username": "ann", "email": "ann@example.com"}


@pytest.fixture
def members(project: Project, url: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a team, and with bob, whose badge is 1. What click's runner puts in counts as typed."""
    monkeypatch.setattr(accounts, "is_terminal", lambda stream: True)
    monkeypatch.setattr(getpass, "getuser", lambda: "zoe")
    project.use(url)
    project.write(SITE.format(url=url))

    auth, team, rank = (load(f"project_under_test:{name}", "auth") for name in ("auth", "team", "Rank"))

    async def prepare() -> None:
        others: dict[str, Any] = {"city": "Rom", "born": date(2000, 1, 1), "size": "s", "team_id": 1}
        async with auth:
            async with auth._database.unit() as unit:
                await unit.text("CREATE TABLE team (id INTEGER PRIMARY KEY)")
                await unit.insert(team, {"id": 1})
            await auth.create_tables()
            await auth.users.create("bob", password=None, badge=1, rank=rank.LOW, **others)

    asyncio.run(prepare())
    return project


def made() -> Any:
    auth = load("project_under_test:auth", "auth")

    async def find() -> Any:
        async with auth:
            user = await auth.users.find("ann")
            return user, user is not None and await auth.users.check_password(user, GOOD)

    return asyncio.run(find())


def options(values: dict[str, str]) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def is_right(user: Any) -> bool:
    own = (user.city, user.badge, user.born, user.rank.name, user.size, user.team_id, user.points)
    return user.is_superuser and own == ("Ulm", 7, date(2001, 2, 3), "HIGH", "m", 1, 0)


def test_A18_1_what_the_model_requires_is_asked_for_and_judged_at_once(members: Project) -> None:
    """In the order of its columns: too long, not of the type, taken, not among the choices, not there."""
    typed = ["ann", "", "", "Wolfenbüttel", " ", "Ulm", "x", "99999999999", "1", "7", "3.2.2001", "2001-02-03"]
    typed += ["MIDDLE", "HIGH", "xl", "m", "2", "1", GOOD, GOOD]
    result = members.run("createsuperuser", typed="".join(f"{line}\n" for line in typed))
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert told == [
        "Error: city: This is too long.",
        "Error: city: Fill this in.",
        "Error: badge: give a value of type int",
        "Error: badge: This is not valid.",
        "Error: another user has this badge",
        "Error: born: give a value of type date",
        "Error: rank: give one of LOW, HIGH",
        "Error: size: give one of s, m",
        "Error: team_id: team has no such row",
    ]
    user, right = made()
    assert (is_right(user), right) == (True, True)


@pytest.mark.parametrize("how", ["options", "environment"])
def test_A18_1_a_script_gives_what_the_model_requires(members: Project, how: str) -> None:
    values = {**NAMED, **RIGHT}
    env = {f"ASGIAUTH_SUPERUSER_{name.upper()}": value for name, value in values.items()}
    secret = {"ASGIAUTH_SUPERUSER_PASSWORD": GOOD}
    if how == "options":
        result = members.process("createsuperuser", "--noinput", *options(values), **secret)
    else:
        result = members.process("createsuperuser", "--noinput", **env, **secret)
    assert (result.returncode, result.stdout) == (0, "Superuser created successfully.\n"), result.stderr
    user, right = made()
    assert (is_right(user), right) == (True, True)


def test_A18_1_a_script_that_leaves_one_out_is_told_which(members: Project) -> None:
    given = {name: value for name, value in {**NAMED, **RIGHT}.items() if name != "born"}
    result = members.run("createsuperuser", "--noinput", *options(given))
    assert (result.exit_code, "--born or ASGIAUTH_SUPERUSER_BORN" in result.stderr) == (2, True)


@pytest.mark.parametrize("unattended", [["--noinput"], []])
def test_A18_1_a_given_value_that_is_wrong_ends_it_before_anything_is_asked(
    members: Project, unattended: list[str]
) -> None:
    given = {**NAMED, **RIGHT, "badge": "1"}
    result = members.run("createsuperuser", *unattended, *options(given))
    assert (result.exit_code, result.stderr, result.stdout) == (1, "Error: another user has this badge\n", "")
    assert made()[0] is None


@pytest.mark.parametrize("given", ["username", "email"])
def test_A18_1_a_name_that_is_another_address_is_refused_before_a_password_is_asked_for(
    members: Project, given: str
) -> None:
    """Whichever of the two comes second is asked for again."""
    wrong = {"username": "ann@example.com", "email": "cyd@example.com"}
    right = {"username": "ann", "email": "ann@example.com"}
    other = "email" if given == "username" else "username"
    typed = [{"email": "cyd@example.com", "username": "bob@example.com"}[other], right[other], GOOD, GOOD]
    first = wrong[given] if given == "username" else right[given]
    result = members.run(
        "createsuperuser", f"--{given}", first, *options(RIGHT), typed="".join(f"{line}\n" for line in typed)
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == "Error: username: one with @ must be the user's own e-mail address"
    assert result.stderr.count("Error") == 1


def test_A18_1_a_type_that_does_not_say_what_it_is_gets_what_was_typed(project: Project) -> None:
    point: Any = type("Point", (UserDefinedType,), {"python_type": property(_not_told)})
    assert _typed(Column("x", point()), "1,2") == "1,2"
    assert _typed(Column("x", Boolean()), "yes") is True
    with pytest.raises(InvalidField, match="invalid_type"):
        _typed(Column("x", Boolean()), "perhaps")
    with pytest.raises(InvalidField, match="invalid_type"):
        _typed(Column("x", Numeric()), "much")


def _not_told(type_: object) -> type:
    raise NotImplementedError


def test_help_and_a_missing_auth_are_told_as_they_are(project: Project) -> None:
    project.write(SITE.format(url="sqlite:///app.db"))
    shown = project.run("--app", "project_under_test:auth", "createsuperuser", "--help")
    assert all(f"--{name} " in shown.output for name in RIGHT)
    assert "--nick" not in shown.output
    unknown = project.run("--app", "project_under_test:auth", "createsuperuser", "--nick", "x")
    assert (unknown.exit_code, re.search("No such option.*--nick", unknown.stderr) is not None) == (2, True)
    plain = project.run("createsuperuser", "--help")
    assert (plain.exit_code, "--username" in plain.output, "--city" in plain.output) == (0, True, False)
    nowhere = project.run("--app", "nowhere:auth", "createsuperuser", "--city", "Ulm")
    assert (nowhere.exit_code, "No module named 'nowhere'" in nowhere.stderr) == (2, True)
