"""The sources that are asked, in order: grants in the database, rules in code, and those of the application."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from sqlalchemy import BigInteger, Select, String, Uuid, false, literal, select, true
from sqlalchemy.sql import FromClause
from sqlalchemy.types import TypeEngine

from ..db import Database
from ..exceptions import ConfigurationError, NotExpressible, PermissionDenied
from .question import Answer, Held, Question
from .resources import Ref, Resource, Rule
from .source import is_source
from .stored import Stored

__all__ = ["EVERYTHING", "Custom", "Everything", "Grants", "Rules", "Source"]

Everything = Literal["everything"]
EVERYTHING: Everything = "everything"


class Source(Protocol):
    """What the decision needs of a source."""

    name: str

    async def answer(self, question: Question) -> bool | None:
        """Yes, no (final), or None."""

    async def granted(self, held: Held) -> Collection[str]:
        """The permissions that it grants everywhere."""

    async def rows(self, question: Question) -> Everything | list[Select[Any]]:
        """The keys of the objects to which it says yes. Raises `NotExpressible`."""

    async def excluded(self, question: Question, *, is_last: bool) -> Select[Any] | None:
        """The keys of the objects to which it says a final no. Raises `NotExpressible` where that is not known, and
        another source, which could say yes, is asked behind it."""

    async def explain(self, question: Question) -> Answer:
        """The same answer, with reasons."""


class Grants:
    """What is granted to the user and to the user's groups, everywhere and on single objects."""

    name = "grants"

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def granted(self, held: Held) -> frozenset[str]:
        return await self._once(held, self, lambda: self._stored.everywhere(held.user, held.version))

    async def answer(self, question: Question) -> bool | None:
        if question.perm in await self.granted(question.held):
            return True
        return True if question.perm in await self.on_object(question) else None

    async def on_object(self, question: Question) -> frozenset[str]:
        resource, ref = question.resource, question.ref
        if resource is None or ref is None:
            return frozenset()
        return await self._once(question.held, ref, lambda: self._stored.on_object(question.user, resource, ref))

    async def rows(self, question: Question) -> Everything | list[Select[Any]]:
        if not question.user.is_active:
            return []
        if question.perm in await self.granted(question.held):
            return EVERYTHING
        return self._stored.keys(question.user, question.perm, question.resource) if question.resource else []

    async def excluded(self, question: Question, *, is_last: bool) -> None:
        return None

    async def explain(self, question: Question) -> Answer:
        found = await self._stored.through(question.user, question.perm, question.resource, question.ref)
        reasons = [
            ("granted to the user" if grant.group is None else f"through group {grant.group}")
            + (f" on {question.ref}" if grant.on_object else "")
            for grant in found
        ]
        return Answer(self.name, True if found else None, tuple(reasons))

    async def _once(self, held: Held, key: Any, ask: Callable[[], Awaitable[frozenset[str]]]) -> frozenset[str]:
        """What a unit of work has changed may be rolled back: there, it is asked each time."""
        return await (ask() if self._stored.in_unit else held.once(key, ask))


class Rules:
    """What code decides about single objects."""

    name = "rules"

    def __init__(self, database: Database, rules: Sequence[Rule]) -> None:
        self._database = database
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.perm, []).append(rule)

    async def granted(self, held: Held) -> Collection[str]:
        return ()

    async def answer(self, question: Question) -> bool | None:
        for rule in self._about(question):
            if await self._holds(rule, question):
                return True
        return None

    async def rows(self, question: Question) -> list[Select[Any]]:
        return [self._keys(rule, question) for rule in self._about(question)]

    async def excluded(self, question: Question, *, is_last: bool) -> None:
        return None

    async def explain(self, question: Question) -> Answer:
        for rule in self._about(question):
            if await self._holds(rule, question):
                return Answer(self.name, True, (_told(rule),))
        return Answer(self.name, None)

    def is_about(self, perm: str) -> bool:
        return perm in self._rules

    def _about(self, question: Question) -> list[Rule]:
        if question.resource is None:
            return []
        rules = self._rules.get(question.perm, [])
        return rules if question.user.is_active else [rule for rule in rules if rule.anonymous]

    async def _holds(self, rule: Rule, question: Question) -> bool:
        if not isinstance(question.obj, Ref):
            return await holds(rule, question.user, question.obj)
        return question.ref is not None and await self._selects(rule, question, question.ref)

    async def _selects(self, rule: Rule, question: Question, ref: Ref) -> bool:
        """There is only a key: the database has the rest."""
        resource: Any = question.resource
        keys = self._keys(rule, question)
        (column,) = keys.selected_columns
        rows = await self._database.fetch(keys.where(column == literal(ref.key, type_=_KEY_TYPES[resource.kind])))
        # a collation may find more than what was asked for
        return any(ref.key in row.values() for row in rows)

    def _keys(self, rule: Rule, question: Question) -> Select[Any]:
        resource: Any = question.resource
        t = resource.table.alias()
        return keys_where(resource, t, rule.where(question.user, t), f"the rule for {rule.perm!r}")


