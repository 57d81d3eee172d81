"""A1.9, A2.18: Django's `migrate`, `flush`, `dumpdata` and `loaddata` on a database that asgiauth works on too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asgiauth import Resource
from asgiauth.db.migrate import upgrade

from ..conftest import make_auth
from ..parity.blog import POST, Post, posts
from ..sites import PASSWORD
from .driving import LIKE_DJANGO, PERMISSIONS, Django, beside, both, log_in_at_django, log_in_here, who

RESOURCES = [Resource("blog.post", table=posts, type=Post)]


@pytest.mark.parametrize("first", ["create_tables", "upgrade"])
async def test_A1_9_django_migrates_what_asgiauth_made(bare_django: Django, url: str, first: str) -> None:
    """Users, groups and permissions that are there stay; from then on it is a shared database like any other."""
    auth = make_auth(url, passwords=LIKE_DJANGO, permissions=PERMISSIONS)
    async with auth:
        if first == "create_tables":
            await auth.create_tables()
        await upgrade(auth, for_django=True)
        await auth.permissions.sync()
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD, is_staff=True)
        await auth.groups.create("editors", ["blog.publish_post", "shop.close"])
        await auth.groups.add(ann, "editors")
    said = await bare_django("migrate")
    assert "Applying blog.0001_initial... OK" in said
    assert "Applying auth." not in said
    assert "Applying contenttypes." not in said
    assert "No migrations to apply." in await bare_django("migrate")
    async with beside(url) as site:
        assert site.auth.permissions.keeps is False
        browser = both(bare_django, site.app)
        assert await log_in_at_django(browser)
        assert await log_in_here(browser, "ann@example.com")
        assert await who(browser, site) == ("ann", "ann")
        assert (await browser.get("/django/publish/")).status_code == 200
        assert (await browser.get("/django/admin/")).status_code == 200
        assert await bare_django("permissions_of", "ann") == ["blog.publish_post", "shop.close"]
        await bare_django("delete", "ann")
        assert await who(browser, site) == ("", "")


async def test_a_flush_of_djangos_takes_everybody_along(django: Django, url: str) -> None:
    """It empties its tables and knows nothing of ours. Who comes next, by the same name and the same id, has nothing of
    those who were there; what asgiauth declares is back with its next `sync()`."""
    async with beside(url, resources=RESOURCES) as site:
        auth = site.auth
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        readers = await auth.groups.create("readers")
        await auth.groups.add(ann, "readers")
        for subject in (ann, readers):
            await auth.permissions.grant(subject, "blog.change_post", POST)
        await auth.permissions.grant(ann, "shop.close")
        browser = both(django, site.app)
        assert await log_in_here(browser)
        await django("flush")
        assert await who(browser, site) == ("", "")
        assert not await log_in_here(browser, "ann@example.com")
        assert await auth.groups.all() == []
        assert await auth.permissions.sync() == ["shop.close"]
        eve = await auth.users.create("eve", email="eve@example.com", password=PASSWORD)
        await auth.groups.add(eve, (await auth.groups.create("writers")).name)
        assert await auth.permissions.of(eve, POST) == frozenset()
        assert await auth.permissions.of(eve) == frozenset()
        assert await who(browser, site) == ("", "")
        again = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        assert again.id != eve.id
        assert await log_in_here(browser, "ann@example.com")
        assert await who(browser, site) == ("", "ann")
        await django("flush")
        assert await django("usernames") == []


@pytest.mark.parametrize("natural", [True, False], ids=["natural", "ids"])
async def test_A2_18_what_asgiauth_made_is_dumped_and_loaded_by_django(
    django: Django, url: str, natural: bool, tmp_path: Path
) -> None:
    """With its natural keys, which are names, or by ids; permissions that no model has among them."""
    async with beside(url) as site:
        auth, file = site.auth, tmp_path / "dump.json"
        ann = await auth.users.create("ann", email="ann@example.com", password=PASSWORD)
        await auth.groups.create("editors", ["blog.publish_post", "shop.close"])
        await auth.groups.add(ann, "editors")
        await auth.permissions.grant(ann, "blog.add_post")
        browser = both(django, site.app)
        dumped = {"natural_foreign": natural, "natural_primary": natural, "output": str(file)}
        await django("command", "dumpdata", "contenttypes", "auth", **dumped)
        (row,) = [row for row in json.loads(file.read_text()) if row["model"] == "auth.user"]
        assert ("pk" in row) is not natural
        assert (row["fields"]["groups"] == [["editors"]]) is natural
        await django("flush")
        if not natural:  # their ids are taken by those that the flush has made anew
            await django.run(
                "from django.contrib.contenttypes.models import ContentType as C\nC.objects.all().delete()"
            )
        said = await django("command", "loaddata", str(file))
        assert "Installed" in said
        assert await log_in_here(browser, "ann@example.com")
        assert await log_in_at_django(browser)
        assert await who(browser, site) == ("ann", "ann")
        loaded = await auth.users.get_by(username="ann")
        assert loaded is not None
        expected = {"blog.add_post", "blog.publish_post", "shop.close"}
        assert await auth.permissions.of(loaded) == set(await django("permissions_of", "ann")) == expected
        assert await auth.permissions.sync() == []


async def test_A2_18_a_fixture_of_djangos_makes_users_for_both(django: Django, url: str, tmp_path: Path) -> None:
    """Written by hand, with natural keys: by name alone."""
    encoded = await django.run(
        "from django.contrib.auth.hashers import make_password\nresult = make_password(password)", password=PASSWORD
    )
    rows: list[dict[str, Any]] = [
        {"model": "auth.group", "fields": {"name": "editors", "permissions": [["publish_post", "blog", "post"]]}},
        {
            "model": "auth.user",
            "fields": {
                "username": "ann",
                "email": "ann@example.com",
                "password": encoded,
                "groups": [["editors"]],
                "user_permissions": [["close", "shop", ""]],
            },
        },
    ]
    file = tmp_path / "users.json"
    file.write_text(json.dumps(rows))
    async with beside(url) as site:
        await django("command", "loaddata", str(file))
        browser = both(django, site.app)
        assert await log_in_here(browser, "ann@example.com")
        ann = await site.auth.users.get_by(username="ann")
        assert ann is not None
        assert await site.auth.permissions.of(ann) == {"blog.publish_post", "shop.close"}
        assert [member.username for member in await site.auth.groups.members("editors")] == ["ann"]
