"""What `createsuperuser` must be told: a name, an address, and whatever the application's own user model cannot do
without (Django row A18.1: `REQUIRED_FIELDS`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Column, Enum, select

from ..auth import Auth
from ..exceptions import InvalidField, UserExists
from ..users.columns import needed
from ..users.fields import check_value
from .site import Run

__all__ = ["AsksForFields", "Field", "fields_of", "judged"]


@dataclass(frozen=True)
class Field:
    """`name` is what `users.create()` calls it, `option` what Django's command does: by its column. `check` makes the
    value of what was typed; it raises `InvalidField` or `UserExists`."""

    name: str
    option: str
    label: str
    check: Callable[[Run, str], Any]


class AsksForFields(click.Command):
    """A command with an option for each field that the application's users must have."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        try:
            names = {field.name: field.option for field in fields_of(ctx.obj.auth())}
        except click.ClickException:  # without an Auth help is help
            names = {"username": "username", "email": "email"}
        own = [click.Option([name, f"--{option}"], help="Is asked for otherwise.") for name, option in names.items()]
        return [*own, *super().get_params(ctx)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            ctx.obj.auth()  # that there is none is the reason
            raise


def fields_of(auth: Auth[Any]) -> list[Field]:
    """In the order in which they are asked for: the user name, what the model requires, and what its columns do."""
    model, names = auth.users._model, auth.users._names

    def free(field: str) -> Callable[[Run, str], str]:
        def checked(run: Run, text: str) -> str:
            value = names.checked({field: text})[field]
            if value and field in names.identifiers and run(auth.users.find(value)) is not None:
                raise UserExists(names.called(field))
            return value

        return checked

    def named(field: str) -> Field:
        column = str(model.column_of(field))
        return Field(field, column, _LABELS.get(column) or _label(column), free(field))

    def own(column: Column[Any]) -> Field:
        return Field(
            column.name, column.name, _label(column.name), lambda run, text: _own_value(run, auth, column, text)
        )

    asked = {names.username.name: named("username")}
    for name in model.required_fields:
        asked[model.column_of(name)] = named(name) if name == "email" else own(auth.tables.user.c[name])
    for column in needed(auth.tables.user):
        if column.name not in asked and column is not names.email:
            asked[column.name] = own(column)
    return list(asked.values())


_LABELS = {"username": "User name", "email": "E-mail address"}


def _label(column: str) -> str:
    return column.replace("_", " ").capitalize()


def judged(run: Run, auth: Auth[Any], field: Field, text: str, others: Mapping[str, Any]) -> Any:
    """The value, if it is right, and right beside the others. Raises `InvalidField` and `UserExists`."""
    value = field.check(run, text)
    both = {**others, field.name: value}
    if "username" in both and "email" in both:
        auth.users._names.check_pair(both["username"], both["email"])
    return value


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
