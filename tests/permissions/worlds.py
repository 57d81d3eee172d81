"""Random worlds for the property of `where()`: who is in which group, who may do what with which row, and by which rule
or source. What is said in Python and what is said in SQL is written side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from sqlalchemy import Column, ColumnElement, Integer, String, Table, Uuid, and_, exists, false, func, not_, true
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

from asgiauth import Permission, Ref, Resource, Rule

UUIDS = [UUID(int=number) for number in (0, 1, 2**127, 2**128 - 1)]
# MariaDB's usual collation takes these for two keys, and for each other "ß" and "ss"
ALIKE = [["a", "A", "á", "a "], ["ß", "ss", "SS"], ["", " "], ["名"]]
TEXTS = [text for texts in ALIKE for text in texts]
GROUPS = range(1, 4)
TOPICS = range(1, 4)
EXACT = String(50).with_variant(mysql.VARCHAR(50, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "mysql")


class Base(DeclarativeBase):
    pass


class Thing(Base):
    """What the rows of each resource have in common."""

    __abstract__ = True
    key: Any
    author_id: Any
    topic_id: Any
    score: Any


def _columns(key_type: TypeEngine[Any]) -> list[Column[Any]]:
    return [
        Column("key", key_type, primary_key=True, autoincrement=False),
        Column("author_id", Integer, nullable=True, index=True),
        Column("topic_id", Integer, nullable=True),
        Column("score", Integer, nullable=True),
    ]


class Post(Thing):
    __table__ = Table("world_post", Base.metadata, *_columns(Integer()))


class File(Thing):
    __table__ = Table("world_file", Base.metadata, *_columns(Uuid()))


class Page(Thing):
    """Its keys are compared as the server compares strings."""

    __table__ = Table("world_page", Base.metadata, *_columns(String(50)))


class Tag(Thing):
    """Its keys are compared byte by byte."""

    __table__ = Table("world_tag", Base.metadata, *_columns(EXACT))


TYPES: Mapping[str, type[Thing]] = {"post": Post, "file": File, "page": Page, "tag": Tag}
RESOURCES = {name: Resource(f"world.{name}", table=type_, type=type_) for name, type_ in TYPES.items()}
PERMISSIONS = [Permission(f"world.use_{name}", model=name) for name in TYPES]
LIKES = {
    name: Table(
        f"world_{name}_like",
        Base.metadata,
        Column("key", type_.__table__.c.key.type, nullable=False),
        Column("user_id", Integer, nullable=True),
    )
    for name, type_ in TYPES.items()
}
topics = Table("world_topic", Base.metadata, Column("id", Integer, primary_key=True, autoincrement=False))


@dataclass(frozen=True)
class World:
    """`rows`, `likes` and the grants are about objects of one resource; `subject` is the user whom all is about."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    likes: Collection[tuple[Any, int | None]]
    memberships: Collection[tuple[int, int]]
    user_everywhere: Collection[int]
    group_everywhere: Collection[int]
    user_grants: Collection[tuple[int, Any]]
    group_grants: Collection[tuple[int, Any]]
    rules: tuple[str, str]
    first: tuple[str, str, bool]
    last: tuple[str, str, bool]
    subject: int
    form: str

    @property
    def perm(self) -> str:
        return f"world.use_{self.name}"

    def object(self, key: Any) -> Thing:
        (row,) = (row for row in self.rows if row["key"] == key)
        return TYPES[self.name](**row)


@dataclass
class Now:
    """The world that rules and sources speak of. It is another one in each example."""

    world: World = field(init=False)


Both = tuple[Callable[[World, Any, Any], bool | None], Callable[[World, Any, Any], Any]]
"""In Python over an object, and in SQL over `t`."""

CONDITIONS: Mapping[str, Both] = {
    "nothing": (lambda world, user, obj: False, lambda world, user, t: None),
    "never": (lambda world, user, obj: False, lambda world, user, t: False),
    "always": (lambda world, user, obj: True, lambda world, user, t: True),
    "own": (lambda world, user, obj: obj.author_id == user.id, lambda world, user, t: t.c.author_id == user.id),
    "good": (lambda world, user, obj: obj.score is not None and obj.score > 1, lambda world, user, t: t.c.score > 1),
    "unrated": (lambda world, user, obj: obj.score is None, lambda world, user, t: t.c.score.is_(None)),
    "liked": (
        lambda world, user, obj: (obj.key, user.id) in world.likes,
        lambda world, user, t: exists().where(
            LIKES[world.name].c.key == t.c.key, LIKES[world.name].c.user_id == user.id
        ),
    ),
    "unlike its likes": (
        lambda world, user, obj: not any(key == obj.key for key, _ in world.likes),
        lambda world, user, t: ~exists().where(LIKES[world.name].c.key == t.c.key),
    ),
}


