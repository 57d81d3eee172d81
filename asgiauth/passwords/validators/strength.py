"""How hard a password is to guess, by zxcvbn (extra `strength`)."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from ...exceptions import ConfigurationError, MissingDependency, PasswordRejected, Reason
from .base import names_of

__all__ = ["PasswordStrength", "StrengthValidator"]

MAX_CHARACTERS = 64
MAX_SIGNS = 6
"""What is looked at of a password, and of each name; and how many different signs that may stand for a letter, such as
`4` for `a`, beside digits: zxcvbn tries them in every combination, and holds the interpreter's lock meanwhile. All 23
take it half a second, these 20 to 50 ms."""
_SIGNS = "@({[<&#!/|$+%"
_NO_SIGN = "~"
MAX_WORDS = 100
LIMITS = (10**3, 10**6, 10**8, 10**10)
"""Guesses from which the score is 1, 2, 3, 4. Zxcvbn puts each five guesses higher, and counts ten for a character in
which it sees no pattern: no password of 8 characters would have 3 then, and a minimum of 8 would mean 9."""


@dataclass(frozen=True)
class PasswordStrength:
    """How hard a password is to guess, as zxcvbn estimates it.

    `score`: 0 for fewer than 10^3 guesses, 1 below 10^6, 2 below 10^8, 3 below 10^10, 4 for more. `warning`, what makes
    it weak, or None, and `suggestions`, how to mend it, are codes of the texts `strength.warning.<code>` and
    `strength.suggestion.<code>`; `texts.advice(warning, suggestions)` speaks them. A score of 3 or 4 comes without.
    """

    score: int
    warning: str | None = None
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True)
class StrengthValidator:
    """Hard enough to guess: a score of `min_score`, 1 to 4, in zxcvbn's estimate (3: 10^8 guesses, which holds against
    somebody who tries passwords at the login). Names of the user and `words` of the site make a password no stronger.

    Needs the extra `strength`; raises `MissingDependency` without, and `ConfigurationError` for another score.
    """

    min_score: int = 3
    words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.min_score not in (1, 2, 3, 4):
            raise ConfigurationError("StrengthValidator(min_score=...) is 1, 2, 3 or 4; 3 is right for most sites")
        if isinstance(self.words, str) or not all(isinstance(word, str) for word in self.words):
            raise ConfigurationError('StrengthValidator(words=...) is a list of words, such as ["acme", "rocket"]')
        if not is_installed():
            raise MissingDependency("zxcvbn-rs-py", "strength")

    def validate(self, password: str, user: object = None) -> None:
        """Raises `PasswordRejected`, code `password_too_weak`, params `min_score` and those of a `PasswordStrength`."""
        found = self.strength(password, user)
        if found.score < self.min_score:
            params = {"warning": found.warning, "suggestions": found.suggestions}
            raise PasswordRejected(
                [Reason("password_too_weak", {"score": found.score, "min_score": self.min_score, **params})]
            )

    def get_help_text(self) -> Reason:
        return Reason("password_too_weak")

    def strength(self, password: str, user: object = None) -> PasswordStrength:
        """For a thread: up to 50 ms. What no encoding can hold has a score of 0."""
        from zxcvbn_rs_py import zxcvbn

        words = [*names_of(user), *self.words][:MAX_WORDS]
        try:
            found = zxcvbn(_bounded(password), [_bounded(word) for word in words])
        except UnicodeEncodeError:
            return PasswordStrength(0)
        score = sum(found.guesses >= limit for limit in LIMITS)
        feedback = found.feedback
        if score > 2 or feedback is None:
            return PasswordStrength(score)
        warning = WARNINGS.get(_name(feedback.warning))
        known = [SUGGESTIONS[name] for one in feedback.suggestions if (name := _name(one)) in SUGGESTIONS]
        return PasswordStrength(score, warning, tuple(known))


def _bounded(text: str) -> str:
    """As much of it as can be judged in a moment, and as long and as mixed."""
    text = text[:MAX_CHARACTERS]
    found = [sign for sign in dict.fromkeys(text) if sign in _SIGNS]
    digits = len(set(text) & set(string.digits))
    return text.translate({ord(sign): _NO_SIGN for sign in found[max(0, MAX_SIGNS - digits) :]})


def is_installed() -> bool:
    """Whether the extra `strength` is there."""
    return find_spec("zxcvbn_rs_py") is not None


def _name(value: object) -> str:
    """`Warning.ThisIsATop10Password`: no `enum.Enum`, whatever its stub says, and without a hash."""
    return repr(value).rpartition(".")[2]


WARNINGS = {
    "StraightRowsOfKeysAreEasyToGuess": "keyboard_row",
    "ShortKeyboardPatternsAreEasyToGuess": "keyboard_pattern",
    "RepeatsLikeAaaAreEasyToGuess": "repeated_character",
    "RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess": "repeated_part",
    "ThisIsATop10Password": "top_10",
    "ThisIsATop100Password": "top_100",
    "ThisIsACommonPassword": "common",
    "ThisIsSimilarToACommonlyUsedPassword": "like_a_common_one",
    "SequencesLikeAbcAreEasyToGuess": "sequence",
    "RecentYearsAreEasyToGuess": "recent_year",
    "AWordByItselfIsEasyToGuess": "single_word",
    "DatesAreOftenEasyToGuess": "date",
    "NamesAndSurnamesByThemselvesAreEasyToGuess": "single_name",
    "CommonNamesAndSurnamesAreEasyToGuess": "common_name",
}
"""What zxcvbn says, as codes of ours."""

SUGGESTIONS = {
    "UseAFewWordsAvoidCommonPhrases": "few_words",
    "NoNeedForSymbolsDigitsOrUppercaseLetters": "signs_not_needed",
    "AddAnotherWordOrTwo": "another_word",
    "CapitalizationDoesntHelpVeryMuch": "capitals_help_little",
    "AllUppercaseIsAlmostAsEasyToGuessAsAllLowercase": "all_capitals",
    "ReversedWordsArentMuchHarderToGuess": "reversed_word",
    "PredictableSubstitutionsDontHelpVeryMuch": "substitutions",
    "UseALongerKeyboardPatternWithMoreTurns": "longer_keyboard_pattern",
    "AvoidRepeatedWordsAndCharacters": "no_repeats",
    "AvoidSequences": "no_sequences",
    "AvoidRecentYears": "no_recent_years",
    "AvoidYearsThatAreAssociatedWithYou": "no_own_years",
    "AvoidDatesAndYearsThatAreAssociatedWithYou": "no_own_dates",
}
