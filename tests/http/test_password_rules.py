"""The rules for new passwords, as people meet them: beside the field, and when one is broken (A16.6)."""

from __future__ import annotations

from asgiauth import PasswordPolicy
from asgiauth.testing import client

from ..conftest import FAST, make_auth
from ..login.helpers import Extension
from .paging import BROWSER, CHANGE, LOGIN, PASSWORD, Page, log_in, site

POLICY = PasswordPolicy(hashers=FAST.hashers, failure_deadline=0, hash_patience=60)
WEAK = (
    "This is too easy to guess. Years of our time are easy to guess. Add a word or two, the less expected the better. "
    "Leave out years of our time. Leave out years that have to do with you."
)


class NoScript:
    def validate(self, password: str, user: object) -> None:
        """Everything is allowed."""

    def get_help_text(self) -> str:
        return "No <script>alert(1)</script>, please."


async def test_A16_6_the_rules_are_beside_the_field_and_escaped(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, passwords=POLICY, features=[Extension(password_validators=[NoScript()])])
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", password=PASSWORD, validate=False)
        await log_in(browser)
        answer = await browser.get(CHANGE)
        assert Page(answer).texts("li")[:6] == auth.passwords.help_texts()
        assert auth.passwords.help_texts()[5] == "No <script>alert(1)</script>, please."
        assert "<script>alert" not in answer.text
        assert "Not one that many people use." not in (await browser.get(LOGIN)).text


async def test_A16_6_whatever_is_wrong_is_said_in_words(sqlite_url: str) -> None:
    auth = make_auth(sqlite_url, passwords=POLICY)
    async with auth, client(site(auth), headers=BROWSER) as browser:
        await auth.create_tables()
        await auth.users.create("ann", email="ann@site.example", password=PASSWORD, validate=False)
        await log_in(browser)
        answer = await browser.post(CHANGE, data={"old_password": PASSWORD, "new_password": "Ann2026"})
        assert (answer.status_code, Page(answer).texts("p")) == (
            422,
            [
                "Use at least 8 characters.",
                "This is little more than a name of yours, or a word of this site.",
                WEAK,
            ],
        )
