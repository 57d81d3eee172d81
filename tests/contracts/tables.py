"""Tables with every kind of column and constraint that the seam promises something about."""

from __future__ import annotations

import enum
import uuid
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    Enum,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from asgiauth.db import BinaryKey, ExactString, UTCDateTime

metadata = MetaData()


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


owner = Table("owner", metadata, Column("id", Integer, primary_key=True), Column("name", String(200)))

item = Table(
    "item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("amount", Integer, default=7),
    Column("label", String(36), default=lambda: str(uuid.uuid4())),
    Column("revision", Integer, onupdate=5),
    Column("owner_id", ForeignKey("owner.id", name="item_owner_fk")),
    UniqueConstraint("name", name="item_name_uniq"),
    CheckConstraint("amount >= 0", name="item_amount_check"),
)

exact = Table(
    "exact",
    metadata,
    Column("text", ExactString(40), primary_key=True),
    Column("digest", BinaryKey(4), nullable=False, unique=True),
)

typed = Table(
    "typed",
    metadata,
    Column("id", Uuid, primary_key=True, default=uuid.uuid4),
    Column("string", String(200)),
    Column("text", Text),
    Column("integer", Integer),
    Column("big", BigInteger),
    Column("flag", Boolean),
    Column("price", Numeric(12, 4)),
    Column("ratio", Float),
    Column("double", Double),
    Column("uuid", Uuid),
    Column("json", JSON),
    Column("binary", LargeBinary),
    Column("key", BinaryKey(4)),
    Column("exact", ExactString(40)),
    Column("colour", Enum(Colour, name="colour")),
    Column("day", Date),
    Column("moment", UTCDateTime),
)

late = Table("late", metadata, Column("id", Integer, primary_key=True), Column("owner_id", Integer))
_FOREIGN_KEY: Any = partial(ForeignKeyConstraint, ["owner_id"], [owner.c.id], name="late_owner_fk")
late.append_constraint(
    _FOREIGN_KEY(deferrable=True, initially="DEFERRED").ddl_if(
        callable_=lambda *_, dialect, **__: dialect.name != "mysql"
    )
)
late.append_constraint(_FOREIGN_KEY().ddl_if(dialect="mysql"))
