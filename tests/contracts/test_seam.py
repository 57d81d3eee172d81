"""What the seam promises, in each place where an application may use it and on each server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import traceback
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Delete,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Update,
    cast,
    func,
    literal,
    select,
    type_coerce,
    update,
)

from asgiauth.db import Database, Unit
from asgiauth.exceptions import AsgiAuthError, Conflict

from .tables import Colour, exact, item, owner, typed

ROUND_TRIPS: dict[str, list[Any]] = {
    "string": ["", "a'b\"c\\d%e%%s:f$1?", "Zoë 🦊", "x" * 200, "\r\n\t ", None],
    "text": ["🦊" * 10_000, "%s"],
    "integer": [0, -1, 2**31 - 1, -(2**31), None],
    "big": [2**63 - 1, -(2**63)],
    "flag": [True, False, None],
    "price": [Decimal("1234.5678"), Decimal("-0.0001"), Decimal(0), None],
    "ratio": [0.5, -1.25, None],
    "double": [0.1 + 0.2, 1e300, -5e-324, math.pi, None],
    "uuid": [uuid.UUID(int=0), uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None],
    "json": [{"a": [1, 2.5, None, True, "🦊 '\\\""]}, [], "text", "", '"quoted"', "null", 0, False, None],
    "binary": [b"", bytes(range(256)) * 3, b"\x00", None],
    "key": [b"\x00\x00\x00\x00", b"'\\\"%", b"\xff\xfe\x00\x00", None],
    "exact": ["AbC", "abc ", " abc", "é", "e\u0301", None],
    "colour": [Colour.RED, Colour.GREEN, None],
    "day": [date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), None],
    "moment": [
        datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 6, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(1000, 1, 1, tzinfo=UTC),
        None,
    ],
}


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    """Every type, with its extreme values, is the same on every server after a round trip; NULL stays None."""
    for column, values in ROUND_TRIPS.items():
        for value in values:
            async with db.unit() as unit:
                key = await unit.insert(typed, {column: value})
            row = await db.fetch_one(select(typed).where(typed.c.id == key))
            assert row is not None
            assert (row[column], row["id"]) == (value, key), (column, value)
            assert isinstance(row[column], type(value)), (column, value)
            others = set(row) - {column, "id"}
            assert all(row[other] is None for other in others)


async def test_a_naive_datetime_is_refused(db: Database) -> None:
    """It does not say when: neither as a value nor in a condition."""
    naive = datetime(2024, 1, 1)
    with pytest.raises(ValueError, match="naive"):
        async with db.unit() as unit:
            await unit.insert(typed, {"moment": naive})
    with pytest.raises(ValueError, match="naive"):
        await db.fetch(select(typed).where(typed.c.moment < naive))


async def test_keys_are_compared_exactly(db: Database) -> None:
    """D-10: case, accents and trailing spaces count, for a search and for the unique index."""
    texts = ["AbC", "abc", "abc ", "ábc", "abc\u0301", ""]
    async with db.unit() as unit:
        for number, text in enumerate(texts):
            await unit.insert(exact, {"text": text, "digest": b"aB'" + bytes([number])})
    for number, text in enumerate(texts):
        found = await db.fetch(select(exact.c.text).where(exact.c.text == text))
        assert found == [{"text": text}], text
        digest = b"aB'" + bytes([number])
        assert await db.fetch(select(exact.c.text).where(exact.c.digest == digest)) == found
    for absent in (b"AB'\x00", b"aB'", b"aB' "):
        assert await db.fetch(select(exact).where(exact.c.digest == absent)) == []


async def test_row_counts_are_exact(db: Database) -> None:
    """UPDATE counts the rows it matched, changed or not; DELETE those it removed; neither what went before."""
    async with db.unit() as unit:
        for name in ("a", "b", "c"):
            await unit.insert(item, {"name": name, "amount": 1})
        some = item.c.name.in_(["a", "b"])
        assert await unit.changed(update(item).where(some).values(amount=2)) == 2
        assert await unit.changed(update(item).where(some).values(amount=2, revision=None)) == 2
        assert await unit.changed(update(item).where(some).values(amount=2, revision=None)) == 2
        assert await unit.changed(update(item).where(item.c.name == "d").values(amount=2)) == 0
        assert await unit.changed(item.delete().where(item.c.name == "d")) == 0
        assert await unit.changed(item.delete().where(some)) == 2
        assert await unit.changed(item.delete()) == 1


async def test_an_insert_returns_the_key(db: Database) -> None:
    """Whether the server generated it, a default made it, or it was given; whatever its type."""
    async with db.unit() as unit:
        first = await unit.insert(owner, {})
        assert (await unit.insert(owner, {"name": None}), await unit.insert(owner, {"id": first + 9})) == (
            first + 1,
            first + 9,
        )
        assert await unit.insert(exact, {"text": "given", "digest": b"1234"}) == "given"
        made = await unit.insert(typed, {})
        assert await unit.row(select(typed.c.id)) == {"id": made}
    assert [row["id"] for row in await db.fetch(select(owner).order_by(owner.c.id))] == [first, first + 1, first + 9]


async def test_column_defaults_are_honoured(db: Database) -> None:
    """Scalar and callable ones at an insert, `onupdate` at an update; a value that is given wins, None too."""
    async with db.unit() as unit:
        await unit.insert(item, {"name": "a"})
        await unit.insert(item, {"name": "b", "amount": None, "label": "own"})
        await unit.changed(update(item).values(owner_id=None))
    a, b = await db.fetch(select(item).order_by(item.c.name))
    assert (a["amount"], len(a["label"]), a["revision"]) == (7, 36, 5)
    assert (b["amount"], b["label"], b["revision"]) == (None, "own", 5)


CANARY = "canary-3141"
CONFLICTS: dict[str, tuple[Insert | Update | Delete, tuple[str, str, str]]] = {
    "unique": (item.insert().values(id=2, name=CANARY), ("item.name", "item_name_uniq", "item_name_uniq")),
    "primary key": (item.insert().values(id=1, name="x"), ("item.id", "item_pkey", "PRIMARY")),
    "foreign_key": (item.insert().values(id=2, name="x", owner_id=271828), ("", "item_owner_fk", "item_owner_fk")),
    "referred": (owner.delete(), ("", "item_owner_fk", "item_owner_fk")),
    "not_null": (item.insert().values(id=2, amount=1), ("item.name", "name", "name")),
    "null": (update(item).values(name=None), ("item.name", "name", "name")),
    "check": (update(item).values(amount=-1), ("item_amount_check",) * 3),
}
KINDS = {"primary key": "unique", "referred": "foreign_key", "null": "not_null"}


async def test_a_broken_rule_is_a_conflict(db: Database) -> None:
    """It names the kind of rule and the constraint, never a value; after it in a nested unit, work goes on."""
    async with db.unit() as unit:
        await unit.insert(item, {"id": 1, "name": CANARY, "owner_id": await unit.insert(owner, {"name": CANARY})})
        for rule, (statement, constraints) in CONFLICTS.items():
            with pytest.raises(Conflict) as caught:
                async with db.unit() as nested:
                    await nested.changed(update(item).values(amount=3))
                    await nested.changed(statement)
            assert await unit.row(select(item.c.id, item.c.amount)) == {"id": 1, "amount": 7}, rule
            expected = constraints[["sqlite", "postgresql", "mysql"].index(db.dialect)]
            assert (caught.value.kind, caught.value.constraint) == (KINDS.get(rule, rule), expected)
            assert CANARY not in repr(caught.value) + str(caught.value)
            assert "271828" not in str(caught.value)
        await unit.changed(update(item).values(amount=4))
    assert await db.fetch(select(item.c.amount)) == [{"amount": 4}]


async def test_a_value_cannot_pose_as_the_constraint(db: Database) -> None:
    """What a user typed is never taken for the name of the rule that it broke."""
    async with db.unit() as unit:
        for name in ("for key 'secret'", "CONSTRAINT `secret` FOREIGN", "O'secret", "key: secret", "Column 'secret' x"):
            await unit.insert(item, {"name": name})
            with pytest.raises(Conflict) as caught:
                async with db.unit():
                    await unit.insert(item, {"name": name})
            assert caught.value.kind == "unique"
            assert caught.value.constraint in ("item_name_uniq", "item.name")
            assert "secret" not in str(caught.value)


class Stop(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [ValueError, Stop, asyncio.CancelledError])
async def test_an_error_rolls_the_unit_back(db: Database, error: type[BaseException]) -> None:
    """Any exception does, it comes out unchanged, and the next unit works."""
    with pytest.raises(error):
        async with db.unit() as unit:
            await unit.insert(item, {"name": "gone"})
            raise error
    assert await db.fetch(select(item)) == []
    async with db.unit() as unit:
        await unit.insert(item, {"name": "kept"})
    assert len(await db.fetch(select(item))) == 1


async def test_a_nested_unit_is_a_savepoint(db: Database) -> None:
    """It can fail alone, to any depth; what it did goes when the outer one fails."""
    async with db.unit() as outer:
        await outer.insert(item, {"name": "1"})
        with pytest.raises(ValueError, match="inner"):
            async with db.unit() as inner:
                await inner.insert(item, {"name": "2"})
                async with db.unit() as innermost:
                    await innermost.insert(item, {"name": "3"})
                raise ValueError("inner")
        async with db.unit() as inner:
            await inner.insert(item, {"name": "4"})
            with pytest.raises(ValueError, match="deep"):
                async with db.unit() as innermost:
                    await innermost.insert(item, {"name": "5"})
                    raise ValueError("deep")
    with pytest.raises(ValueError, match="outer"):
        async with db.unit() as outer:
            async with db.unit() as inner:
                await inner.insert(item, {"name": "6"})
            raise ValueError("outer")
    assert [row["name"] for row in await db.fetch(select(item).order_by(item.c.name))] == ["1", "4"]


async def test_a_unit_reads_what_it_wrote(db: Database) -> None:
    """`db.fetch` inside a unit goes through it; `atomic` inside one is a nested unit and returns a value."""

    async def work(unit: Unit) -> int:
        await unit.insert(item, {"name": "inner"})
        return len(await db.fetch(select(item)))

    async with db.unit() as unit:
        await unit.insert(item, {"name": "outer"})
        assert await db.fetch(select(item.c.name)) == [{"name": "outer"}]
        assert await db.fetch_one(select(item.c.name).where(item.c.name == "no")) is None
        assert await db.atomic(work) == 2
    assert len(await db.fetch(select(item))) == 2


async def test_a_unit_whose_conflict_was_swallowed_never_claims_to_be_committed(db: Database) -> None:
    """Either what it did is there afterwards, or leaving it raises (PostgreSQL answers COMMIT with ROLLBACK)."""
    committed = True
    try:
        async with db.unit() as unit:
            await unit.insert(item, {"name": "a"})
            with contextlib.suppress(Conflict):
                await unit.insert(item, {"name": "a"})
    except AsgiAuthError:
        committed = False
    assert len(await db.fetch(select(item))) == committed


NUMBER = 1_828_459_045
"""Too long to be a part of an address, or of a thread's number, by chance."""


