"""What changes between the first proof and the session."""

from __future__ import annotations

from typing import Any

import pytest

from asgiauth import Auth, User
from asgiauth.exceptions import ConfigurationError, LoginRefused
from asgiauth.login import LoginAttempt

from ..conftest import client, make_auth
from ..sites import PASSWORD
from .helpers import Extension, opened, site, user_named


class Meanwhile:
    """A step that does not apply, and does something while it is asked."""

    name = requirement = path = "meanwhile"

    def __init__(self) -> None:
        self.auth: Auth | None = None
        self.changes_password = False

    async def applies_to(self, user: User, attempt: LoginAttempt) -> bool:
        if self.auth is not None:
            await self.auth.sessions.bump_epoch(user)
        return False


async def login(browser: Any) -> int:
    answer = await browser.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
    status: int = answer.status_code
    return status


async def test_D13_a_step_that_is_set_up_meanwhile_is_not_passed_by(url: str) -> None:
    """It raises the epoch, and the login that did not see it is refused; the next one does."""
    step = Meanwhile()
    async with opened(url, "ann", features=[Extension(login_steps=[step])]) as auth, client(site(auth)) as browser:
        step.auth = auth
        assert await login(browser) == 401
        step.auth = None
        assert await login(browser) == 200


async def test_a_password_that_was_changed_since_the_user_was_read_refuses_the_login(sqlite_url: str) -> None:
    """Where there are steps that is seen before they are asked."""
    async with opened(sqlite_url, "ann", features=[Extension(login_steps=[Meanwhile()])]) as auth:

        async def stale(request: Any) -> str:
            ann = await user_named(auth, "ann")
            await auth.users.set_password(ann, "another good horse")
            with pytest.raises(LoginRefused, match="has changed"):
                await request.auth.login(ann)
            return "refused"

        async with client(site(auth, stale=stale)) as browser:
            assert (await browser.get("/stale")).json() == "refused"


@pytest.mark.parametrize("lacks", ["requirement", "path"])
def test_a_step_without_requirement_or_path_is_refused(sqlite_url: str, lacks: str) -> None:
    step = Meanwhile()
    setattr(step, lacks, "")
    with pytest.raises(ConfigurationError, match="meanwhile"):
        make_auth(sqlite_url, features=[Extension(login_steps=[step])])
