"""Every sentence that people read, in one place. Domain code speaks codes and parameters; here they become words.

texts("en")("error.password_too_short", min_length=8)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import ceil
from string import Formatter
from typing import Any, Literal

from .exceptions import ConfigurationError

__all__ = ["Languages", "Texts", "texts"]

ENGLISH: Mapping[str, str] = {
    "site": "Account",
    "login.title": "Log in",
    "login.submit": "Log in",
    "logout.submit": "Log out",
    "password_change.title": "Change your password",
    "password_change.submit": "Change password",
    "login_password.title": "Choose a new password",
    "login_password.submit": "Set it and log in",
    "password_change_done.title": "Password changed",
    "password_change_done.text": "Your password is changed. Every other device has been logged out.",
    "done.text": "That is done.",
    "sessions.title": "Your devices",
    "sessions.text": "You are logged in here. Log out what you do not recognise, and then change your password.",
    "sessions.current": "This device",
    "sessions.unknown_device": "Unknown device",
    "sessions.last_seen": "Last used {when}",
    "sessions.created": "Logged in since {when}",
    "sessions.address": "from {address}",
    "sessions.revoke": "Log out",
    "sessions.revoke_one": "Log out: {device}",
    "sessions.revoke_others": "Log out all other devices",
    "explain.title": "Explain a permission",
    "explain.submit": "Explain",
    "explain.allowed": "{user}: {perm}: yes.",
    "explain.denied": "{user}: {perm}: no.",
    "explain.allowed_on": "{user}: {perm} on {obj}: yes.",
    "explain.denied_on": "{user}: {perm} on {obj}: no.",
    "explain.table": "Who was asked, in this order",
    "explain.source": "Source",
    "explain.answer": "Answer",
    "explain.reasons": "Why",
    "explain.yes": "Yes",
    "explain.no": "No",
    "explain.none": "Nothing",
    "explain.decided": "decided",
    "explain.not_reached": "decided before",
    "field.user": "User name or e-mail address",
    "field.perm": "Permission, such as blog.change_post",
    "field.obj": "Key of one object, if it is about one",
    "field.username": "User name or e-mail address",
    "field.password": "Password",
    "field.remember": "Stay logged in on this device",
    "field.old_password": "Present password",
    "field.new_password": "New password",
    "form.problems": "Please correct this:",
    "form.continue": "Continue",
    "error.invalid_credentials": "Invalid username or password.",
    "error.login_refused": "This login cannot go on. Log in again.",
    "error.login.login_refused": "This account cannot log in.",
    "error.not_authenticated": "Log in first.",
    "error.recent_login_required": "Log in again to do this.",
    "error.too_many_attempts": "Too many attempts. Try again in {wait}.",
    "error.csrf_failed": "This page is too old, or another site has sent you here. Load it again and try once more.",
    "error.permission_denied": "You may not do this.",
    "error.not_found": "There is nothing here.",
    "error.read_only": "This cannot be done for the moment: the site can only be read.",
    "error.unavailable": "The service is unavailable for the moment. Try again.",
    "error.method_not_allowed": "This cannot be done that way.",
    "error.body_too_large": "That was too much at once.",
    "error.invalid_body": "The form was not filled in as it should be.",
    "error.unsupported_media_type": "The form was not sent as it should be.",
    "error.invalid_token": "This link is not valid, or not any more.",
    "error.session_too_large": "This is more than can be remembered.",
    "error.title": "That did not work",
    "error.prefix": "Not yet: {title}",
    "error.back": "Go back",
    "error.explain.not_found": "There is no such user, or no such object.",
    "error.unknown_permission": "There is no such permission.",
    "error.obj.invalid": "The objects of this permission have no such key.",
    "error.required": "Fill this in.",
    "error.too_long": "This is too long.",
    "error.incorrect": "This is not right.",
    "error.old_password.incorrect": "This is not your present password.",
    "error.taken": "This is already taken.",
    "error.user_exists": "This is already taken.",
    "error.invalid": "This is not valid.",
    "error.password_too_short": "Use at least {min_length} characters.",
    "error.password_too_long": "Use at most {max_bytes} bytes.",
    "error.password_blank": "Fill this in.",
    "error.password_not_unicode": "This holds characters that cannot be stored.",
    "error.password_null_characters": "This holds characters that cannot be stored.",
    "error.password_too_similar": "This is too much like your {verbose_name}.",
    "error.password_too_common": "Many people use this password, so it is tried first.",
    "error.password_too_obvious": "This is little more than a name of yours, or a word of this site.",
    "error.password_entirely_numeric": "Use more than digits.",
    "error.password_too_weak": "This is too easy to guess. {advice}",
    "error.password_breached": "This has been seen {count} times in stolen data. Use another one.",
    "error.password_reused": "You have used this before. Use another one.",
    "rule.password_breached": "Not known from stolen data.",
    "rule.password_too_short": "At least {min_length} characters.",
    "rule.password_too_similar": "Not much like your name or e-mail address.",
    "rule.password_too_common": "Not one that many people use.",
    "rule.password_too_obvious": "More than a name of yours, or a word of this site.",
    "rule.password_entirely_numeric": "Not only digits.",
    "rule.password_too_weak": "Hard to guess: a few words that do not belong together will do.",
    "attribute.username": "user name",
    "attribute.email": "e-mail address",
    "strength": "Password strength",
    "strength.0": "Very easy to guess",
    "strength.1": "Easy to guess",
    "strength.2": "Not very hard to guess",
    "strength.3": "Hard to guess",
    "strength.4": "Very hard to guess",
    "strength.refused": "Not good enough yet",
    "strength.warning.keyboard_row": "Keys in a row are easy to guess.",
    "strength.warning.keyboard_pattern": "Short patterns of keys are easy to guess.",
    "strength.warning.repeated_character": "Repeats such as “aaa” are easy to guess.",
    "strength.warning.repeated_part": "Repeats such as “abcabcabc” are hardly better than “abc”.",
    "strength.warning.top_10": "This is one of the ten most used passwords.",
    "strength.warning.top_100": "This is one of the hundred most used passwords.",
    "strength.warning.common": "Many people use this password.",
    "strength.warning.like_a_common_one": "It is like a password that many people use.",
    "strength.warning.sequence": "Sequences such as “abc” or “6543” are easy to guess.",
    "strength.warning.recent_year": "Years of our time are easy to guess.",
    "strength.warning.single_word": "A single word is easy to guess.",
    "strength.warning.date": "Dates are often easy to guess.",
    "strength.warning.single_name": "A name alone is easy to guess.",
    "strength.warning.common_name": "Common names are easy to guess.",
    "strength.suggestion.few_words": "Use a few words that do not belong together.",
    "strength.suggestion.signs_not_needed": "It needs no signs, digits or capital letters.",
    "strength.suggestion.another_word": "Add a word or two, the less expected the better.",
    "strength.suggestion.capitals_help_little": "Capital letters help little.",
    "strength.suggestion.all_capitals": "All in capitals is hardly better than none.",
    "strength.suggestion.reversed_word": "A word spelt backwards is hardly better.",
    "strength.suggestion.substitutions": "Signs in the place of letters, “@” for “a”, help little.",
    "strength.suggestion.longer_keyboard_pattern": "Make a pattern of keys longer, with more turns.",
    "strength.suggestion.no_repeats": "Leave out repeated words and characters.",
    "strength.suggestion.no_sequences": "Leave out sequences.",
    "strength.suggestion.no_recent_years": "Leave out years of our time.",
    "strength.suggestion.no_own_years": "Leave out years that have to do with you.",
    "strength.suggestion.no_own_dates": "Leave out dates and years that have to do with you.",
    "wait.minute": "a minute",
    "wait.minutes": "{count} minutes",
    "wait.hours": "{count} hours",
    "when": "{day} {month} {year}, {time} UTC",
    "month.1": "January",
    "month.2": "February",
    "month.3": "March",
    "month.4": "April",
    "month.5": "May",
    "month.6": "June",
    "month.7": "July",
    "month.8": "August",
    "month.9": "September",
    "month.10": "October",
    "month.11": "November",
    "month.12": "December",
    "hash.unusable": "No password set.",
    "hash.unknown": "Invalid password format or unknown hashing algorithm.",
    "nav": "Account",
    "nav.home": "Back to the site",
    "nav.sessions": "Your devices",
    "nav.password_change": "Change your password",
    "nav.explain": "Explain a permission",
}


class Texts:
    """The texts of one language: `t(key, **parameters)`. What is no key of ours is shown as it is, so that a feature
    may give words; of a key without a text the last part."""

    def __init__(self, locale: str, texts: Mapping[str, str]) -> None:
        self.locale = locale
        self._texts = texts

    def __call__(self, key: str, /, **parameters: Any) -> str:
        text = self._texts.get(key)
        return text.format_map(_Given(parameters)) if text is not None else key.rpartition(".")[2].replace("_", " ")

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    @property
    def direction(self) -> Literal["ltr", "rtl"]:
        """Which way the language is written, for `<html dir>`: told by the script where the locale names one."""
        language, *rest = _tag(self.locale).split("-")
        script = next((part for part in rest if len(part) == 4 and part.isalpha()), "")
        return "rtl" if (script in _SCRIPTS_TO_THE_LEFT if script else language in _LANGUAGES_TO_THE_LEFT) else "ltr"

    def problem(self, code: str, field: str = "", /, **parameters: Any) -> str:
        """What to tell about a field; a general word for a code without a text of its own."""
        keys = (f"error.{field}.{code}", f"error.{code}")
        if code == "password_too_similar":
            parameters["verbose_name"] = self(f"attribute.{parameters.get('verbose_name')}")
        if code == "password_too_weak":
            parameters["advice"] = self.advice(parameters.get("warning"), parameters.get("suggestions", ()))
        return self(next((key for key in keys if key in self._texts), "error.invalid"), **parameters).rstrip()

    def advice(self, warning: str | None, suggestions: Iterable[str] = ()) -> str:
        """What makes a password weak and how to mend it, from the codes of a `PasswordStrength`; blank where there is
        nothing to say."""
        said = [f"strength.warning.{warning}"] if warning else []
        return " ".join(map(self, [*said, *(f"strength.suggestion.{one}" for one in suggestions)]))

    def wait(self, seconds: int) -> str:
        """A span of time, rounded up, as one says it."""
        if seconds <= 60:
            return self("wait.minute")
        if seconds <= 90 * 60:
            return self("wait.minutes", count=ceil(seconds / 60))
        return self("wait.hours", count=ceil(seconds / 3600))

    def when(self, moment: str) -> str:
        """An ISO date and time in UTC, as people read it."""
        at = datetime.fromisoformat(moment)
        return self("when", day=at.day, month=self(f"month.{at.month}"), year=at.year, time=f"{at:%H:%M}")


_LANGUAGES_TO_THE_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})
_SCRIPTS_TO_THE_LEFT = frozenset({"adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"})
"""Unicode CLDR, `characterOrder`."""


class _Given(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"  # an application's own rule may use a code of ours without its numbers


class Languages:
    """`auth.texts`: the texts of a locale, `auth.texts("de-AT")`; those of its language where it has none, English
    where there are none at all.

    `own` are an application's, by locale and key, `{"de": {"login.title": "Anmelden"}}`; what they leave out is taken
    from the language without its region, then from English. Raises `ConfigurationError` for a locale that is none
    (BCP 47), and for a text whose braces could not be filled in.
    """

    def __init__(self, own: Mapping[str, Mapping[str, str]] | None = None) -> None:
        given = {"en": {}, **(own or {})}
        for locale, texts in given.items():
            _check(locale, texts)
        by_tag = {_tag(locale): texts for locale, texts in given.items()}
        self._texts: dict[str, Texts] = {}
        for locale in given:
            merged = {**ENGLISH, **by_tag["en"]}
            for tag in reversed(_lookup(locale)):
                merged |= by_tag.get(tag, {})
            self._texts[_tag(locale)] = Texts(locale.replace("_", "-"), merged)

    def __call__(self, locale: str = "en") -> Texts:
        found = (self._texts[tag] for tag in _lookup(locale[:_MAX_LOCALE]) if tag in self._texts)
        return next(found, self._texts["en"])

    def __contains__(self, key: str) -> bool:
        """Whether any language has a text for it."""
        return any(key in texts for texts in self._texts.values())


def _tag(locale: str) -> str:
    return locale.replace("_", "-").lower()


def _lookup(locale: str) -> list[str]:
    """`de-at`, then `de` (RFC 4647, 3.4)."""
    parts = _tag(locale).split("-")
    return ["-".join(parts[:count]) for count in range(len(parts), 0, -1)]


_MAX_LOCALE = 35
"""Characters that are looked at: it may come from a request (RFC 5646, 4.4.1)."""
_LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")


def _check(locale: str, texts: Mapping[str, str]) -> None:
    if not isinstance(locale, str) or not _LOCALE.fullmatch(locale):
        raise ConfigurationError(f"texts: {locale!r} is no language: give its tag, such as de or pt-BR")
    if not isinstance(texts, Mapping):
        raise ConfigurationError(f"texts[{locale!r}]: give the texts by their keys, {{'login.title': '...'}}")
    for key, text in texts.items():
        if not isinstance(text, str):
            raise ConfigurationError(f"texts[{locale!r}][{key!r}] is no text, but {text!r}: give a str")
        try:
            names = _names_in(text)
            known = _names_in(ENGLISH[key]) if key in ENGLISH else names
        except ValueError as error:
            raise ConfigurationError(f"texts[{locale!r}][{key!r}]: {error}; write {{{{ and }}}} for braces") from None
        if names - known:
            allowed = ", ".join(f"{{{name}}}" for name in sorted(known)) or "no braces"
            raise ConfigurationError(
                f"texts[{locale!r}][{key!r}]: nothing fills in {{{min(names - known)}}}: use {allowed}"
            )


def _names_in(text: str) -> set[str]:
    """Raises `ValueError` for what is more than `{name}`."""
    names = set()
    for _, name, spec, conversion in Formatter().parse(text):
        if name is not None:
            if not name.isidentifier() or spec or conversion:
                raise ValueError("only plain names in braces can be filled in")
            names.add(name)
    return names


texts = Languages()
"""Ours alone; `auth.texts` has the application's too."""
