from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic

from sqlalchemy import Column, Integer, String, Uuid
from sqlalchemy.types import TypeEngine
from typing_extensions import TypeVar

from ..db.naming import MAX_LENGTHS
from ..db.types import DjangoInteger, DjangoUuid
from ..db.user_table import UserTable, django_columns
from ..exceptions import ConfigurationError
from .user import User

__all__ = ["UserModel", "UserT"]

UserT = TypeVar("UserT", bound=User, default=User)

_DJANGOS = tuple(column.name for column in django_columns())


class UserModel(Generic[UserT]):
    """The application's own user: its class, its table, its key, which columns it has (Django row A21).

    `UserModel(Member, columns=[Column("birthday", Date)])`. The columns are copied, so that one model may serve
    several `Auth`. `id_type` is an SQLAlchemy integer type, `Uuid()`, whose keys are generated here, or `String(n)`,
    whose keys `create(id=...)` gives. `without` names columns of Django's that the table does not have: the user's
    attribute then has the default of the class; one of `columns` may stand in its place.

    `username_field` and `email_field` are the columns that `user.username` and `user.email` come from; with
    `username_field="email"` there is no column `username`. `identifiers`: which of the two somebody may log in with,
    by default both. `required_fields` are what `createsuperuser` asks for beside the user name, by default the e-mail
    address. `groups_table`, `permissions_table` and `link_column` name the tables of links, as Django makes them from
    the name of a model: `shop_member_groups`, `shop_member_user_permissions`, `member_id`.

    Raises `ConfigurationError` for a class that is not declared like `User`, and for what could not work.
    """

    def __init__(
        self,
        cls: type[UserT] = User,  # type: ignore[assignment]  # the default of a type variable with a default
        *,
        table: str = "auth_user",
        id_type: TypeEngine[Any] | None = None,
        columns: Sequence[Column[Any]] = (),
        without: Sequence[str] = (),
        username_field: str = "username",
        email_field: str = "email",
        required_fields: Sequence[str] | None = None,
        identifiers: Sequence[str] | None = None,
        groups_table: str | None = None,
        permissions_table: str | None = None,
        link_column: str = "user_id",
    ) -> None:
        _check_class(cls)
        for name, value in {"without": without, "required_fields": required_fields, "identifiers": identifiers}.items():
            if isinstance(value, str):
                raise ConfigurationError(f"UserModel({name}={value!r}) is one string: give a list, [{value!r}]")
        absent = _absent(columns, without, username_field, email_field)
        present = [*(name for name in _DJANGOS if name not in absent), *(column.name for column in columns)]
        _check_filled(cls, present)
        _check_names(columns, username_field, email_field)
        if username_field not in present:
            raise ConfigurationError(
                f"UserModel(username_field={username_field!r}) is no column of the table: users need a name, so add it "
                "to columns=[...], or take it out of without=[...]"
            )
        if email_field != "email" and email_field not in present:
            raise ConfigurationError(
                f"UserModel(email_field={email_field!r}) is no column of the table: add it to columns=[...]"
            )
        self.cls: type[UserT] = cls
        self.username_field = username_field
        self.email_field: str | None = email_field if email_field in present else None
        """None where users have no e-mail address."""
        self.identifiers = self._identifiers(identifiers)
        """Attributes of a user, each with a column of its own."""
        self.required_fields = self._required_fields(required_fields, present)
        self.users = UserTable(
            name=table,
            id_type=_key_type(id_type),
            columns=tuple(columns),
            without=absent,
            username_field=username_field,
            groups_table=groups_table or f"{table}_groups",
            permissions_table=permissions_table or f"{table}_user_permissions",
            link_column=link_column,
        )
        _check_tables(self.users)
        sources = {field.name: field.name for field in fields(cls)}
        sources |= {"username": username_field, "email": email_field}
        found = {"id", *present}
        self._sources = {name: column for name, column in sources.items() if column in found}
        self._missing = {name: default for name, default in _MISSING.items() if name not in self._sources}
        if "password" not in found:
            self._missing["password"] = ""
        self._is_plain = absent == () and self.email_field == "email" and username_field == "username"

    def user(self, row: Mapping[str, Any]) -> UserT:
        """From a row that has every column of the table."""
        if self._is_plain:
            return self.cls.from_row(row)
        values = {**row, **self._missing, **{name: row[column] for name, column in self._sources.items()}}
        texts = {name: "" if values[name] is None else str(values[name]) for name in ("username", "email")}
        return self.cls.from_row({**values, **texts})

    def column_of(self, attribute: str) -> str:
        """The column that this attribute of a user, or this further column, is kept in; blank where there is none."""
        return self._sources.get(attribute, "" if attribute in _MISSING else attribute)

    def _identifiers(self, given: Sequence[str] | None) -> tuple[str, ...]:
        columns = {"username": self.username_field}
        if self.email_field not in (None, self.username_field):
            columns["email"] = str(self.email_field)
        wanted = columns if given is None else given
        found = tuple(name for name, column in columns.items() if name in wanted or column in wanted)
        unknown = [name for name in wanted if name not in {*columns, *columns.values(), self.email_field, "email"}]
        if unknown or not found or ("email" in wanted and self.email_field is None):
            raise ConfigurationError(
                f"UserModel(identifiers={list(wanted)!r}): people log in with {' or '.join(map(repr, columns))} here"
            )
        return found

    def _required_fields(self, given: Sequence[str] | None, present: Sequence[str]) -> tuple[str, ...]:
        """Columns, without that of the user name; `email` for the address, whatever its column is called."""
        if given is None:
            return () if self.email_field in (None, self.username_field) else ("email",)
        found = tuple("email" if name == self.email_field else name for name in given)
        for name in found:
            column = self.email_field if name == "email" else name
            if column == self.username_field or name == "username":
                raise ConfigurationError(
                    f"UserModel(required_fields=...) names {name!r}: the user name is asked for anyway, leave it out"
                )
            if name == "password" or column not in present:
                raise ConfigurationError(
                    f"UserModel(required_fields=...) names {name!r}: that is no column to ask for, leave it out"
                )
        return found


