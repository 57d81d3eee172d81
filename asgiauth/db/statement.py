"""An SQLAlchemy Core statement, compiled once for a driver and run as often as one likes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.sql import Delete, Insert, Select, Update, visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import CompoundSelect, ForUpdateArg
from sqlalchemy.types import JSON, Float, Numeric, TypeEngine

__all__ = ["Arguments", "Prepared", "Row", "Statement", "computed"]

Statement = Select[Any] | CompoundSelect[Any] | Insert | Update | Delete
Row = dict[str, Any]
Processor = Callable[[Any], Any]

_SURROGATE = re.compile("[\ud800-\udfff]")
_FLOAT8_OID, _NUMERIC_OID = 701, 1700
"""PostgreSQL's type numbers: SQLAlchemy's numeric types ask for one."""


class Arguments(tuple[Any, ...]):
    """Bound values. Their `repr` is masked, because drivers write it into their debug logs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bound values>"


class Prepared:
    """SQL text, the order of its parameters and what turns its rows into Python values, worked out once.

    Parameters left open with `bindparam("name")` are given at each run.
    """

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._compiled = compiled
        self._expands = any(bind.expanding for bind in compiled.binds.values())
        # `Column(onupdate=...)`, and of an INSERT the `default=...`: SQLAlchemy would fill them in at execution
        self._computed = {column.key: column.onupdate for column in compiled.update_prefetch} | {
            column.key: column.default for column in compiled.insert_prefetch
        }
        self._processors = {
            compiled.bind_names[bind]: process
            for bind in compiled.binds.values()
            if (process := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        # the keys that SQLAlchemy would give them: of two columns of one name, the second is `name_1`
        self._columns = [
            (str(key), _result_processor(column.type, dialect)) for key, column in statement.exported_columns.items()
        ]
        self._decoded = [(key, None if process is _json_value else process) for key, process in self._columns]

    @cached_property
    def writes(self) -> bool:
        """Whether it changes rows, or locks them as if to change them, in whatever part of it."""
        parts = visitors.iterate(self._compiled.statement)
        return any(isinstance(part, (UpdateBase, ForUpdateArg)) for part in parts)

    def bind(self, parameters: Mapping[str, Any]) -> tuple[str, Arguments]:
        """The SQL text and the arguments in its order."""
        if self._computed:
            parameters = {name: computed(default) for name, default in self._computed.items()} | dict(parameters)
        if self._expands:
            state = self._compiled.construct_expanded_state(parameters)
            sql, names, values = state.statement, state.positiontup or (), state.parameters
            processors: Mapping[str, Any] = {**self._processors, **state.processors}
        else:
            sql, names, processors = self._compiled.string, self._compiled.positiontup or (), self._processors
            values = self._compiled.construct_params(parameters)
        return sql, Arguments(
            _storable(processors[name](values[name]) if name in processors else values[name]) for name in names
        )

    def rows(self, fetched: Sequence[Sequence[Any]], *, json_is_text: bool) -> list[Row]:
        """The driver's rows as dictionaries, keyed as the statement labels its columns. `json_is_text`: asyncpg as
        `databases` sets it up hands JSON out as text, as SQLAlchemy sets it up, decoded."""
        columns = self._columns if json_is_text else self._decoded
        return [
            {
                key: value if process is None else process(value)
                for (key, process), value in zip(columns, row, strict=True)
            }
            for row in fetched
        ]


def computed(default: Any) -> Any:
    """The value of a `Column(default=...)` or `onupdate=...`."""
    return default.arg(None) if default.is_callable else default.arg


def _storable(value: Any) -> Any:
    """Asked here, because a driver's error would quote the text."""
    if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        raise ValueError("a text holds a lone surrogate, which no database takes")
    return value


def _result_processor(type_: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    if isinstance(type_, JSON) and dialect.name == "postgresql":
        return _json_value
    impl = type_.dialect_impl(dialect)
    oid = _FLOAT8_OID if isinstance(impl, Float) else _NUMERIC_OID if isinstance(impl, Numeric) else None
    return impl.result_processor(dialect, oid)


def _json_value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
