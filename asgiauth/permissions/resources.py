"""What object-level permissions are about: tables of the application, single rows of them, rules about rows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import sqlalchemy
from sqlalchemy import (
    CHAR,
    NCHAR,
    BigInteger,
    Column,
    ColumnElement,
    Enum,
    FromClause,
    Integer,
    String,
    Table,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..db import ExactString
from ..exceptions import ConfigurationError
from .declaration import Permission, listed, split

__all__ = ["Ref", "Resource", "Rule", "check_rules", "idle_resources", "resource_of", "resources_by_name"]

KeyKind = Literal["integer", "uuid", "text"]
_KINDS: Mapping[KeyKind, tuple[type[TypeEngine[Any]], type]] = {
    "integer": (Integer, int),
    "uuid": (Uuid, UUID),
    "text": (String, str),
}
_UNLIKE = (Enum, mysql.SET, CHAR, NCHAR, CITEXT)
"""Strings that are others in Python, or that the database pads or finds equal to others."""
_CONVERSIONS = (
    "bind_expression",
    "bind_processor",
    "column_expression",
    "load_dialect_impl",
    "process_bind_param",
    "process_result_value",
    "result_processor",
)
"""Where a `TypeDecorator` may make something else of a value."""
_UTF8 = re.compile("utf8(mb[34])?")
_UTF8_BINARY = re.compile(r"utf8(mb[34])?(_\w+)?_bin")
_LARGEST = 2**63
_LONGEST = 255
_NUMBER = re.compile("-?[0-9]{1,4000}")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Ref:
    """One object, by the name of its resource and its key: `Ref("blog.post", 42)`."""

    resource: str
    key: int | str | UUID

    def __str__(self) -> str:
        return f"{self.resource} {self.key}"


class Resource:
    """Something whose rows may be granted one by one: `Resource("blog.post", table=posts, key=posts.c.id, type=Post)`.

    `name` is the content type, `app_label.model`, of the permissions that belong to it. `table` is a Core table or a
    mapped class, `key` the column that names a row (by default the primary key): an integer, UUID or string that Python
    and the database see alike. `type` is the class of the objects that views hold: `attribute` of one is its key, by
    default as the column is called or mapped. Without `type` only a `Ref` names an object. Raises `ConfigurationError`
    for what could not work.
    """

    def __init__(
        self,
        name: str,
        *,
        table: Any,
        key: Any = None,
        type: type[Any] | None = None,  # noqa: A002  the word for it
        attribute: str | None = None,
    ) -> None:
        app, model = split(name)
        if not app or not model:
            raise ConfigurationError(f"the resource {name!r}: write 'app.model', such as 'blog.post'")
        self.name = f"{app}.{model.lower()}"
        self.table = _table_of(name, table)
        self.key = _key_of(name, self.table, key)
        self.kind = _kind_of(name, self.key)
        self.type = type
        self.attribute = _attribute_of(name, type, attribute, self.key)

    def __repr__(self) -> str:
        return f"Resource({self.name!r})"

    def ref(self, row: Any) -> Ref:
        """The object of a row: a mapping with the key's column, an SQLAlchemy row, an instance, or the key itself.
        Raises `TypeError` for what has no key of this resource's kind."""
        if isinstance(row, _KINDS[self.kind][1]):
            return Ref(self.name, self.checked(row))
        mapping = getattr(row, "_mapping", row)
        if isinstance(mapping, Mapping):
            found = [mapping[name] for name in (self.key, self.key.key, self.key.name) if name in mapping]
            return Ref(self.name, self.checked(found[0] if found else None))
        if self.type is not None and not isinstance(row, self.type):
            raise self._foreign(row)
        return Ref(self.name, self.checked(getattr(row, self.attribute, None)))

    def key_in(self, obj: object) -> Any:
        """The key of a `Ref` to this resource or of an instance; None for one that is not stored yet, or that no column
        could hold. Raises `TypeError` for anything else: what may be done with one thing says nothing of another."""
        if isinstance(obj, Ref):
            if obj.resource != self.name:
                raise TypeError(f"the permission is about {self.name}, and {obj!r} is not")
            key: object = obj.key
        elif self.type is None or not isinstance(obj, self.type):
            raise self._foreign(obj)
        else:
            key = getattr(obj, self.attribute)
            if key is None:
                return None
        return key if _fits(self.checked(key)) else None

    def checked(self, key: object) -> Any:
        """The key, if it is of this resource's kind. Raises `TypeError`."""
        wanted = _KINDS[self.kind][1]
        if not isinstance(key, wanted) or isinstance(key, bool):
            raise TypeError(f"a key of {self.name} is {wanted.__name__}, not {type(key).__name__}")
        return key

    def parse(self, text: str) -> Ref:
        """From text, as on a command line. Raises `TypeError`, also for a number that is written in a way that only
        Python reads, and for what no column could hold."""
        wanted = _KINDS[self.kind][1]
        key = None
        if wanted is not int or _NUMBER.fullmatch(text):
            with suppress(ValueError):
                key = wanted(text)
        if key is None:
            raise TypeError(f"a key of {self.name} is {wanted.__name__}, and {text!r} is none")
        if not _fits(key):
            raise TypeError(f"no key of {self.name} is that large: {text!r}")
        return Ref(self.name, key)

    def from_path(self, name: str = "id") -> Callable[[Any], Coroutine[Any, Any, Ref | None]]:
        """For guards, `perm("blog.change_post", obj=posts_resource.from_path("id"))`: a function that gives the object
        whose key stands in the path, or None where there is none, or what stands there could be no key. It looks into
        `Auth`'s database, and takes a key only as it is written by the application itself: `42`, and not `042`.

        Raises `ConfigurationError` where the path has no such parameter."""

        async def load(connection: Any) -> Ref | None:
            from .lookup import is_there  # which knows of resources

            if name not in connection.path_params:
                raise ConfigurationError(
                    f"{load.__qualname__}: there is no {{{name}}} in the path of this route; a Guard on a Mount knows "
                    "that of the Mount alone"
                )
            ref = self._written(connection.path_params[name])
            return ref if ref and await is_there(connection.scope["auth"]._speaker.database, self, ref) else None

        load.__qualname__ = f"{self!r}.from_path({name!r})"
        return load

    def _written(self, key: Any) -> Ref | None:
        """What a parameter of a path names. Only one text names a key: a database may read another one differently, and
        then a view would show what the guard has not seen."""
        if isinstance(key, str):
            try:
                ref = self.parse(key)
            except TypeError:
                return None
            if str(ref.key) != (key.lower() if self.kind == "uuid" else key):
                return None
            key = ref.key
        return Ref(self.name, key) if _fits(self.checked(key)) else None

    def column_in(self, on: Any) -> ColumnElement[Any]:
        """The key's column in a table, an alias, a subquery, or a mapped class or an alias of one. Raises `TypeError`
        where it has none, and where it has several: whose rows are meant then?"""
        selectable: Any = on.table if isinstance(on, Resource) else getattr(_inspected(on), "selectable", None)
        column = selectable.corresponding_column(self.key) if isinstance(selectable, FromClause) else None
        if column is None:
            raise TypeError(f"the permission is about {self.name}, and {on!r} is neither its table nor an alias of it")
        if sum(each.shares_lineage(self.key) for each in selectable.c) > 1:
            raise TypeError(
                f"{on!r} has the key of {self.name} more than once: give the table, or the alias, whose rows are meant"
            )
        return column

    def _foreign(self, obj: object) -> TypeError:
        takes = f"an instance of {self.type.__qualname__}, or " if self.type else ""
        return TypeError(
            f"the permission is about {self.name}, and {type(obj).__qualname__} is not: give {takes}"
            f'Ref("{self.name}", key), or resource.ref(row)'
        )


