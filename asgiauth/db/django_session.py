"""Where Django keeps its sessions (row A1.6)."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

from .django_shape import like_index
from .naming import django_name
from .tables import OF_DJANGO
from .types import UTCDateTime

__all__ = ["django_session"]

_NAME = "django_session"


def django_session(metadata: MetaData) -> Table:
    """The table as the migrations of `django.contrib.sessions` leave it; the same one for all who ask."""
    present = metadata.tables.get(_NAME)
    if present is not None:
        return present
    table = Table(
        _NAME,
        metadata,
        Column("session_key", String(40), primary_key=True),
        Column("session_data", Text().with_variant(mysql.LONGTEXT(), "mysql"), nullable=False),
        Column("expire_date", UTCDateTime, nullable=False),
        info={OF_DJANGO: True},
    )
    like_index(table, "session_key")
    Index(django_name(_NAME, ["expire_date"]), table.c.expire_date)
    return table
