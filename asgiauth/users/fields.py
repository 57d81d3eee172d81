"""Does a value fit its column? Asked before the database is, so that the answer is the same on every server."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Enum, Float, Integer, Numeric, SmallInteger, String, Uuid
from sqlalchemy.types import TypeEngine

from ..exceptions import InvalidField
from .identifiers import is_storable

__all__ = ["check_value", "key_value"]


def check_value(column: Column[Any], value: Any) -> None:
    """Raises `InvalidField` with `required`, `invalid_type`, `invalid_choice`, `too_long`, `invalid_characters`,
    `out_of_range` or `naive_datetime`."""
    name, type_ = column.name, column.type
    if value is None:
        if not column.nullable:
            raise InvalidField(name, "required")
        return
    if isinstance(type_, Enum):
        if not (isinstance(value, type_.enum_class) if type_.enum_class else value in type_.enums):
            raise InvalidField(name, "invalid_choice")
        return
    expected = _python_type(type_)
    if expected is not None and not _is_a(value, expected):
        raise InvalidField(name, "invalid_type", {"expected": expected.__name__})
    if isinstance(value, str):
        _check_text(name, value, getattr(type_, "length", None))
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidField(name, "naive_datetime")
    if isinstance(value, (int, float, Decimal)) and not _in_range(type_, value):
        raise InvalidField(name, "out_of_range")


def key_value(column: Column[Any], key: object) -> Any:
    """A key, also as a path or a form spells it; None for what no row can have."""
    type_ = column.type
    if isinstance(type_, String):
        fits = isinstance(key, str) and len(key) <= (type_.length or 0) and is_storable(key)
        return key if fits else None
    if isinstance(type_, Uuid):
        return UUID(key) if isinstance(key, str) and _UUID.fullmatch(key) else key if isinstance(key, UUID) else None
    if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 20:
        key = int(key)
    return key if isinstance(key, int) and _is_a(key, int) and _in_range(type_, key) else None


_UUID = re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _check_text(name: str, text: str, max_length: int | None) -> None:
    if max_length is not None and len(text) > max_length:
        raise InvalidField(name, "too_long", {"max_length": max_length})
    if not is_storable(text):
        raise InvalidField(name, "invalid_characters")


def _python_type(type_: TypeEngine[Any]) -> type[Any] | None:
    try:
        return type_.python_type
    except NotImplementedError:
        return None


def _is_a(value: object, expected: type[Any]) -> bool:
    """Python calls True an int, and a datetime a date; an int will do for a float."""
    if isinstance(value, bool):
        return expected is bool
    if isinstance(value, datetime) and expected is date:
        return False
    return isinstance(value, expected) or (expected is float and isinstance(value, int))


def _in_range(type_: TypeEngine[Any], value: Any) -> bool:
    if isinstance(type_, Integer):
        bits = 63 if isinstance(type_, BigInteger) else 15 if isinstance(type_, SmallInteger) else 31
        return bool(-(2**bits) <= value < 2**bits)
    if not math.isfinite(value):
        return False
    if isinstance(type_, Numeric) and not isinstance(type_, Float) and type_.precision is not None:
        return bool(abs(value) < 10 ** (type_.precision - (type_.scale or 0)))
    return True
