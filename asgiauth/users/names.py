"""What a user is called and written to, in the columns where the application's model keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, String, Table, cast

from ..exceptions import InvalidField
from .fields import check_value
from .identifiers import (
    EMAIL_MAX,
    USERNAME_MAX,
    canonical,
    check_email,
    check_pair,
    check_username,
    is_pair,
    name_of,
    normalize_username,
)
from .model import UserModel

__all__ = ["Names", "as_text"]

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_OTHERS = ("first_name", "last_name")


class Names:
    """`username` and `email` are attributes of a user; the columns may be called otherwise, be one, or be missing. A
    user name may be a number: it is text here all the same."""

    def __init__(self, model: UserModel[Any], table: Table) -> None:
        self.username: Column[Any] = table.c[model.username_field]
        self.email: Column[Any] | None = None if model.email_field is None else table.c[model.email_field]
        self.identifiers = model.identifiers
        """Attributes that somebody may log in with, each with a column of its own."""
        self.is_address = model.email_field == model.username_field
        """The user name is the e-mail address: both are one column."""
        self._columns = {"username": self.username} | ({} if self.email is None else {"email": self.email})
        self._is_number = isinstance(self.username.type, Integer)
        self._has_pair = len(model.identifiers) == 2
        self._others = [table.c[name] for name in _OTHERS if name in table.c]

    def of(self, row: Mapping[str, Any]) -> dict[str, str]:
        """What a row may be found by: the text in each column of an identifier."""
        return {name: _text(row[self._columns[name].name]) for name in self.identifiers}

    def claims(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Canonical form -> the field that it comes from: where both are the same, the user name."""
        texts = self.of(row)
        forms = {name: canonical(texts[name]) for name in reversed(self.identifiers)}
        return {form: name for name, form in forms.items() if form is not None}

    @property
    def address(self) -> Column[Any] | None:
        """The column of an address to log in with."""
        return self.email if self.is_address or "email" in self.identifiers else None

    def columns(self) -> list[Column[Any]]:
        """Those of `of`."""
        return [self._columns[name] for name in self.identifiers]

    def searched(self) -> list[ColumnElement[str]]:
        """Columns of text to search in."""
        columns = dict.fromkeys([*self._columns.values(), *self._others])
        return [as_text(column) for column in columns]

    def exact(self, identifier: str) -> Any:
        """The value to ask for in the column of the user name, as Django does; None where nobody can have it."""
        if "username" not in self.identifiers:
            return None
        if self._is_number:
            return self._number(identifier)
        text, longest = normalize_username(identifier), getattr(self.username.type, "length", None) or USERNAME_MAX
        return text if text and len(identifier) <= min(longest, EMAIL_MAX) else None

    def sought(self, column: Column[Any], value: Any) -> Any:
        """The value to ask for in this column: a user name that is a number is text elsewhere."""
        if column is not self.username or not self._is_number or not isinstance(value, str):
            return value
        number = self._number(value)
        return number if str(number) == value else value

    def checked(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Those of `username` and `email` that are given, as they are stored. Raises `InvalidField`."""
        names = {name: given[name] for name in ("username", "email") if name in given}
        if self.is_address and names:
            one, *other = names.values()
            if other and other[0] != one:
                raise InvalidField("username", "must_equal_email")
            names = dict.fromkeys(("username", "email"), _required("email", self._email(one)))
        else:
            checks = {"username": self._username, "email": self._email}
            names = {name: checks[name](value) for name, value in names.items()}
        for name, text in names.items():
            self._check_fits(name, text)
        return names

    def new(self, username: Any, email: Any) -> dict[str, str]:
        """Both, for a new user: without user name the address is one, where it can be. Raises `InvalidField`."""
        if self.is_address:
            address = username if email is None else email
            return self.checked({"email": "" if address is None else address, **_given(username=username)})
        names = self.checked({"email": "" if email is None else email, **_given(username=username)})
        if "username" not in names:
            if self._is_number:
                raise InvalidField("username", "required")
            names |= self.checked({"username": name_of(names["email"])})
        self.check_pair(names["username"], names["email"])
        return names

    def check_pair(self, username: str, email: str) -> None:
        """Raises `InvalidField` for a user name that looks like somebody else's address."""
        if self._has_pair:
            check_pair(username, email)

    def is_pair(self, username: str, email: str) -> bool:
        return not self._has_pair or is_pair(username, email)

    def stored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same by column: `username` and `email` are texts that were `checked`. Raises `InvalidField` for what is
        called otherwise."""
        found = {name: value for name, value in values.items() if name not in ("username", "email")}
        for name in found:
            if self.attribute(name) != name:
                raise InvalidField(name, "unknown_field")
        for name, column in self._columns.items():
            if name in values:
                found[column.name] = self._value(column, values[name])
        return found

    def attribute(self, column: str) -> str:
        """What the user calls a column of the table."""
        called = {one.name: name for name, one in self._columns.items()}
        return called.get(column, column)

    def called(self, field: str) -> str:
        """What a person would call `username`."""
        return "email" if self.is_address else field

    def _value(self, column: Column[Any], text: str) -> Any:
        if column is self.username and self._is_number:
            return int(text)
        return text or (None if column.nullable else "")  # two users without an address may have no blank in common

    def _username(self, value: Any) -> str:
        if self._is_number:
            number = self._number(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
            if number is None:
                raise InvalidField("username", "invalid_type", {"expected": "int"})
            return str(number)
        return check_username(_string("username", value))

    def _email(self, value: Any) -> str:
        return check_email(_string("email", value))

    def _check_fits(self, name: str, text: str) -> None:
        column = self._columns.get(name)
        if column is None:
            if text:
                raise InvalidField(name, "unknown_field")
            return
        try:
            check_value(column, self._value(column, text))
        except InvalidField as error:
            raise InvalidField(name, error.code, error.params) from None

    def _number(self, text: str) -> int | None:
        number = int(text) if _NUMBER.fullmatch(text) else None
        try:
            check_value(self.username, number)
        except InvalidField:
            return None
        return number


def as_text(column: Column[Any]) -> ColumnElement[str]:
    """A number as text."""
    return column if isinstance(column.type, String) else cast(column, String(20))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _string(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidField(field, "invalid_type", {"expected": "str"})
    return value


def _required(field: str, text: str) -> str:
    if not text:
        raise InvalidField(field, "required")
    return text
