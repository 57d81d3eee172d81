"""Whether there is an object of that key: for people who name it, and may have mistyped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, String, Uuid, literal, select
from sqlalchemy.types import TypeEngine

from ..db import Database
from .resources import KeyKind, Ref, Resource

__all__ = ["is_there"]

_TYPES: Mapping[KeyKind, TypeEngine[Any]] = {"integer": BigInteger(), "uuid": Uuid(), "text": String()}
"""Of the parameter: a number may be larger than the column could hold."""


async def is_there(database: Database, resource: Resource, ref: Ref) -> bool:
    key = resource.key
    rows = await database.fetch(select(key).where(key == literal(ref.key, type_=_TYPES[resource.kind])))
    return any(ref.key in row.values() for row in rows)  # a collation may find more than what was asked for