def _absent(
    columns: Sequence[Column[Any]], without: Sequence[str], username_field: str, email_field: str
) -> tuple[str, ...]:
    """Django's columns that the table does not have as Django declares them."""
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"UserModel(columns=...) names a column twice: {', '.join(twice)}")
    if unknown := sorted(set(without) - set(_DJANGOS)):
        raise ConfigurationError(
            f"UserModel(without=...) names {unknown[0]!r}, which Django's user does not have: use {', '.join(_DJANGOS)}"
        )
    absent = set(without)
    if username_field != "username":
        absent.add("username")
    if email_field != "email" and username_field != "email":
        absent.add("email")
    if taken := sorted(set(names) & ({*_DJANGOS, "id"} - absent)):
        raise ConfigurationError(
            f"UserModel(columns=...) repeats {taken[0]!r}, which User already has"
            + ("" if taken[0] == "id" else f": add without=[{taken[0]!r}] to put another one in its place")
        )
    return tuple(name for name in _DJANGOS if name in absent)


def _check_class(cls: type[User]) -> None:
    declaration = "@dataclass(frozen=True, kw_only=True, eq=False)"
    if not (isinstance(cls, type) and issubclass(cls, User)):
        raise ConfigurationError(f"UserModel takes a subclass of asgiauth.User, declared with {declaration}")
    own = cls.__dict__.get("__dataclass_fields__", {})
    as_asked = own and cls.__dict__["__dataclass_params__"].frozen and all(field.kw_only for field in own.values())
    if not as_asked or cls.__eq__ is not User.__eq__ or cls.__hash__ is not User.__hash__:
        raise ConfigurationError(f"{cls.__name__} must be declared with {declaration}: equality is by id")


def _check_filled(cls: type[User], present: Sequence[str]) -> None:
    known = {*present, *(field.name for field in fields(User))}
    for field in fields(cls):
        if field.name not in known:
            raise ConfigurationError(
                f"{cls.__name__}.{field.name} has no column: add Column({field.name!r}, ...) to UserModel(columns=...)"
            )


def _check_names(columns: Sequence[Column[Any]], username_field: str, email_field: str) -> None:
    for column in columns:
        if column.name == username_field and not isinstance(column.type, (String, Integer)):
            raise ConfigurationError(f"UserModel(username_field={username_field!r}) must be text or integers")
        if column.name == email_field and not isinstance(column.type, String):
            raise ConfigurationError(f"UserModel(email_field={email_field!r}) must be text, such as String(254)")


def _check_tables(users: UserTable) -> None:
    tables = (users.name, users.groups_table, users.permissions_table)
    limit = MAX_LENGTHS["postgresql"]
    for name in (*tables, users.link_column):
        if not 0 < len(name) <= limit:
            raise ConfigurationError(f"UserModel: no server has a name such as {name!r}: use 1 to {limit} characters")
    if len(set(tables)) != len(tables):
        raise ConfigurationError(f"UserModel: two tables cannot both be called so: {', '.join(tables)}")
    if users.link_column in ("id", "group_id", "permission_id"):
        raise ConfigurationError(f"UserModel(link_column={users.link_column!r}): another column is called so")


def _key_type(given: TypeEngine[Any] | None) -> TypeEngine[Any]:
    if given is None:
        return DjangoInteger()
    if isinstance(given, Uuid):
        return DjangoUuid()
    if isinstance(given, Integer) or (isinstance(given, String) and given.length):
        return given
    raise ConfigurationError(
        f"UserModel(id_type=...) must be an SQLAlchemy integer type, Uuid() or String(length), not {given!r}"
    )


_MISSING: Mapping[str, Any] = {
    "email": "",
    "first_name": "",
    "last_name": "",
    "is_active": True,
    "is_staff": False,
    "is_superuser": False,
    "last_login": None,
    "date_joined": None,
}
"""What an attribute of Django's is, where there is no column for it (row A21.6)."""