class Custom:
    """A `PermissionSource` of the application or of a feature."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.name: str = getattr(source, "name", None) or type(source).__qualname__
        self.decides = hasattr(source, "allows")
        in_sql = [method for method in ("where", "excludes") if hasattr(source, method)]
        if not is_source(source) or (in_sql and not self.decides):
            raise ConfigurationError(
                f"the permission source {self.name!r} has no allows(user, perm, obj), and "
                + (f"{in_sql[0]}() says the same in SQL: write both" if in_sql else "no granted(user) either")
            )

    async def granted(self, held: Held) -> frozenset[str]:
        if not hasattr(self._source, "granted"):
            return frozenset()

        async def ask() -> frozenset[str]:
            names = await _awaited(self._source.granted(held.user))
            if isinstance(names, str) or not isinstance(names, Iterable):
                raise TypeError(
                    f"granted() of the permission source {self.name!r} answers a collection of names, not {names!r}"
                )
            return frozenset(names)

        return await held.once(self, ask)

    async def answer(self, question: Question) -> bool | None:
        answer = await self._allows(question)
        if answer is not None:
            return answer
        return True if question.perm in await self.granted(question.held) else None

    async def rows(self, question: Question) -> Everything | list[Select[Any]]:
        if self.decides and not hasattr(self._source, "where"):
            raise NotExpressible(
                f"the permission source {self.name!r} decides on objects in Python alone: give it a method "
                "where(user, perm, t), or ask check() for each object"
            )
        if question.perm in await self.granted(question.held):
            return EVERYTHING
        return await self._asked("where", question)

    async def excluded(self, question: Question, *, is_last: bool) -> Select[Any] | None:
        if self.decides and not is_last and not hasattr(self._source, "excludes"):
            raise NotExpressible(
                f"the permission source {self.name!r} may say a final no, and others are asked behind it: give it a "
                "method excludes(user, perm, t), which answers None if it never does, or list it last"
            )
        keys = await self._asked("excludes", question)
        return keys[0] if keys else None

    async def explain(self, question: Question) -> Answer:
        said = await self._allows(question)
        if said is not None:
            return Answer(self.name, said, ("says yes" if said else "says no, and that is final",))
        if question.perm in await self.granted(question.held):
            return Answer(self.name, True, ("grants it everywhere",))
        return Answer(self.name, None)

    async def _allows(self, question: Question) -> bool | None:
        if not self.decides:
            return None
        try:
            answer = await _awaited(self._source.allows(question.user, question.perm, question.obj))
        except PermissionDenied:
            return False
        if answer is None or isinstance(answer, bool):
            return answer
        raise TypeError(f"allows() of the permission source {self.name!r} answers True, False or None, not {answer!r}")

    async def _asked(self, method: str, question: Question) -> list[Select[Any]]:
        ask = getattr(self._source, method, None)
        if ask is None or question.resource is None:
            return []
        t = question.resource.table.alias()
        expression = await _awaited(ask(question.user, question.perm, t))
        name = f"{method}() of the permission source {self.name!r}"
        return [] if expression is None else [keys_where(question.resource, t, expression, name)]


_KEY_TYPES: Mapping[str, TypeEngine[Any]] = {"integer": BigInteger(), "uuid": Uuid(), "text": String()}


async def holds(rule: Rule, user: Any, obj: object) -> bool:
    """What the rule's `check` says."""
    return bool(await _awaited(rule.check(user, obj)))


async def _awaited(answer: Any) -> Any:
    """What the application writes may be async or not."""
    return await answer if inspect.isawaitable(answer) else answer


def _told(rule: Rule) -> str:
    """A rule's permission, and the name of its function where it has one."""
    name = getattr(rule.check, "__qualname__", "").rpartition("<locals>.")[2]
    return f"rule {rule.perm}" + (f" ({name})" if name and name != "<lambda>" else "")


def keys_where(resource: Resource, t: FromClause, condition: Any, name: str) -> Select[Any]:
    """The keys of the rows of `t` for which a condition holds: in a query of its own, so that an index serves each part
    of what would else be one long OR. None stands for no row. Raises `ConfigurationError` for a condition on another
    table than `t`: it would hold for all rows or none."""
    expression = false() if condition is None or condition is False else true() if condition is True else condition
    keys = select(t.c[resource.key.key]).where(expression)
    strangers = [table for table in keys.get_final_froms() if table is not t]
    if strangers:
        raise ConfigurationError(
            f"{name} is about {', '.join(str(table) for table in strangers)}: write it over the t that it is given, "
            "such as t.c.author_id == user.id, and reach other tables by exists()"
        )
    return keys
