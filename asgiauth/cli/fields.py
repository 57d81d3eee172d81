"""What `createsuperuser` must be told: a name, an address, and whatever the application's own user model cannot do
without (Django row A18.1: `REQUIRED_FIELDS`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Column, Enum, select

from ..auth import Auth
from ..exceptions import InvalidField, UserExists
from ..users import User
from ..users.fields import check_value
from ..users.identifiers import check_email, check_pair, check_username
from .site import Run

__all__ = ["AsksForFields", "Field", "fields_of", "judged"]


@dataclass(frozen=True)
class Field:
    """`check` makes the value of what was typed; it raises `InvalidField` or `UserExists`."""

    name: str
    label: str
    check: Callable[[Run, str], Any]


class AsksForFields(click.Command):
    """A command with an option for each field that only the application's users must have."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        try:
            needed = _needed(ctx.obj.auth())
        except click.ClickException:  # without an Auth help is help
            needed = []
        own = [click.Option([column.name, f"--{column.name}"], help="Is asked for otherwise.") for column in needed]
        return [*super().get_params(ctx), *own]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            ctx.obj.auth()  # that there is none is the reason
            raise


def fields_of(auth: Auth[Any]) -> list[Field]:
    """In the order in which they are asked for."""

    def free(field: str, check: Callable[[str], str]) -> Callable[[Run, str], str]:
        def checked(run: Run, text: str) -> str:
            value = check(text)
            if value and run(auth.users.find(value)) is not None:
                raise UserExists(field)
            return value

        return checked

    def own(column: Column[Any]) -> Callable[[Run, str], Any]:
        return lambda run, text: _own_value(run, auth, column, text)

    return [
        Field("username", "User name", free("username", check_username)),
        Field("email", "E-mail address", free("email", check_email)),
        *(Field(column.name, column.name.replace("_", " ").capitalize(), own(column)) for column in _needed(auth)),
    ]


def judged(run: Run, field: Field, text: str, others: Mapping[str, Any]) -> Any:
    """The value, if it is right, and right beside the others. Raises `InvalidField` and `UserExists`."""
    value = field.check(run, text)
    both = {**others, field.name: value}
    if "username" in both and "email" in both:
        check_pair(both["username"], both["email"])
    return value


def _needed(auth: Auth[Any]) -> list[Column[Any]]:
    """What `users.create()` takes no default for."""
    known = {field.name for field in fields(User)} | {"password"}
    return [
        column
        for column in auth.tables.user.c
        if column.name not in known and not column.nullable and column.default is None and column.server_default is None
    ]


def _own_value(run: Run, auth: Auth[Any], column: Column[Any], text: str) -> Any:
    if not text.strip():
        raise InvalidField(column.name, "required")
    value = _typed(column, text)
    check_value(column, value)
    if column.unique and run(auth.users.get_by(**{column.name: value})) is not None:
        raise UserExists(column.name)
    for key in column.foreign_keys:
        if run(auth._database.fetch_one(select(key.column).where(key.column == value))) is None:
            raise InvalidField(column.name, "no_such_row", {"table": key.column.table.name})
    return value


def _typed(column: Column[Any], text: str) -> Any:
    """The value that the text spells, of the column's own type."""
    type_ = column.type
    if isinstance(type_, Enum):
        if text not in type_.enums:
            raise InvalidField(column.name, "no_such_choice", {"choices": ", ".join(type_.enums)})
        return type_.enum_class[text] if type_.enum_class else text
    try:
        python_type = type_.python_type
        return _READERS[python_type](text) if python_type in _READERS else text
    except NotImplementedError:  # a type that does not say: the server will
        return text
    except (ValueError, ArithmeticError, click.BadParameter):
        raise InvalidField(column.name, "invalid_type", {"expected": python_type.__name__}) from None


_READERS: Mapping[type, Callable[[str], Any]] = {
    bool: lambda text: click.BOOL.convert(text, None, None),
    int: int,
    float: float,
    Decimal: Decimal,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    time: time.fromisoformat,
    UUID: UUID,
    dict: json.loads,
    list: json.loads,
}
