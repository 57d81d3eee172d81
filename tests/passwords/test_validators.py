"""Django's validators: its options, codes and verdicts (A16.1, A16.2, A16.4), and how all of them are asked (A16.5)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asgiauth import PasswordPolicy
from asgiauth.exceptions import ConfigurationError, PasswordRejected, Reason, Unavailable
from asgiauth.passwords import (
    CommonPasswordValidator,
    ContextWordValidator,
    MinimumLengthValidator,
    NumericPasswordValidator,
    Passwords,
    PasswordValidator,
    UserAttributeSimilarityValidator,
)
from asgiauth.texts import Languages, texts

from ..conftest import FAST

GOLDEN = json.loads((Path(__file__).parent.parent / "parity" / "golden" / "validators.json").read_text())
ANN = SimpleNamespace(username="testclient", first_name="Test", last_name="Client", email="testclient@example.com")


def reason(validator: PasswordValidator, password: str, user: object = None) -> Reason | None:
    """The only one that a plain validator has, if any."""
    try:
        validator.validate(password, user)
    except PasswordRejected as error:
        (found,) = error.reasons
        return found
    return None


def code(validator: PasswordValidator, password: str, user: object = None) -> str:
    found = reason(validator, password, user)
    return found.code if found else ""


def passwords(*validators: Any, **options: Any) -> Passwords:
    return Passwords(PasswordPolicy(hashers=FAST.hashers, for_tests=True, validators=validators, **options))


async def reasons(judge: Passwords, password: str, user: object = None) -> list[str]:
    try:
        await judge.validate(password, user)
    except PasswordRejected as error:
        return [reason.code for reason in error.reasons]
    return []


@pytest.mark.parametrize("place", range(-1, len(GOLDEN["users"])))
def test_A16_django_gives_the_same_verdicts(place: int) -> None:
    """A16.1, A16.2, A16.4: what Django 6.1 says to the same passwords of the same users, likeness at 0.7 and at 0.4."""
    user = None if place < 0 else SimpleNamespace(**GOLDEN["users"][place])
    expected = [verdict[1:] for verdict in GOLDEN["verdicts"] if verdict[0] == place]
    found = []
    for password, *_ in expected:
        alike = [reason(UserAttributeSimilarityValidator(max_similarity=bound), password, user) for bound in (0.7, 0.4)]
        found.append(
            [
                password,
                code(MinimumLengthValidator(), password, user) == "password_too_short",
                *(one.params["verbose_name"] if one else "" for one in alike),
                code(NumericPasswordValidator(), password, user) == "password_entirely_numeric",
            ]
        )
    assert found == expected
    assert len(expected) > 30


def test_A16_1_length_counts_characters_and_the_limit_is_told() -> None:
    assert reason(MinimumLengthValidator(), "1234567") == Reason("password_too_short", {"min_length": 8})
    assert reason(MinimumLengthValidator(3), "\u00e9\u00e9") == Reason("password_too_short", {"min_length": 3})
    assert reason(MinimumLengthValidator(min_length=3), "\u00e9\u00e9\u00e9") is None


def test_A16_2_a_password_like_an_attribute_of_the_user_is_refused() -> None:
    alike = UserAttributeSimilarityValidator()
    assert reason(alike, "testclient") is None
    assert reason(alike, "testclient", ANN) == Reason("password_too_similar", {"verbose_name": "username"})
    assert reason(alike, "example.com", ANN) == Reason("password_too_similar", {"verbose_name": "email"})
    assert reason(UserAttributeSimilarityValidator(user_attributes=["first_name"]), "testclient", ANN) is None
    assert reason(UserAttributeSimilarityValidator(max_similarity=0.3), "testclient", ANN) is not None
    assert reason(UserAttributeSimilarityValidator(max_similarity=1), "TestClient", ANN) is not None
    assert reason(UserAttributeSimilarityValidator(max_similarity=1), "testclient1", ANN) is None


def test_A16_2_a_property_is_an_attribute_and_what_is_no_text_is_none() -> None:
    class Holder:
        age = 12345678

        @property
        def username(self) -> str:
            return "foobar"

    alike = UserAttributeSimilarityValidator(user_attributes=["age", "nickname", "username"])
    assert reason(alike, "foobar", Holder()) == Reason("password_too_similar", {"verbose_name": "username"})
    assert reason(alike, "12345678", Holder()) is None


@pytest.mark.parametrize(
    "options", [{"max_similarity": 0.09}, {"max_similarity": float("nan")}, {"user_attributes": "username"}]
)
def test_A16_2_a_comparison_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="UserAttributeSimilarityValidator"):
        UserAttributeSimilarityValidator(**options)


def test_A16_4_digits_of_any_script_are_not_enough() -> None:
    for password in ("12345678", "\u0663\u0664\u0665"):
        assert reason(NumericPasswordValidator(), password) == Reason("password_entirely_numeric")
    assert reason(NumericPasswordValidator(), "1234 5678") is None


def test_A16_1_to_A16_4_words_are_in_the_texts_and_can_be_ones_own() -> None:
    """Codes and numbers from the rules, sentences from the texts; `get_error_message` of Django 5.2 is this."""
    english = texts()
    assert english.problem("password_too_short", min_length=9) == "Use at least 9 characters."
    assert english.problem("password_too_similar", verbose_name="email") == "This is too much like your e-mail address."
    assert english.problem("password_too_similar", verbose_name="nick_name") == "This is too much like your nick name."
    german = Languages({"de": {"error.password_too_similar": "Zu \u00e4hnlich."}})("de")
    assert german.problem("password_too_similar", verbose_name="email") == "Zu \u00e4hnlich."
    for word in ("common", "obvious", "weak"):
        assert english.problem(f"password_too_{word}") != english.problem("")
        assert f"rule.password_too_{word}" in english


class Asked:
    """Notes who asks it, and in which thread."""

    def __init__(self, code: str = "") -> None:
        self.code = code
        self.threads: list[threading.Thread] = []
        self.changed: list[tuple[str, object]] = []

    def validate(self, password: str, user: object) -> None:
        self.threads.append(threading.current_thread())
        if self.code:
            raise PasswordRejected([Reason(self.code), Reason(f"{self.code}_too")])

    def password_changed(self, password: str, user: object) -> None:
        self.threads.append(threading.current_thread())
        self.changed.append((password, user))


class AskedLater:
    def __init__(self, code: str) -> None:
        self.code = code
        self.changed: list[tuple[str, object]] = []

    async def validate(self, password: str, user: object) -> None:
        await asyncio.sleep(0)
        if self.code:
            raise PasswordRejected([Reason(self.code)])

    async def password_changed(self, password: str, user: object) -> None:
        self.changed.append((password, user))

    def get_help_text(self) -> str:
        return "No poetry, <b>please</b>."


class Disguised(AskedLater):
    """Plain to look at; its answer is to be awaited."""

    def validate(self, password: str, user: object) -> Any:
        return super().validate(password, user)

    def password_changed(self, password: str, user: object) -> Any:
        return super().password_changed(password, user)


async def test_A16_6_all_validators_are_asked_and_all_reasons_told_in_order() -> None:
    judge = passwords(
        AskedLater("late"), Asked("plain"), Disguised("disguised"), Asked(), Disguised(""), AskedLater("")
    )
    assert await reasons(judge, "xy") == ["password_too_short", "late", "plain", "plain_too", "disguised"]
    assert await reasons(passwords(), "long enough") == []


async def test_plain_validators_run_together_in_a_thread_that_hashes() -> None:
    """Never on the event loop, and never more at once than hashes do (D-02)."""
    one, other = Asked(), Asked()
    await passwords(one, other).validate("long enough")
    assert [one.threads, other.threads] == [[one.threads[0]]] * 2
    assert one.threads[0].name.startswith("asgiauth-hashing")


async def test_D_02_a_slow_validator_fills_its_own_queue_and_holds_up_no_hash() -> None:
    release = threading.Event()

    class Waiting:
        def validate(self, password: str, user: object) -> None:
            release.wait(60)

    judge = passwords(Waiting(), hash_slots=1, hash_queue=0, hash_patience=60)
    first = asyncio.create_task(judge.validate("long enough"))
    await asyncio.sleep(0)
    try:
        with pytest.raises(Unavailable):
            await judge.validate("long enough")
        assert await judge.verify("long enough", await judge.hash("long enough"))
    finally:
        release.set()
    await first


async def test_an_error_of_a_validator_is_nobodys_no() -> None:
    class Broken:
        def validate(self, password: str, user: object) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await passwords(Broken()).validate("long enough")


async def test_A16_5_every_validator_that_wants_to_is_told_of_a_changed_password() -> None:
    plain, later, disguised = Asked(), AskedLater(""), Disguised("")
    await passwords(NumericPasswordValidator(), plain, later, disguised).password_changed("new one", ANN)
    assert plain.changed == later.changed == disguised.changed == [("new one", ANN)]
    assert plain.threads != [threading.current_thread()]


def test_A16_6_help_texts_are_the_rules_in_words() -> None:
    judge = passwords(
        UserAttributeSimilarityValidator(),
        CommonPasswordValidator(),
        ContextWordValidator(),
        NumericPasswordValidator(),
        MinimumLengthValidator(20),
        AskedLater(""),
        Asked(),
        min_length=12,
    )
    assert judge.help_texts() == [
        "At least 12 characters.",
        "Not much like your name or e-mail address.",
        "Not one that many people use.",
        "More than a name of yours, or a word of this site.",
        "Not only digits.",
        "At least 20 characters.",
        "No poetry, <b>please</b>.",
    ]
    german = Languages({"de": {"rule.password_too_short": "Mindestens {min_length} Zeichen."}})("de")
    assert judge.help_texts(german)[0] == "Mindestens 12 Zeichen."
    assert passwords().help_texts() == ["At least 8 characters."]


HOSTILE = {
    "a NUL": "nul\0inside it",
    "emoji": "\U0001f511\U0001f40e\U0001f50b" * 3,
    "combining": "e\u0301" * 10,
    "a capital that grows": "\u0130" * 10,
    "1,024 bytes": "0123456789abcdef" * 64,
    "signs alone": "!" * 1024,
    "a ReDoS": "a" + "-_" * 500 + "a",
}


@pytest.mark.parametrize("password", HOSTILE.values(), ids=HOSTILE)
async def test_D_08_what_can_be_stored_is_judged_as_it_is(password: str) -> None:
    user = SimpleNamespace(username="-" * 150, first_name="a " * 75, last_name=password[:150], email="x@" + "y." * 120)
    judge = Passwords(PasswordPolicy(hash_patience=60))
    for somebody in (None, ANN):
        assert set(await reasons(judge, password, somebody)) <= {"password_too_common", "password_too_weak"}
    before = time.thread_time()
    for validator in judge.validators:
        reason(validator, password, user)
    assert time.thread_time() - before < 1


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", ["password_too_short", "password_blank"]),
        ("\ud800 is no character", ["password_not_unicode"]),
        ("x" * 1025, ["password_too_long"]),
        ("testclient" * 100_000, ["password_too_long"]),
    ],
)
async def test_D_06_D_08_what_cannot_be_stored_is_refused_for_that_and_nobody_is_asked(
    password: str, expected: list[str]
) -> None:
    asked = Asked("asked")
    assert await reasons(passwords(asked), password, ANN) == expected
    assert asked.threads == []


def test_a_megabyte_costs_a_validator_that_is_asked_directly_little() -> None:
    """CVE-2021-45115: the likeness to a short name is known without looking."""
    before = time.thread_time()
    for validator in Passwords(PasswordPolicy()).validators:
        for password in ("a" * 1_000_000, "testclient " * 100_000, "-" * 999_999 + "a"):
            code(validator, password, ANN)
    assert time.thread_time() - before < 5
