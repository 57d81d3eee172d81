"""What object-level permissions are about: resources, references, rules (DESIGN 8, B10.1)."""

from __future__ import annotations

import enum
import numbers
from collections import UserString
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column, registry

from asgiauth import Permission, Ref, Resource, Rule
from asgiauth.db import ExactString
from asgiauth.exceptions import ConfigurationError
from asgiauth.permissions.declaration import declared_by_name
from asgiauth.permissions.resources import check_rules, resource_of, resources_by_name

ID = UUID(int=42)
metadata = sa.MetaData()
posts = sa.Table(
    "post",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("slug", sa.String(50), unique=True, nullable=False),
    sa.Column("code", sa.String(50), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("loose", sa.Integer, nullable=False),
    sa.Column("maybe", sa.Integer, unique=True),
    sa.Column("weight", sa.Float, unique=True, nullable=False),
    sa.UniqueConstraint("code"),
    sa.UniqueConstraint("loose", "number"),
    sa.Index("post_number", "number", unique=True),
    sa.Index("post_loose", "loose"),
)
pairs = sa.Table(
    "pair", metadata, sa.Column("a", sa.Integer, primary_key=True), sa.Column("b", sa.Integer, primary_key=True)
)
renamed = sa.Table("renamed", metadata, sa.Column("post_id", sa.Integer, key="id", primary_key=True))
BY_ID = Resource("blog.post", table=posts)


class Base(DeclarativeBase):
    pass


class Mine(Base):
    __tablename__ = "mine"
    pk: Mapped[int] = mapped_column("id", primary_key=True)


class Special(Mine):
    __tablename__ = "special"
    pk: Mapped[int] = mapped_column("id", sa.ForeignKey("mine.id"), primary_key=True)


class Other(Base):
    __tablename__ = "other"
    id: Mapped[int] = mapped_column(primary_key=True)


class Classical:
    id: int


registry().map_imperatively(Classical, posts)


@dataclass
class Post:
    id: Any


@dataclass
class Comment:
    id: int


class Same(sa.types.TypeDecorator[str]):
    """A string with a rule of its own, and still one."""

    impl = sa.String
    cache_ok = True


class Padded(sa.types.TypeDecorator[str]):
    impl = sa.CHAR
    cache_ok = True


class Various(sa.types.TypeDecorator[str]):
    impl = sa.String(40).with_variant(sa.CHAR(40), "mysql")
    cache_ok = True


def overriding(method: str, base: Any = Same) -> Any:
    return type(f"{base.__name__}_{method}", (base,), {method: lambda *_: None, "cache_ok": True})(40)


class Colour(enum.Enum):
    RED = "red"


def keyed(type_: Any) -> sa.Table:
    return sa.Table("keyed", sa.MetaData(), sa.Column("id", type_, primary_key=True))


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (sa.Integer(), "integer"),
        (sa.BigInteger(), "integer"),
        (sa.SmallInteger(), "integer"),
        (sa.Uuid(), "uuid"),
        (postgresql.UUID(), "uuid"),
        (sa.UUID(), "uuid"),
        (sa.String(40), "text"),
        (sa.Unicode(40), "text"),
        (Same(40), "text"),
        (ExactString(40), "text"),
        (sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite"), "integer"),
        (mysql.INTEGER(unsigned=True), "integer"),
        (mysql.BIGINT(), "integer"),
        (mysql.VARCHAR(40), "text"),
        (mysql.VARCHAR(40, charset="utf8mb4", collation="utf8mb4_nopad_bin"), "text"),
        (sa.String(40, collation="utf8mb4_bin"), "text"),
    ],
    ids=repr,
)
def test_a_key_is_an_integer_a_uuid_or_a_string(type_: Any, kind: str) -> None:
    assert Resource("blog.post", table=keyed(type_)).kind == kind


