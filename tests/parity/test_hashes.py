"""A15, A25: one password column for two frameworks. Django's hashes verify here, ours verify there, and its ORM works
on the users that asgiauth made."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asgiauth import Auth, PasswordPolicy
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    ScryptHasher,
)

from .django_interpreter import find

HERE = Path(__file__).parent
DJANGO = find()
GOLDEN: dict[str, list[list[str]]] = json.loads((HERE / "golden" / "hashes.json").read_text())
DJANGOS: list[Hasher] = [
    PBKDF2Hasher(),
    PBKDF2SHA1Hasher(),
    Argon2Hasher(time_cost=2, memory_cost=102400, parallelism=8, salt_len=22),
    BCryptSHA256Hasher(),
    BCryptHasher(),
    ScryptHasher(),
    MD5Hasher(),
]
"""At the cost of Django 6.1."""
CHEAP: list[Hasher] = [
    PBKDF2Hasher(iterations=1000),
    PBKDF2SHA1Hasher(iterations=1000),
    Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),
    BCryptSHA256Hasher(rounds=4),
    BCryptHasher(rounds=4),
    ScryptHasher(work_factor=1024, block_size=8, parallelism=1),
    MD5Hasher(),
]


async def django(script: str, *arguments: str, stdin: Any = None) -> Any:
    """What a script prints when Django's own interpreter runs it, beside this file."""
    command = [str(DJANGO), *(["-c", script] if "\n" in script else [str(HERE / script)]), *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, input=json.dumps(stdin).encode(), stdout=subprocess.PIPE, check=True, cwd=HERE
    )
    return json.loads(done.stdout or "null")


@pytest.mark.parametrize("algorithm", GOLDEN)
async def test_what_django_hashed_verifies(algorithm: str) -> None:
    """A15.1 to A15.7: non-ASCII, emoji, 200 characters, and blanks at both ends."""
    hasher = next(hasher for hasher in DJANGOS if hasher.algorithm == algorithm)
    passwords = Passwords(PasswordPolicy(hashers=[hasher], validators=(), hash_patience=60))
    pairs = GOLDEN[algorithm]
    answers = await asyncio.gather(*(passwords.verify_and_upgrade(password, encoded) for password, encoded in pairs))
    assert (len(pairs), answers) == (4 if algorithm == "bcrypt" else 5, [(True, None)] * len(pairs))


async def test_A15_8_the_default_hashers_verify_whatever_djangos_do() -> None:
    """And rewrite it. MD5 is in no default list, here and there."""
    passwords = Passwords(PasswordPolicy(validators=(), hash_patience=60))
    for algorithm, ((password, encoded), *_) in GOLDEN.items():
        right, stronger = await passwords.verify_and_upgrade(password, encoded)
        assert right is (algorithm != "md5")
        assert (stronger is None) is (algorithm in ("md5", "argon2"))


