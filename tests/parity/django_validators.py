"""Prints what Django's validators say about passwords as JSON: {"users": [...], "verdicts": [[user, password, ...], ...]}.

Run by the python of `.venv-django`. A verdict is the place of the user, or -1 for none; the password; whether it is too
short; the attribute that it is too similar to, at 0.7 and at 0.4, or blank; whether it is digits alone.
"""

from __future__ import annotations

import json

import django
from django.conf import settings

settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"])
django.setup()

from django.contrib.auth import password_validation as rules  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.exceptions import ValidationError  # noqa: E402

USERS = [
    {"username": "testclient", "first_name": "Test", "last_name": "Client", "email": "testclient@example.com"},
    {"username": "ann", "first_name": "Ann", "last_name": "O'Neill-Smith", "email": "ann.oneill+shop@mail.example"},
    {"username": "zo\u00eb_1984", "first_name": "ZO\u00cb", "last_name": "\u0130stanbullu", "email": ""},
    {"username": "@.+-_", "first_name": "", "last_name": "x", "email": "a@b.c"},
    {
        "username": "u" * 150,
        "first_name": "ab " * 50,
        "last_name": "-" * 150,
        "email": "m" * 60 + "@" + "d" * 180 + ".example",
    },
]
FIXED = [
    "",
    " ",
    "a",
    "x",
    "1234567",
    "12345678",
    "\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660",
    "\u00b2" * 8,
    "1234567 ",
    "\u2460\u2461\u2462\u2463\u2464\u2465\u2466\u2467",
    "correct horse battery staple",
    "testclien",
    "tset",
    "Cl1ent99",
    "nul\0nul\0nul",
    "\U0001f511" * 8,
    "e\u0301" * 4,
    "\u00e9" * 7,
    "@.+-_",
    "@.+-_@.+-_",
    "ab " * 20,
    "-" * 40,
    "x" * 9,
    "x" * 10,
    "x" * 1024,
    "istanbullu",
    "\u0130STANBULLU",
    "i\u0307stanbullu1",
    "oneill",
    "NEILLSMITH",
    "shop.mail.example",
    "example.com",
    "elpmaxe",
]
TEMPLATES = [
    "{}",
    "{}1",
    "{}123",
    "{}2026!",
    "12{}34",
    "my {} password",
    "{0}{0}",
    "!{}!",
    "{}xxxxxxxxxx",
    "q{}wertyuiopasdf",
]
AT = {"username": "username", "first name": "first_name", "last name": "last_name", "email address": "email"}


def passwords(user: dict[str, str]) -> list[str]:
    parts = [part for value in user.values() for part in {value, value[::-1], value.swapcase(), value[1:], value[:-2]}]
    made = [template.format(part) for part in sorted(set(parts)) for template in TEMPLATES]
    return [*FIXED, *made[::4]]


def refused(validator: object, password: str, user: User | None) -> str:
    try:
        validator.validate(password, user)
    except ValidationError as error:
        (told,) = error.error_list
        return AT[told.params["verbose_name"]] if told.params and "verbose_name" in told.params else told.code
    return ""


def main() -> None:
    likes = [rules.UserAttributeSimilarityValidator(max_similarity=bound) for bound in (0.7, 0.4)]
    verdicts = []
    for place, attributes in [(-1, None), *enumerate(USERS)]:
        user = None if attributes is None else User(**attributes)
        for password in FIXED if attributes is None else passwords(attributes):
            short = bool(refused(rules.MinimumLengthValidator(), password, user))
            digits = bool(refused(rules.NumericPasswordValidator(), password, user))
            verdicts.append([place, password, short, *(refused(like, password, user) for like in likes), digits])
    print(json.dumps({"users": USERS, "verdicts": verdicts}))


if __name__ == "__main__":
    main()
