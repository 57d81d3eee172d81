"""Errors as sentences for a terminal. Nothing that was typed is repeated, so no secret is."""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import AsgiAuthError, InvalidField, PasswordRejected, Reason
from ..texts import texts

__all__ = ["counted", "objections", "printable", "told"]

_FIELDS: Mapping[str, str] = {
    "invalid_username": "use up to 150 letters, digits and _ . + @ -",
    "must_equal_email": "one with @ must be the user's own e-mail address",
    "invalid_email": "that is no e-mail address",
    "unknown_field": "users have no such field",
    "invalid_type": "give a value of type {expected}",
    "naive_datetime": "give the offset from UTC too, as in 2026-01-31T12:00+00:00",
    "no_such_choice": "give one of {choices}",
    "no_such_row": "{table} has no such row",
}


def told(error: AsgiAuthError) -> str:
    """What went wrong, in a line."""
    if isinstance(error, PasswordRejected):
        return f"{error.field}: {' '.join(objections(error.reasons))}"
    if isinstance(error, InvalidField):
        ours = _FIELDS.get(error.code, "").format(**error.params)
        return f"{error.field}: {ours or texts().problem(error.code, **error.params)}"
    return str(error)


def objections(reasons: tuple[Reason, ...]) -> list[str]:
    """Why a password is not good, a sentence each, with the code for one that has no sentence."""
    general = texts().problem("")
    sentences = []
    for reason in reasons:
        sentence = texts().problem(reason.code, **reason.params)
        sentences.append(f"Not accepted: {reason.code}." if sentence == general else sentence)
    return sentences


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def printable(text: object) -> str:
    """Without what a terminal would obey: a first name may hold anything."""
    return "".join(character if character.isprintable() else "�" for character in str(text))
