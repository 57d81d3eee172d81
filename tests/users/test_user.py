"""Users as plain values."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import pickle
import uuid
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder
from starlette.authentication import BaseUser

from asgiauth import AnonymousUser, User

HASH = "pbkdf2_sha256$1$canary$c2VjcmV0"
JOINED = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ROW = {
    "id": 7, "username": "ann", "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee", "is_active": True,
    "is_staff": False, "is_superuser": False, "last_login": None, "date_joined": JOINED, "password": HASH,
}  # fmt: skip


class Role(enum.Enum):
    EDITOR = "editor"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Member(User):
    born: date | None = None
    balance: Decimal | None = None
    token: uuid.UUID | None = None
    role: Role | None = None
    level: Level | None = None
    wakes: time | None = None
    tags: Any = None


def ann(**changes: Any) -> User:
    return User.from_row(ROW | changes)


def test_a_row_becomes_a_user_with_its_hash_beside_the_fields() -> None:
    user = ann()
    assert {field.name for field in dataclasses.fields(user)} == ROW.keys() - {"password"}
    assert (user.password, user.id, user.date_joined) == (HASH, 7, JOINED)
    assert isinstance(user, BaseUser)


SHOWN: dict[str, Callable[[User], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda user: f"{user} {user!r} {user!s}",
    "vars": vars,
    "asdict": dataclasses.asdict,
    "astuple": dataclasses.astuple,
    "as_dict": lambda user: user.as_dict(),
    "replace": lambda user: vars(replace(user, first_name="B")),
    "copy": lambda user: copy.copy(user).password,
    "deepcopy": lambda user: copy.deepcopy(user).password,
    "pickle": pickle.dumps,
    "unpickled": lambda user: pickle.loads(pickle.dumps(user)).password,
    "getstate": lambda user: user.__getstate__(),
    "FastAPI": jsonable_encoder,
    "in a list": lambda user: repr([user, {"user": user}]),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("cls", [User, Member])
def test_nothing_that_shows_a_user_shows_the_hash(cls: type[User], show: Callable[[User], object]) -> None:
    """T21."""
    user = cls.from_row(ROW | dict.fromkeys(["born", "balance", "token", "role", "level", "wakes", "tags"]))
    assert "canary" not in repr(show(user))
    assert user.password == HASH


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda user: pickle.loads(pickle.dumps(user)), replace]
)
def test_a_copy_is_the_same_user_without_the_hash(duplicate: Callable[[User], User]) -> None:
    user = ann()
    twin = duplicate(user)
    assert (twin, twin.as_dict(), twin.password) == (user, user.as_dict(), "")


def test_with_changes_keeps_the_hash() -> None:
    changed = ann().with_changes(first_name="Bea")
    assert (changed.first_name, changed.password, ann().first_name) == ("Bea", HASH, "Ann")


def test_users_are_equal_by_class_and_id() -> None:
    user = ann()
    member = Member(id=7, username="ann", date_joined=JOINED)
    assert user == ann(username="renamed", is_active=False)
    assert hash(user) == hash(ann(username="renamed"))
    assert len({user, ann(email=""), ann(id=8)}) == 2
    assert [user == other for other in (ann(id=8), member, AnonymousUser(), 7, "ann", None)] == [False] * 6
    assert user != ann(id="7")


@pytest.mark.parametrize(
    "field", ["id", "username", "is_superuser", "password", "_password", "is_authenticated", "new"]
)
def test_a_user_is_frozen(field: str) -> None:
    user = ann()
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(user, field, True)
    assert (user.as_dict(), user.password) == (ann().as_dict(), HASH)


@pytest.mark.parametrize(
    ("first", "last", "full", "short", "display"),
    [
        ("Ann", "Lee", "Ann Lee", "Ann", "Ann Lee"),
        ("", "Lee", "Lee", "", "Lee"),
        ("Ann", "", "Ann", "Ann", "Ann"),
        ("", "", "", "", "ann"),
    ],
)
def test_names(first: str, last: str, full: str, short: str, display: str) -> None:
    """A2.8."""
    user = ann(first_name=first, last_name=last)
    assert (user.get_full_name(), user.get_short_name(), user.display_name) == (full, short, display)
    assert (str(user), user.identity, user.is_authenticated, user.is_anonymous) == ("ann", "7", True, False)


def test_as_dict_is_what_json_can_hold() -> None:
    token = uuid.uuid4()
    member = Member(
        id=7, username="ann", date_joined=JOINED, born=date(2000, 2, 29), balance=Decimal("1.50"), token=token,
        role=Role.EDITOR, level=Level.HIGH, wakes=time(6, 30), tags=["a", {"b": None}],
    )  # fmt: skip
    shown = member.as_dict()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["date_joined"] == "2026-01-02T03:04:05.000006+00:00"
    wanted = {"born": "2000-02-29", "balance": "1.50", "token": str(token), "role": "editor", "level": 3}
    assert {name: shown[name] for name in wanted} == wanted
    assert (shown["wakes"], shown["tags"], shown["last_login"]) == ("06:30:00", ["a", {"b": None}], None)


@pytest.mark.parametrize(
    "value", [[uuid.UUID(int=1)], {"on": date(2026, 1, 1)}, (1, 2), {3}, b"\xff", float("nan")], ids=repr
)
def test_as_dict_is_json_whatever_a_column_holds(value: object) -> None:
    """A PostgreSQL array of UUIDs, say; and strict JSON knows no NaN."""
    shown = Member(id=7, username="ann", date_joined=JOINED, tags=value).as_dict()
    assert json.loads(json.dumps(shown, allow_nan=False))["id"] == 7


def test_anonymous_has_no_attribute_of_a_user_by_accident() -> None:
    """A3.1: the same names, every one of them empty or False."""
    nobody = AnonymousUser()
    assert {field.name: getattr(nobody, field.name) for field in dataclasses.fields(User)} == {
        "id": None, "username": "", "email": "", "first_name": "", "last_name": "", "is_active": False,
        "is_staff": False, "is_superuser": False, "last_login": None, "date_joined": None,
    }  # fmt: skip
    assert (nobody.is_authenticated, nobody.is_anonymous) == (False, True)
    assert [nobody.display_name, nobody.identity, nobody.get_full_name(), nobody.get_short_name()] == [""] * 4
    assert isinstance(nobody, BaseUser)


def test_anonymous_is_nobody_in_particular() -> None:
    """A3.2: equal to every other, hash 1, no number."""
    nobody = AnonymousUser()
    assert nobody == AnonymousUser()
    assert nobody != ann()
    assert (hash(nobody), str(nobody), repr(nobody)) == (1, "AnonymousUser", "AnonymousUser()")
    with pytest.raises(TypeError, match="is_authenticated"):
        int(nobody)


@pytest.mark.parametrize("field", ["is_authenticated", "is_superuser", "is_active", "id"])
def test_anonymous_is_frozen_as_a_user_is(field: str) -> None:
    """Nobody is promoted by an assignment, for the rest of a request or for longer."""
    nobody = AnonymousUser()
    with pytest.raises(AttributeError):
        setattr(nobody, field, True)
    assert not getattr(nobody, field)


def test_anonymous_has_every_public_name_of_a_user() -> None:
    """A3.1: a template that shows `request.user` needs no question first."""
    public = {name for name in dir(User) if not name.startswith("_")} - {"from_row", "with_changes", "password"}
    assert public - set(dir(AnonymousUser)) == set()


def test_anonymous_as_a_dictionary_has_the_public_fields_of_a_user() -> None:
    ann = User(id=1, username="ann", date_joined=datetime(2026, 1, 1, tzinfo=UTC))
    assert AnonymousUser().as_dict().keys() == ann.as_dict().keys()
    assert AnonymousUser().as_dict()["id"] is None