@dataclass(frozen=True)
class Rule:
    """A permission that code decides, row by row: `check(user, obj)` in Python, async or not, and `where(user, t)` as
    an SQL expression over `t`, an alias of the table; other tables come in by `exists()`, and None stands for no row.
    Both must say the same, which is yours to keep: `asgiauth.testing.check_rule` compares them.

    Anonymous and inactive users are only asked about with `anonymous=True`.
    """

    perm: str
    check: Callable[[Any, Any], bool | Awaitable[bool]]
    where: Callable[[Any, Any], Any]
    anonymous: bool = False


def resources_by_name(resources: Iterable[Resource]) -> Mapping[str, Resource]:
    """Raises `ConfigurationError` for two of one name, and for two of one `type`: what is one object then?"""
    found: dict[str, Resource] = {}
    types: dict[type[Any], Resource] = {}
    for resource in listed("resources", resources, Resource, 'Resource("blog.post", table=posts, type=Post)'):
        if resource.name in found:
            raise ConfigurationError(f"the resource {resource.name!r} is listed twice")
        found[resource.name] = resource
        if resource.type is not None and types.setdefault(resource.type, resource) is not resource:
            raise ConfigurationError(
                f"the resources {types[resource.type].name!r} and {resource.name!r} have one type, "
                f"{resource.type.__qualname__}: leave it out of one, whose objects are then named by Ref alone"
            )
    return found


def resource_of(resources: Iterable[Resource], obj: object) -> Resource | None:
    """The one that a `Ref` names, or whose `type` is the most specific that an instance has; None where none is."""
    if isinstance(obj, Ref):
        return next((resource for resource in resources if resource.name == obj.resource), None)
    lineage = type(obj).__mro__

    def distance(resource: Resource) -> int:
        return lineage.index(resource.type) if resource.type in lineage else len(lineage)  # as an ABC's own

    theirs = [resource for resource in resources if resource.type is not None and isinstance(obj, resource.type)]
    return min(theirs, key=distance, default=None)


def idle_resources(declared: Mapping[str, Permission], resources: Mapping[str, Resource]) -> list[str]:
    """Those that no declared permission belongs to. Where none is declared at all, Django has them all."""
    return sorted(resources.keys() - {permission.resource for permission in declared.values()}) if declared else []


