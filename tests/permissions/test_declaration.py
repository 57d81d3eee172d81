"""What an application declares: Django's four for a model, free ones, and what no table could hold (A4, A19.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asgiauth import Permission, crud
from asgiauth.exceptions import ConfigurationError

from ..conftest import make_auth


def declare(*permissions: Any) -> Any:
    return make_auth("sqlite:///never-opened.db", permissions=permissions)


def test_A4_1_crud_declares_what_django_gives_every_model() -> None:
    assert crud("blog", "post") == [
        Permission("blog.add_post", "Can add post", "post"),
        Permission("blog.change_post", "Can change post", "post"),
        Permission("blog.delete_post", "Can delete post", "post"),
        Permission("blog.view_post", "Can view post", "post"),
    ]


@pytest.mark.parametrize(
    ("model", "verbose"),
    [
        ("post", "post"),
        ("BlogPost", "blog post"),
        ("HTMLPage", "html page"),
        ("PageURL", "page url"),
        ("Page2Image", "page2 image"),
        ("OAuthToken", "o auth token"),
        ("blog_post", "blog_post"),
        ("A", "a"),
    ],
)
def test_A4_1_the_name_of_a_class_becomes_words_as_in_django(model: str, verbose: str) -> None:
    """`camel_case_to_spaces` of Django 6.1; the codename has the lower-cased class name."""
    first = crud("blog", model)[0]
    assert (first.codename, first.name, first.model) == (f"add_{model.lower()}", f"Can add {verbose}", model.lower())


def test_A4_1_a_verbose_name_is_used_as_it_is() -> None:
    assert crud("blog", "BlogPost", "Article of ours")[0].name == "Can add Article of ours"


@pytest.mark.parametrize(("actions", "names"), [(["view"], ["view_post"]), ("view", ["view_post"]), ([], [])], ids=str)
def test_A4_2_there_may_be_fewer_or_others_than_djangos_four(actions: Sequence[str], names: list[str]) -> None:
    assert [permission.codename for permission in crud("blog", "post", actions=actions)] == names


def test_A4_2_a_permission_of_ones_own_may_belong_to_a_model_or_to_none() -> None:
    free, bound = Permission("blog.publish_post"), Permission("blog.archive", "Can archive", "Post")
    assert (free.name, free.model, free.resource) == ("Can publish post", "", "")
    assert (bound.name, bound.model, bound.resource) == ("Can archive", "post", "blog.post")


def test_A4_6_A4_7_a_permission_is_told_as_django_tells_it() -> None:
    permission = crud("blog", "post")[0]
    assert permission.user_perm_str == permission.perm == "blog.add_post"
    assert str(permission) == "blog | post | Can add post"


def test_A4_4_former_names_of_a_model_are_those_of_its_permissions() -> None:
    first = crud("blog", "Post", renamed_from=["Article", "Text"])[0]
    assert first.renamed_from == ("blog.add_article", "blog.add_text")
    assert first.model_renamed_from == ("article", "text")
    assert crud("blog", "post", renamed_from="article")[0].model_renamed_from == ("article",)
    assert Permission("blog.publish", renamed_from="blog.print").renamed_from == ("blog.print",)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda: Permission("x" * 101 + ".y"), "its app has 101 characters, 100 fit", id="app"),
        pytest.param(lambda: Permission("a." + "x" * 101), "its codename has 101 characters, 100 fit", id="E012"),
        pytest.param(lambda: Permission("a.b", model="x" * 101), "its model has 101 characters, 100 fit", id="model"),
        pytest.param(lambda: Permission("a.b", "x" * 256), "its name has 256 characters, 255 fit", id="E008"),
        pytest.param(lambda: crud("a", "b", "x" * 245), "its name has 256 characters, 255 fit", id="E007"),
        pytest.param(lambda: crud("a", "x" * 94), "its codename has 101 characters, 100 fit", id="E011"),
        pytest.param(lambda: Permission("publish"), "write 'app.codename'", id="no app"),
        pytest.param(lambda: Permission("blog."), "write 'app.codename'", id="no codename"),
        pytest.param(lambda: Permission(".publish"), "write 'app.codename'", id="blank app"),
        pytest.param(lambda: Permission(7), "write 'app.codename'", id="number"),  # type: ignore[arg-type]
        pytest.param(lambda: Permission("blog.publish "), "its codename has blanks around it", id="blank at the end"),
        pytest.param(lambda: Permission(" blog.publish"), "its app has blanks around it", id="blank at the start"),
        pytest.param(lambda: Permission("blog.pub\nlish"), "or invisible characters", id="line break"),
        pytest.param(lambda: Permission("blog.x", model="\0"), "its model has blanks around it, or", id="NUL"),
        pytest.param(lambda: Permission("blog.x", "\0"), "no database can hold its name", id="NUL in the name"),
        pytest.param(lambda: Permission("blog.x", "\ud800"), "no database can hold its name", id="surrogate"),
        pytest.param(lambda: Permission("blog.x", renamed_from="y"), "write 'app.codename'", id="former without app"),
        pytest.param(lambda: Permission("blog.x", renamed_from="blog.x"), "from what it is called now", id="itself"),
        pytest.param(
            lambda: Permission("blog.x", model="post", model_renamed_from="Post"),
            "from what it is called now",
            id="its model",
        ),
    ],
)
def test_A19_4_what_no_table_could_hold_is_refused_where_it_is_declared(make: Any, says: str) -> None:
    """Django's auth.E007, E008, E011 and E012, at once instead of when somebody runs a check."""
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert says in str(refused.value)