if DJANGO is not None:

    async def test_what_asgiauth_hashed_verifies_in_django() -> None:
        """A15.1 to A15.7: at Django's own cost and at others, and D-08: byte for byte."""
        texts = ["correct horse", "l\u00e8tmein", "\U0001f511" * 18, " blanks ", "nul\0inside", "x" * 1024]
        pairs = [[texts[1], hasher.encode(texts[1])] for hasher in (*DJANGOS, Argon2Hasher())]
        for hasher in CHEAP:
            fit = texts[:4] if hasher.algorithm == "bcrypt" else texts
            pairs += [[text, hasher.encode(text)] for text in fit]
        wrong = [["wrong", encoded] for _, encoded in pairs if not encoded.startswith("pbkdf2_sha256")]
        answers = await django("django_hashes.py", "verify", stdin=pairs + wrong)
        assert answers == [True] * len(pairs) + [False] * len(wrong)
        assert {encoded.partition("$")[0] for _, encoded in pairs} == set(GOLDEN)

    async def test_A15_14_what_asgiauth_hashed_as_django_does_django_leaves_alone() -> None:
        """Parameters, version and salt are Django's own, so a login there ends no session here."""
        pairs = [["x", hasher.encode("x")] for hasher in DJANGOS]
        assert await django("django_hashes.py", "must_update", stdin=pairs) == [False] * len(pairs)

    ORM = """
import json, sys
from datetime import datetime, timezone
import django
from django.conf import settings
from django_migrate import database

job = json.load(sys.stdin)
settings.configure(
    DATABASES={"default": database(job["url"])},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    PASSWORD_HASHERS=["__main__.Quick", "django.contrib.auth.hashers.Argon2PasswordHasher"],
    USE_TZ=True,
)
django.setup()
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError


class Quick(PBKDF2PasswordHasher):
    iterations = 1000


ann, bob, eve = [User.objects.get_by_natural_key(name) for name in ("ann", "bob", "eve")]
names = [field.name for field in User._meta.concrete_fields if field.name != "password"]
answer = {
    "ann": {name: getattr(ann, name) for name in names},
    "login": authenticate(username="ann", password=job["password"]) == ann,
    "wrong": authenticate(username="ann", password="wrong"),
    "unusable": [eve.has_usable_password(), authenticate(username="eve", password="!")],
}
dora = User.objects.create_user("dora", "Dora@EXAMPLE.com", job["password"], first_name="D")
dora.last_login = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc)
dora.save()
dora.groups.add(Group.objects.create(name="editors"))
kind = ContentType.objects.create(app_label="blog", model="post")
dora.user_permissions.add(Permission.objects.create(name="Can post", content_type=kind, codename="add_post"))
answer["has_perm"] = dora.has_perm("blog.add_post")
User.objects.create_superuser("root", password=job["password"])
bob.set_password("new " + job["password"])
bob.email = "bobby@example.com"
bob.save()
eve.delete()
try:
    User.objects.create_user("ann")
except IntegrityError:
    answer["taken"] = True
print(json.dumps(answer, default=lambda value: value.isoformat()))
"""

    async def test_djangos_orm_and_asgiauth_share_one_database(auth: Auth, url: str) -> None:
        """A1, A2, A15.14: on tables that asgiauth made, each reads, checks and changes what the other wrote."""
        password, joined = "correct horse", datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
        ann = await auth.users.create_superuser(
            "ann", email="Ann@Example.com", password=password, first_name="Ren\u00e9 \U0001f511", date_joined=joined
        )
        bob = await auth.users.create("bob", email="bob@example.com", password=password)
        eve = await auth.users.create("eve", email="eve@example.com")
        answer = await django(ORM, stdin={"url": url, "password": password})
        wanted = {
            name: value.replace("+00:00", "") if name == "date_joined" else value
            for name, value in ann.as_dict().items()
        }
        told = answer["ann"]
        assert told | {"date_joined": told["date_joined"].replace("+00:00", "")} == wanted
        assert (answer["login"], answer["wrong"], answer["unusable"], answer["taken"]) == (
            True,
            None,
            [False, None],
            True,
        )
        assert answer["has_perm"] is True

        users = auth.users
        dora, root = await users.find("dora"), await users.find("root")
        assert dora is not None
        assert root is not None
        assert (dora.email, dora.first_name, dora.is_active, dora.is_staff) == ("Dora@example.com", "D", True, False)
        assert dora.last_login == datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
        assert (root.is_staff, root.is_superuser, root.email) == (True, True, "")
        assert (await users.page(group="editors")).items == [dora]
        rewritten = await users.get(ann.id)
        assert rewritten is not None
        assert rewritten.password != ann.password  # Django's login made it Django's first choice
        for user, text in ((ann, password), (dora, password), (bob, f"new {password}")):
            assert await users.check_password(user, text)
        assert not await users.check_password(bob, password)
        assert [await users.find(name) for name in ("bob@example.com", "bobby@example.com")] == [None, bob]
        assert [await users.find(name) for name in ("eve", "eve@example.com")] == [None, None]
        assert (await users.create("eve", email="eve@example.com")).id != eve.id
        await users.delete(dora)
        assert (await users.page(group="editors")).items == []