@pytest.mark.parametrize(
    "type_",
    [
        sa.Float(),
        sa.Date(),
        sa.LargeBinary(16),
        sa.Boolean(),
        sa.Uuid(as_uuid=False),
        sa.Enum(Colour),
        sa.Enum("red", "blue", name="colour"),
        overriding("process_bind_param"),
        overriding("process_result_value"),
        overriding("bind_expression"),
        overriding("column_expression"),
        overriding("load_dialect_impl"),
        overriding("process_bind_param", ExactString),
        Padded(40),
        Various(40),
        sa.Uuid(native_uuid=False),
        sa.CHAR(40),
        sa.NCHAR(40),
        postgresql.CHAR(40),
        postgresql.CITEXT(),
        mysql.CHAR(40),
        mysql.NCHAR(40),
        mysql.SET("red", "blue"),
        sa.String(40, collation="NOCASE"),
        sa.String(40, collation="utf8mb4_general_ci"),
        mysql.VARCHAR(40, charset="latin1"),
        mysql.BIGINT(unsigned=True),
        mysql.BIGINT(zerofill=True),
        sa.String(40).with_variant(sa.CHAR(40), "postgresql"),
        sa.Uuid().with_variant(sa.String(36), "mysql"),
    ],
    ids=repr,
)
def test_a_key_that_python_and_the_database_see_differently_is_refused(type_: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'blog.post': its key 'id' is .*: give the resource a key that"):
        Resource("blog.post", table=keyed(type_))


@pytest.mark.parametrize("name", ["", "blog", "blog.", ".post"])
def test_a_resource_is_named_as_its_content_type(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write 'app.model', such as 'blog.post'"):
        Resource(name, table=posts)


def test_the_model_of_a_content_type_is_in_lower_case() -> None:
    assert Resource("Blog.BlogPost", table=posts).name == "Blog.blogpost"


@pytest.mark.parametrize(
    "table", [None, "post", posts.alias(), Post, posts.c.id], ids=lambda table: type(table).__name__
)
def test_a_resource_is_a_table_or_a_mapped_class(table: Any) -> None:
    with pytest.raises(ConfigurationError, match="table= is a Table or a mapped class"):
        Resource("blog.post", table=table)


@pytest.mark.parametrize(
    ("table", "key", "column"),
    [
        (posts, None, posts.c.id),
        (posts, posts.c.id, posts.c.id),
        (posts, "slug", posts.c.slug),
        (posts, posts.c.code, posts.c.code),
        (posts, "number", posts.c.number),
        (renamed, "id", renamed.c.id),
        (Mine, None, Mine.__table__.c.id),
        (Mine, Mine.pk, Mine.__table__.c.id),
        (Special, Special.pk, Special.__table__.c.id),
        (Classical, Classical.id, posts.c.id),
    ],
    ids=[
        "default",
        "column",
        "name",
        "constraint",
        "index",
        "other name",
        "mapped",
        "attribute",
        "joined",
        "classical",
    ],
)
def test_a_key_is_a_column_that_names_a_row(table: Any, key: Any, column: Any) -> None:
    assert Resource("blog.post", table=table, key=key).key is column


@pytest.mark.parametrize("key", ["nothing", pairs.c.a, posts.c.id + 1, 7, Mine.pk], ids=["a", "b", "c", "d", "e"])
def test_a_key_of_another_table_is_refused(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key= is a column of 'post'"):
        Resource("blog.post", table=posts, key=key)


@pytest.mark.parametrize("key", ["loose", "maybe"])
def test_a_key_that_several_rows_may_have_is_refused(key: str) -> None:
    """A grant would be one on each of them; NULL is nobody's key."""
    with pytest.raises(ConfigurationError, match=f"'{key}' must name one row.*unique=True and nullable=False"):
        Resource("blog.post", table=posts, key=key)


def test_a_composite_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"say key=\.\.\., for its primary key is not one column"):
        Resource("blog.pair", table=pairs)
    with pytest.raises(ConfigurationError, match="'a' must name one row"):
        Resource("blog.pair", table=pairs, key=pairs.c.a)


def test_the_attribute_is_called_as_the_column_or_as_it_is_mapped() -> None:
    assert Resource("blog.post", table=renamed, type=Post).attribute == "id"
    assert Resource("blog.post", table=posts, key="slug", type=Post).attribute == "slug"
    assert Resource("blog.post", table=Mine, type=Mine).attribute == "pk"
    assert Resource("blog.post", table=Mine, type=Special).attribute == "pk"
    assert Resource("blog.post", table=posts, type=Post, attribute="number").attribute == "number"
    assert Resource("blog.post", table=Mine, type=Other, attribute="mine_id").attribute == "mine_id"


@pytest.mark.parametrize("attribute", [None, "id"])
def test_a_type_is_a_class(attribute: str | None) -> None:
    with pytest.raises(ConfigurationError, match="type= is the class of its objects, not 'Post'"):
        Resource("blog.post", table=posts, type="Post", attribute=attribute)  # type: ignore[arg-type]


def test_a_class_that_is_mapped_to_another_table_needs_an_attribute() -> None:
    with pytest.raises(ConfigurationError, match=r"no column 'id' mapped: say attribute="):
        Resource("blog.post", table=Mine, type=Other)


def test_a_resource_and_a_reference_say_what_they_are() -> None:
    assert repr(BY_ID) == "Resource('blog.post')"
    assert str(Ref("blog.post", 42)) == "blog.post 42"
    assert Ref("blog.post", 42) == Ref("blog.post", 42) != Ref("blog.comment", 42)


def test_a_row_is_referred_to_by_its_key() -> None:
    resource = Resource("blog.post", table=posts, type=Post)
    row: Any = IteratorResult(SimpleResultMetaData(["id", "slug"]), iter([(42, "x")])).one()
    for thing in (42, {"id": 42, "slug": "x"}, {posts.c.id: 42}, row, row._mapping, Post(42)):
        assert resource.ref(thing) == Ref("blog.post", 42)
    assert Resource("blog.post", table=posts).ref(Comment(42)) == Ref("blog.post", 42)
    assert Resource("blog.post", table=renamed).ref({"post_id": 42}) == Ref("blog.post", 42)
    assert Resource("blog.post", table=Mine, type=Mine).ref(Mine(pk=42)) == Ref("blog.post", 42)
    assert Resource("blog.post", table=Mine, type=Mine).ref(Special(pk=42)) == Ref("blog.post", 42)
    assert Resource("blog.post", table=keyed(sa.Uuid())).ref({"id": ID}) == Ref("blog.post", ID)
    assert Resource("blog.post", table=posts, key="slug").ref(row) == Ref("blog.post", "x")


@pytest.mark.parametrize(
    "thing",
    [None, "42", 4.2, True, {"pk": 42}, {"id": None}, {"id": "42"}, Post(None), Post("42"), object(), ID],
    ids=["None", "str", "float", "bool", "other key", "NULL", "text", "unsaved", "text inside", "object", "uuid"],
)
def test_what_has_no_key_of_this_kind_is_no_row(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"blog\.post is int, not"):
        BY_ID.ref(thing)


def test_an_instance_of_another_class_is_no_row() -> None:
    with pytest.raises(TypeError, match=r"blog\.post, and Comment is not: give an instance of Post, or Ref\("):
        Resource("blog.post", table=posts, type=Post).ref(Comment(42))


def test_an_object_is_an_instance_or_a_reference() -> None:
    resource = Resource("blog.post", table=posts, type=Post)
    assert resource.key_in(Post(42)) == 42
    assert resource.key_in(Ref("blog.post", 42)) == 42
    assert resource.key_in(Post(None)) is None
    with pytest.raises(TypeError, match=r"about blog\.post, and Ref\(resource='blog.comment', key=42\) is not"):
        resource.key_in(Ref("blog.comment", 42))
    with pytest.raises(TypeError, match=r"and Comment is not: give an instance of Post, or Ref\(\"blog.post\", key\)"):
        resource.key_in(Comment(42))
    with pytest.raises(TypeError, match=r"and Post is not: give Ref\(\"blog.post\", key\), or resource.ref"):
        BY_ID.key_in(Post(42))


@pytest.mark.parametrize("key", [True, "42", 4.2, None, ID], ids=repr)
def test_a_key_of_another_kind_is_a_slip_of_the_pen(key: Any) -> None:
    """True would be post 1."""
    with pytest.raises(TypeError, match=f"a key of blog.post is int, not {type(key).__name__}"):
        BY_ID.key_in(Ref("blog.post", key))


@pytest.mark.parametrize(
    ("key_type", "key", "fits"),
    [
        (sa.Integer(), 2**63 - 1, True),
        (sa.Integer(), -(2**63), True),
        (sa.Integer(), 2**63, False),
        (sa.Integer(), -(2**63) - 1, False),
        (sa.Integer(), 10**400, False),
        (sa.Uuid(), UUID(int=2**128 - 1), True),
        (sa.String(50), "名" * 255, True),
        (sa.String(50), "", True),
        (sa.String(50), "a" * 256, False),
        (sa.String(50), "a\0", False),
        (sa.String(50), "\ud800", False),
    ],
    ids=[
        "largest", "smallest", "too large", "too small", "huge", "uuid", "longest", "blank", "too long", "NUL", "half",
    ],
)  # fmt: skip
def test_a_key_that_no_column_could_hold_is_nobodys(key_type: Any, key: Any, fits: bool) -> None:
    """It may come from a URL: such an object is not there, and that is all."""
    assert Resource("blog.post", table=keyed(key_type)).key_in(Ref("blog.post", key)) == (key if fits else None)


def test_a_reference_is_read_from_text() -> None:
    assert BY_ID.parse("42") == Ref("blog.post", 42)
    assert Resource("blog.post", table=keyed(sa.Uuid())).parse(str(ID)) == Ref("blog.post", ID)
    assert Resource("blog.post", table=posts, key="slug").parse("42") == Ref("blog.post", "42")
    for resource, wanted in ((BY_ID, "int"), (Resource("blog.post", table=keyed(sa.Uuid())), "UUID")):
        with pytest.raises(TypeError, match=f"a key of blog.post is {wanted}, and 'x' is none"):
            resource.parse("x")


def test_the_key_is_found_in_the_table_and_in_whatever_stands_for_it() -> None:
    alias, inner = posts.alias(), sa.select(posts).where(posts.c.number > 1).subquery()
    assert BY_ID.column_in(posts) is posts.c.id
    assert BY_ID.column_in(BY_ID) is posts.c.id
    assert BY_ID.column_in(alias) is alias.c.id
    assert BY_ID.column_in(inner) is inner.c.id
    assert BY_ID.column_in(posts.join(pairs, sa.true())) is posts.c.id
    assert BY_ID.column_in(Classical) is posts.c.id
    mine, other = Resource("blog.mine", table=Mine), aliased(Mine)
    assert mine.column_in(Mine) is Mine.__table__.c.id
    assert str(sa.select(mine.column_in(other)).select_from(other)) == str(sa.select(other.pk))


@pytest.mark.parametrize(
    "on",
    [pairs, pairs.alias(), sa.select(posts.c.slug).subquery(), Mine, Post, Post(1), None, "post", posts.c.id],
    ids=["table", "alias", "without key", "mapped", "class", "instance", "None", "name", "column"],
)
def test_the_key_is_not_found_elsewhere(on: Any) -> None:
    with pytest.raises(TypeError, match=r"about blog\.post, and .* is neither its table nor an alias of it"):
        BY_ID.column_in(on)


def test_where_the_key_is_twice_nobody_knows_which_is_meant() -> None:
    alias = posts.alias()
    both = posts.join(alias, posts.c.id == alias.c.number)
    for on in (both, sa.select(posts, alias).subquery(), sa.select(posts.c.id, posts.c.id.label("again")).subquery()):
        with pytest.raises(TypeError, match=r"has the key of blog\.post more than once: give the table, or the alias"):
            BY_ID.column_in(on)
    assert BY_ID.column_in(sa.select(posts.c.id).union(sa.select(alias.c.id)).subquery()).name == "id"
    assert Resource("blog.mine", table=Mine).column_in(Special) is Mine.__table__.c.id


def test_an_object_belongs_to_the_resource_of_its_most_specific_type() -> None:
    mine, special = Resource("blog.mine", table=Mine, type=Mine), Resource("blog.special", table=Special, type=Special)
    number = Resource("blog.number", table=posts, type=numbers.Number)
    for listed in ([mine, special, BY_ID, number], [number, BY_ID, special, mine]):
        assert resource_of(listed, Special(pk=1)) is special
        assert resource_of(listed, Mine(pk=1)) is mine
        assert resource_of(listed, 7) is number
        assert resource_of(listed, Post(1)) is None
        assert resource_of(listed, Ref("blog.mine", 1)) is mine
        assert resource_of(listed, Ref("blog.post", 1)) is BY_ID
        assert resource_of(listed, Ref("blog.other", 1)) is None
    whole = Resource("blog.whole", table=posts, type=int)
    assert resource_of([number, whole], 7) is whole


def test_resources_have_one_name_each() -> None:
    other = Resource("blog.mine", table=Mine)
    assert resources_by_name([BY_ID, other]) == {"blog.post": BY_ID, "blog.mine": other}
    with pytest.raises(ConfigurationError, match=r"'blog.post' is listed twice"):
        resources_by_name([BY_ID, Resource("blog.Post", table=posts)])
    with pytest.raises(
        ConfigurationError, match=r"'blog.post' and 'blog.page' have one type, Post: leave it out of one"
    ):
        resources_by_name([Resource(f"blog.{name}", table=posts, type=Post) for name in ("post", "page")])
    with pytest.raises(ConfigurationError, match=r"resources=\['blog.post'\]: give Resource\("):
        resources_by_name(["blog.post"])  # type: ignore[list-item]


def test_a_rule_is_about_a_permission_of_a_resource() -> None:
    declared = declared_by_name(
        [
            Permission("blog.change_post", model="post"),
            Permission("blog.read"),
            Permission("blog.mend", model="engine"),
        ]
    )
    resources = {"blog.post": BY_ID}

    def rule(perm: str) -> Rule:
        return Rule(perm, check=lambda user, post: True, where=lambda user, t: None)

    fine = rule("blog.change_post")
    assert check_rules([fine], declared, resources) == [fine]
    for wrong, message in {
        rule("blog.chnage_post"): "a rule for 'blog.chnage_post', which is not declared",
        rule("blog.read"): "which belongs to 'no resource': list that Resource",
        rule("blog.mend"): "which belongs to 'blog.engine': list that Resource",
        "blog.change_post": r"rules=\['blog.change_post'\]: give Rule\(",
        UserString("x"): "give Rule",
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            check_rules([wrong], declared, resources)  # type: ignore[list-item]