def test_A19_4_the_longest_that_fit_are_accepted() -> None:
    """E007: 244 characters of a verbose name, for "Can change " and "Can delete " come before it."""
    assert {len(permission.name) for permission in crud("a", "x" * 93, "x" * 244)} == {252, 253, 255}
    assert max(len(permission.codename) for permission in crud("a", "x" * 93)) == 100
    longest = Permission("a" * 100 + "." + "b" * 100, "n" * 255, "m" * 100)
    assert len(longest.perm) == 201
    assert Permission("shop.می‌خرم".replace("\u200c", ""), "می‌تواند بخرد").name == "می‌تواند بخرد"


@pytest.mark.parametrize(
    ("permissions", "says"),
    [
        pytest.param(
            [*crud("blog", "post"), Permission("blog.add_post", "Other")],
            "'blog.add_post' is declared twice: give one another codename",
            id="E005",
        ),
        pytest.param([Permission("a.b"), Permission("a.b", model="c")], "'a.b' is declared twice", id="E006"),
        pytest.param(
            [Permission("blog.Publish"), Permission("blog.publish")],
            "'blog.Publish' and 'blog.publish' are the same to MariaDB: rename one",
            id="case",
        ),
        pytest.param([Permission("a.café"), Permission("a.cafe")], "are the same to MariaDB", id="accent"),
        pytest.param([Permission("Blog.x"), Permission("blog.y")], "'Blog' and 'blog' are the same", id="case of app"),
        pytest.param(["blog.publish"], "give Permission(", id="string"),
        pytest.param(
            [*crud("blog", "post", renamed_from="article"), *crud("blog", "article")],
            "'blog.add_article' is declared, and a former name of 'blog.add_post' too",
            id="former name in use",
        ),
        pytest.param(
            [*crud("blog", "post", renamed_from="article"), *crud("blog", "page", renamed_from="article")],
            "'blog.add_article' cannot be a former name of both 'blog.add_post' and 'blog.add_page'",
            id="two of one former name",
        ),
    ],
)
def test_A19_4_clashes_are_refused_when_auth_is_built(permissions: list[Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        declare(*permissions)
    assert says in str(refused.value)


def test_the_same_codename_of_two_applications_is_no_clash() -> None:
    auth = declare(Permission("blog.publish"), Permission("news.publish"))
    assert list(auth.permissions.declared) == ["blog.publish", "news.publish"]
