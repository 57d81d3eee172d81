"""Rows A2.18, A15: users that Django made, in a database of their own after `asgiauth import-django`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgiauth import PasswordPolicy
from asgiauth.cli.root import root
from asgiauth.passwords import Argon2Hasher, PBKDF2Hasher

from ..sites import PASSWORD, connected
from .driving import Django

POLICY = PasswordPolicy(
    hashers=[Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1), PBKDF2Hasher(iterations=1000)],
    validators=(),
    failure_deadline=0,
)
MODULE = """
from tests.conftest import make_auth
auth = make_auth({url!r})
"""


async def test_A2_18_what_django_made_is_here_under_the_same_ids_and_logs_in(
    django: Django, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything that it may do; the hash is upgraded at the login, as anywhere that is not shared. The site
    notices nothing."""
    ids = [
        await django("create_user", "ann", email="Ann@EXAMPLE.com", password=PASSWORD),
        await django("create_user", "bob"),
        await django("create_user", "root", superuser=True, password=PASSWORD),
    ]
    await django("create_group", "editors", ["blog.add_post", "blog.publish_post"], ["ann"])
    await django("grant", "bob", "blog.view_post")
    before = [await django("user", name) for name in ("ann", "bob", "root")]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imported_from_django", raising=False)
    target = f"sqlite:///{tmp_path / 'own.db'}"
    (tmp_path / "imported_from_django.py").write_text(MODULE.format(url=target))
    async with connected(target, passwords=POLICY) as auth:
        command = ["--app", "imported_from_django:auth", "import-django", url]
        said = await asyncio.to_thread(CliRunner().invoke, root, command)
        assert (said.exit_code, said.stderr) == (0, "")
        users = [await auth.users.find(name) for name in ("ann@example.com", "bob", "ROOT")]
        assert [user and user.id for user in users] == ids
        ann, bob, _ = [user for user in users if user]
        assert await auth.permissions.of(ann) == {"blog.add_post", "blog.publish_post"}
        assert await auth.permissions.of(bob) == {"blog.view_post"}
        assert [await auth.users.check_password(ann, text) for text in ("wrong", PASSWORD)] == [False, True]
        assert not await auth.users.check_password(bob, "")
        upgraded = await auth.users.get(ann.id)
        assert upgraded is not None
        assert upgraded.password.startswith("argon2$")
    assert [await django("user", name) for name in ("ann", "bob", "root")] == before
    assert await django("authenticate", "ann", PASSWORD) == "ann"