def check_rules(
    rules: Iterable[Rule], declared: Mapping[str, Permission], resources: Mapping[str, Resource]
) -> list[Rule]:
    """Raises `ConfigurationError` for a rule about nothing."""
    checked = listed("rules", rules, Rule, 'Rule("blog.change_post", check=..., where=...)')
    for rule in checked:
        permission = declared.get(rule.perm)
        if permission is None:
            raise ConfigurationError(f"a rule for {rule.perm!r}, which is not declared: Auth(permissions=[...])")
        if permission.resource not in resources:
            raise ConfigurationError(
                f"a rule for {rule.perm!r}, which belongs to {permission.resource or 'no resource'!r}: list that "
                "Resource, Auth(resources=[...]), and say model=... where the permission is declared"
            )
    return checked


def _inspected(thing: Any) -> Any:
    """What SQLAlchemy knows of a table, a class or an alias; None for anything else."""
    return sqlalchemy.inspect(thing, raiseerr=False)


def _table_of(name: str, table: Any) -> Table:
    found = getattr(_inspected(table), "local_table", table)
    if not isinstance(found, Table):
        raise ConfigurationError(f"the resource {name!r}: table= is a Table or a mapped class, not {table!r}")
    return found


def _key_of(name: str, table: Table, key: Any) -> Column[Any]:
    if key is None:
        keys = list(table.primary_key.columns)
        if len(keys) != 1:
            raise ConfigurationError(f"the resource {name!r}: say key=..., for its primary key is not one column")
        return keys[0]
    found: Any = table.c.get(key) if isinstance(key, str) else getattr(key, "__clause_element__", lambda: key)()
    same = [column for column in table.columns if isinstance(found, Column) and column.shares_lineage(found)]
    if not same:
        raise ConfigurationError(f"the resource {name!r}: key= is a column of {table.name!r}, not {key!r}")
    (column,) = same
    if column.nullable or not _is_unique(table, column):
        raise ConfigurationError(
            f"the resource {name!r}: its key {column.name!r} must name one row: the primary key, or a column with "
            "unique=True and nullable=False"
        )
    return column


def _is_unique(table: Table, column: Column[Any]) -> bool:
    found: list[Any] = [table.primary_key, *(index for index in table.indexes if index.unique)]
    found += [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    return column.unique is True or any(list(each.columns) == [column] for each in found)


def _kind_of(name: str, key: Column[Any]) -> KeyKind:
    type_: Any = key.type
    inner = getattr(type_, "impl_instance", type_)
    variants = {**inner._variant_mapping, **type_._variant_mapping}
    kinds = {_kind_of_type(each) for each in (type_, *variants.values())}
    kind = kinds.pop()
    if kinds or kind is None:
        raise ConfigurationError(
            f"the resource {name!r}: its key {key.name!r} is {type_!r}: give the resource a key that Python and the "
            "database see alike: an integer, Uuid or String column"
        )
    return kind


def _kind_of_type(type_: Any) -> KeyKind | None:
    """None for what a grant would not be found by, or another row's grant would be: it is kept as Python has the key,
    and compared in the database."""
    if isinstance(type_, TypeDecorator) and not all(
        getattr(type(type_), each) in (getattr(TypeDecorator, each), getattr(ExactString, each))
        for each in _CONVERSIONS
    ):
        return None
    stored = getattr(type_, "impl_instance", type_)
    for kind, (sql_type, python_type) in _KINDS.items():
        if isinstance(stored, sql_type) and stored.python_type is python_type and _is_alike(stored):
            return kind
    return None


def _is_alike(stored: Any) -> bool:
    """The column has what Python has, in the form that grants have: native UUIDs, signed numbers, UTF-8 as it is."""
    if isinstance(stored, Uuid):
        return stored.native_uuid
    if isinstance(stored, Integer):
        # MySQL has no signed ZEROFILL
        unsigned = getattr(stored, "unsigned", False) or getattr(stored, "zerofill", False)
        return not (unsigned and isinstance(stored, BigInteger))
    charset, collation = getattr(stored, "charset", None), stored.collation
    return (
        not isinstance(stored, _UNLIKE)
        and (charset is None or _UTF8.fullmatch(charset) is not None)
        and (collation is None or _UTF8_BINARY.fullmatch(collation) is not None)
    )


def _attribute_of(name: str, type_: Any, attribute: str | None, key: Column[Any]) -> str:
    if type_ is not None and not isinstance(type_, type):
        raise ConfigurationError(f"the resource {name!r}: type= is the class of its objects, not {type_!r}")
    mapper = _inspected(type_)
    if attribute is not None or mapper is None:
        return attribute or key.key
    try:
        return str(mapper.get_property_by_column(key).key)
    except InvalidRequestError:
        raise ConfigurationError(
            f"the resource {name!r}: type={type_!r} has no column {key.name!r} mapped: say attribute=..."
        ) from None


def _fits(key: int | str | UUID) -> bool:
    """Whether a column could hold it: a key from a URL may be anything."""
    if isinstance(key, int):
        return -_LARGEST <= key < _LARGEST
    return isinstance(key, UUID) or (len(key) <= _LONGEST and not _NO_TEXT.search(key))