def rules(now: Now) -> list[Rule]:
    """Two for each permission, the second one about everybody."""

    def rule(perm: str, number: int) -> Rule:
        def check(user: Any, obj: Any) -> Any:
            return CONDITIONS[now.world.rules[number]][0](now.world, user, obj)

        async def slow_check(user: Any, obj: Any) -> Any:
            return check(user, obj)

        return Rule(
            perm,
            check=slow_check if number else check,
            where=lambda user, t: CONDITIONS[now.world.rules[number]][1](now.world, user, t),
            anonymous=bool(number),
        )

    return [rule(permission.perm, number) for permission in PERMISSIONS for number in (0, 1)]


class Source:
    """A backend that says no, says yes, and grants everywhere, as the world has it."""

    def __init__(self, now: Now, name: str) -> None:
        self.now = now
        self.name = name

    @property
    def _conditions(self) -> list[Both]:
        no, yes, _ = getattr(self.now.world, self.name)
        return [CONDITIONS[no], CONDITIONS[yes]]

    async def granted(self, user: Any) -> Collection[str]:
        everywhere = getattr(self.now.world, self.name)[2]
        return [self.now.world.perm] if everywhere and user.is_authenticated else []

    async def allows(self, user: Any, perm: str, obj: Any) -> bool | None:
        if obj is None:
            return None
        if isinstance(obj, Ref):
            obj = self.now.world.object(obj.key)
        no, yes = (condition[0](self.now.world, user, obj) for condition in self._conditions)
        return False if no else True if yes else None

    async def where(self, user: Any, perm: str, t: Any) -> ColumnElement[bool] | None:
        no, yes = (_expression(condition[1](self.now.world, user, t)) for condition in self._conditions)
        return and_(yes, not_(func.coalesce(no, false())))

    async def excludes(self, user: Any, perm: str, t: Any) -> ColumnElement[bool] | None:
        expression: ColumnElement[bool] | None = self._conditions[0][1](self.now.world, user, t)
        return expression


def _expression(condition: ColumnElement[bool] | bool | None) -> ColumnElement[bool]:
    if isinstance(condition, ColumnElement):
        return condition
    return true() if condition else false()


def keys_of(name: str) -> Sequence[Any]:
    """Every key that may occur, also where there is no such row."""
    return {"post": range(-1, 6), "file": UUIDS}.get(name, TEXTS)


@st.composite
def worlds(draw: st.DrawFn, users: Sequence[int], subjects: Sequence[int]) -> World:
    name = draw(st.sampled_from(list(TYPES)))
    present, subject = draw(_different(name)), draw(st.sampled_from(subjects))
    # half of everything is about the subject and about rows that there are
    keys = (st.sampled_from(present) if present else st.nothing()) | st.sampled_from(keys_of(name))
    somebody = (st.just(subject) if subject in users else st.nothing()) | st.sampled_from(users)
    some_group, maybe = st.sampled_from(GROUPS), st.none() | st.integers(1, 3)
    rows = [
        {
            "key": key,
            "author_id": draw(st.none() | somebody),
            "topic_id": draw(maybe),
            "score": draw(maybe),
        }
        for key in present
    ]
    likes = st.tuples(st.sampled_from(present), st.none() | somebody) if present else st.nothing()
    condition = st.sampled_from(list(CONDITIONS))
    source = st.just(("nothing", "nothing", False)) | st.tuples(condition, condition, st.booleans())
    return World(
        name=name,
        rows=rows,
        likes=draw(st.frozensets(likes, max_size=4)) if present else frozenset(),
        memberships=draw(st.frozensets(st.tuples(somebody, some_group), max_size=8)),
        user_everywhere=draw(st.frozensets(somebody, max_size=1)),
        group_everywhere=draw(st.frozensets(some_group, max_size=1)),
        user_grants=draw(st.frozensets(st.tuples(somebody, keys), max_size=8)),
        group_grants=draw(st.frozensets(st.tuples(some_group, keys), max_size=6)),
        rules=(draw(condition), draw(condition)),
        first=draw(source),
        last=draw(source),
        subject=subject,
        form=draw(st.sampled_from(FORMS)),
    )


FORMS = ["table", "alias", "class", "aliased class", "subquery", "join", "not", "or", "correlated", "limit"]


@st.composite
def _different(draw: st.DrawFn, name: str) -> list[Any]:
    """The keys of a table: in one that is compared as the server does it, one of those that are alike."""
    if name == "page":
        return [draw(st.sampled_from(texts)) for texts in ALIKE if draw(st.booleans())]
    return draw(st.lists(st.sampled_from(keys_of(name)), unique=True, max_size=5))