async def test_no_value_is_ever_logged_or_quoted(source: Database, caplog: pytest.LogCaptureFixture) -> None:
    """D-10: not at DEBUG by any library, not in a traceback of what fails, whatever its reason."""
    missing = Table("missing", MetaData(), Column("name", String))
    chars = String(200)
    statements: list[Any] = [
        item.insert().values(name=CANARY, amount=-1),
        item.insert().values(name=CANARY, owner_id=1, amount=NUMBER),
        item.insert().values(name=CANARY * 30, amount=NUMBER),
        update(item).values(name=CANARY + "\x00"),
        update(item).values(name=CANARY + "\ud800"),
        update(item).values(amount=2**40 + NUMBER),
        update(item).values(amount=item.c.amount * (NUMBER * 10**9)),
        update(item).values(amount=type_coerce(CANARY, Integer)),
        update(item).values(name=CANARY).where(cast(literal(CANARY, chars), Integer) == NUMBER),
        update(item).values(name=CANARY).where(func.no_such_function(CANARY) == CANARY),
        update(item).values(name=CANARY).where(type_coerce(literal(CANARY, chars), Integer) == item.c.id),
        missing.insert().values(name=CANARY),
        exact.insert().values(text=CANARY, digest=CANARY.encode()),
        typed.insert().values(id=uuid.uuid4(), json={"secret": CANARY}, binary=CANARY.encode(), string=CANARY),
    ]
    told = []
    with caplog.at_level(logging.DEBUG):
        async with source.unit() as unit:
            await unit.insert(item, {"name": CANARY})
        for statement in statements:
            try:
                async with source.unit() as unit:
                    await unit.changed(statement)
            except Exception as error:
                told += [repr(error), str(error), "".join(traceback.format_exception(error))]
        await source.fetch(select(item).where(item.c.name == CANARY))
        with contextlib.suppress(Exception):
            await source.fetch(select(missing).where(missing.c.name == CANARY))
    for record in caplog.records:  # without when: among so many digits any number turns up
        facts = {name: value for name, value in vars(record).items() if not isinstance(value, float)}
        told.append(f"{record.getMessage()} {facts}")
    assert len(told) > 20
    leaks = [text for text in told if CANARY in text or CANARY.encode().hex() in text or str(NUMBER) in text]
    assert leaks == []
