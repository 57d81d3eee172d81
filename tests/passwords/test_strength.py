"""How hard a password is to guess: zxcvbn's answer in our codes and words (A16.6, B4)."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest
import zxcvbn_rs_py
from hypothesis import given, settings
from hypothesis import strategies as st

from asgiauth import PasswordPolicy
from asgiauth.exceptions import ConfigurationError, MissingDependency
from asgiauth.passwords import Passwords, PasswordStrength, StrengthValidator, recommended_validators
from asgiauth.passwords.validators import strength
from asgiauth.texts import texts

from ..conftest import FAST
from .test_validators import passwords, reason

ANN = SimpleNamespace(username="xqkestrel", first_name="Ann", last_name="Umbrella", email="a.kestrel@site.example")


@pytest.mark.parametrize(
    ("password", "score", "warning"),
    [
        ("password", 0, "top_10"),
        ("trustno1", 0, "top_100"),
        ("qwertyqwertyqwerty", 0, "repeated_part"),
        ("aaaaaaaaa", 0, "repeated_character"),
        ("asdfghjkl;'", 1, "keyboard_row"),
        ("", 0, None),
        ("k2", 0, None),
        ("8k$", 1, None),
        ("8k$q2!", 2, None),
        ("8F$k2!q", 2, None),
        ("8F$k2!qZ", 3, None),
        ("8F$k2!qZe7", 4, None),
        ("\0", 0, None),
        ("\ud800" * 20, 0, None),
        ("correct horse battery staple", 4, None),
        (
            "\U0001f511\U0001f40e\U0001f50b\U0001f4ce\U0001f30b\U0001f9ca\U0001fab5\U0001f335\U0001f6f6\U0001f9ed\U0001fa81",
            4,
            None,
        ),
    ],
)
def test_B4_the_score_and_the_warning(password: str, score: int, warning: str | None) -> None:
    found = StrengthValidator().strength(password)
    assert (found.score, found.warning) == (score, warning)
    assert (found == PasswordStrength(score)) == (score > 2 or password.startswith("\ud800"))


def test_B4_a_weak_password_is_refused_with_what_would_mend_it() -> None:
    refused = reason(StrengthValidator(), "summer2024!")
    assert refused is not None
    assert refused.code == "password_too_weak"
    assert refused.params == {
        "score": 2,
        "min_score": 3,
        "warning": "like_a_common_one",
        "suggestions": ("another_word",),
    }
    assert texts().problem(refused.code, "new_password", **refused.params) == (
        "This is too easy to guess. It is like a password that many people use. "
        "Add a word or two, the less expected the better."
    )
    assert reason(StrengthValidator(min_score=2), "summer2024!") is None
    assert reason(StrengthValidator(), "kestrel umbrella") is None


def test_a_refusal_without_advice_is_a_sentence_all_the_same() -> None:
    assert texts().problem("password_too_weak") == "This is too easy to guess."
    assert texts().advice(None) == ""


def test_B4_names_of_the_user_and_words_of_the_site_make_it_no_stronger() -> None:
    assert StrengthValidator().strength("xqkestrel-44-zy").score == 4
    assert StrengthValidator().strength("xqkestrel-44-zy", ANN).score == 3
    assert StrengthValidator(words=["zyqqorblatt"]).strength("zyqqorblatt44").score == 1


def test_every_warning_and_suggestion_of_zxcvbn_has_a_code_and_a_text() -> None:
    for kind, codes in (("Warning", strength.WARNINGS), ("Suggestion", strength.SUGGESTIONS)):
        names = {name for name in dir(getattr(zxcvbn_rs_py, kind)) if not name.startswith("_")}
        assert set(codes) == names
        assert len(set(codes.values())) == len(names)
        assert {code for code in codes.values() if f"strength.{kind.lower()}.{code}" not in texts()} == set()


def test_what_only_a_newer_zxcvbn_says_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strength, "WARNINGS", {})
    monkeypatch.setattr(strength, "SUGGESTIONS", {})
    assert StrengthValidator().strength("password") == PasswordStrength(0)


def test_signs_that_stand_for_letters_are_not_tried_in_every_combination() -> None:
    """zxcvbn takes half a second for 23 different ones, and holds the interpreter's lock."""
    hostile = ("<369&#!1/|0$5+7%24@8({[" * 3)[:64]
    bounded = strength._bounded(hostile)
    assert len(bounded) == len(hostile)
    assert len(set(bounded) & set(strength._SIGNS)) == 0  # beside ten digits
    assert strength._bounded("p@$$w{}rd! (+[#<") == "p@$$w{}rd! (+~~~"
    assert StrengthValidator().strength("7$2!9&4%1#@(").score == 4


