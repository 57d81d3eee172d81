"""What the tests of forced and expired passwords share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
from sqlalchemy import select

from asgiauth import Auth, User
from asgiauth.testing import Clock

from ..conftest import FAST
from .helpers import (
    Site,
    Step,
    opened,
    steps,
    user_named,
)

NEW = "another horse"
RENEW = "/api/auth/login/password"
MANY = 50
AGED = replace(FAST, max_age=timedelta(days=90))
TOTP = Step("totp")
STEP = {"name": "password_change", "requirement": "new_password", "url": "/auth/login/password"}


async def renew(browser: httpx2.AsyncClient, password: str = NEW, **options: Any) -> httpx2.Response:
    headers = {"content-type": "application/json", **options.pop("headers", {})}
    return await browser.post(RENEW, content=json.dumps({"new_password": password}), headers=headers, **options)


@asynccontextmanager
async def place(url: str, *given: Step, **options: Any) -> AsyncIterator[Site]:
    feature, clock = steps(*given), Clock()
    async with opened(url, "ann", "bob", features=[feature], clock=clock, **options) as auth:
        yield Site(auth, feature, clock)


@asynccontextmanager
async def flagged_at(url: str, *given: Step) -> AsyncIterator[Site]:
    """Ann must choose another password."""
    async with place(url, *given) as site:
        await site.auth.users.require_password_change(await user_named(site.auth, "ann"))
        yield site


async def state_of(auth: Auth, user: User) -> tuple[bool, datetime | None] | None:
    table = auth.tables.user_state
    row = await auth._database.fetch_one(select(table).where(table.c.user_id == user.id))
    return (row["must_change_password"], row["password_changed_at"]) if row else None