def test_a_long_password_is_judged_by_its_beginning() -> None:
    """The time that zxcvbn takes grows with the square of the length."""
    beginning = "correct horse battery staple, and then some more of it, and more"
    assert len(beginning) == strength.MAX_CHARACTERS
    assert StrengthValidator().strength(beginning + "a" * 1_000_000) == StrengthValidator().strength(beginning)
    crowd = SimpleNamespace(username="x" * 100_000, first_name="", last_name="", email="")
    assert StrengthValidator(words=["word"] * 10_000).strength("correct horse battery staple", crowd).score == 4


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=20))
def test_no_text_is_too_strange(password: str, name: str) -> None:
    """A panic of the Rust code would be no `Exception`."""
    found = StrengthValidator(words=[name]).strength(password, SimpleNamespace(username=name))
    assert found.score in range(5)


def test_lone_surrogates_are_worth_nothing_wherever_they_are() -> None:
    assert StrengthValidator(words=["\ud800"]).strength("correct horse battery staple").score == 0
    assert StrengthValidator().strength("correct horse battery staple\udfff").score == 0


@pytest.mark.parametrize("options", [{"min_score": 0}, {"min_score": 5}, {"words": "acme"}, {"words": [1]}])
def test_a_strength_that_cannot_be_asked_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"StrengthValidator\("):
        StrengthValidator(**options)  # type: ignore[arg-type]


async def test_auth_passwords_tells_the_strength_without_judging() -> None:
    """With the words of the policy's own validator, where there is one, and off the event loop."""
    own = passwords(StrengthValidator(4, words=["battery"]))
    assert await own.strength("kestrelbattery", ANN) == StrengthValidator(words=["battery"]).strength(
        "kestrelbattery", ANN
    )
    assert await passwords().strength("password") == StrengthValidator().strength("password")


async def test_without_the_extra_the_default_policy_asks_for_less_and_says_so_when_more_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert any(isinstance(one, StrengthValidator) for one in PasswordPolicy().validators)
    monkeypatch.setitem(sys.modules, "zxcvbn_rs_py", None)
    assert not any(isinstance(one, StrengthValidator) for one in PasswordPolicy().validators)
    for asked in (StrengthValidator, lambda: recommended_validators(strength=True)):
        with pytest.raises(MissingDependency, match=r'pip install "asgiauth\[strength\]"'):
            asked()
    with pytest.raises(MissingDependency):
        await Passwords(FAST).strength("password")


def test_it_is_all_asked_at_once(sqlite_url: str) -> None:
    """Through `users.create`, where there is no user yet, and `set_password`."""
    from asgiauth.exceptions import PasswordRejected

    from ..conftest import make_auth

    async def use() -> list[list[str]]:
        policy = PasswordPolicy(hashers=FAST.hashers, failure_deadline=0, hash_patience=60)
        auth = make_auth(sqlite_url, passwords=policy)
        told = []
        async with auth:
            await auth.create_tables()
            ann = await auth.users.create("ann", password="kestrel umbrella")
            for attempt in (
                auth.users.create("kestrel", email="a@site.example", password="Kestrel1"),
                auth.users.set_password(ann, "annann"),
            ):
                with pytest.raises(PasswordRejected) as refused:
                    await attempt
                told.append([reason.code for reason in refused.value.reasons])
        return told

    assert asyncio.run(use()) == [
        ["password_too_similar", "password_too_obvious", "password_too_weak"],
        ["password_too_short", "password_too_obvious", "password_too_weak"],
    ]
