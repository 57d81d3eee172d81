"""The blocklist of D-07: how much is in it, where that comes from, and what is compared."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from asgiauth.exceptions import ConfigurationError, Reason
from asgiauth.passwords import CommonPasswordValidator, ContextWordValidator
from asgiauth.passwords.validators import blocklist

from ..parity.django_interpreter import find
from .make_blocklist import LIST, PACKAGE, PHRASES, generated
from .test_validators import code, reason

DJANGO = find()
ROOT = Path(__file__).parent.parent.parent
ENTRIES = gzip.decompress(LIST.read_bytes()).decode().splitlines()
REAL = 49_233
"""Those of the source, which come first and in its order."""
ANN = SimpleNamespace(username="ann", first_name="Ann", last_name="Archer", email="ann.archer7@mail.example")


def test_D_07_the_list_has_what_is_promised() -> None:
    """At least 10,000 of 8 characters and of 15 each; the documentation has the numbers."""
    counts = {least: sum(len(entry) >= least for entry in ENTRIES) for least in (1, 8, 15)}
    assert min(counts[8], counts[15]) >= 10_000
    assert len(set(ENTRIES)) == counts[1]
    assert all(entry == entry.strip().lower() for entry in ENTRIES)
    assert LIST.stat().st_size < 600_000
    page = (ROOT / "docs" / "how-to" / "password-rules.md").read_text()
    assert [number for number in (*counts.values(), REAL) if f"{number:,}" not in page] == []


def test_the_licence_of_the_source_comes_along() -> None:
    notice = (ROOT / "NOTICE").read_text()
    assert PACKAGE in notice
    assert "Permission is hereby granted, free of charge" in notice
    assert '"NOTICE"' in (ROOT / "pyproject.toml").read_text()


def test_D_07_the_rest_is_made_by_the_rules_of_the_script() -> None:
    assert sorted(generated(ENTRIES[:REAL]) - set(ENTRIES[:REAL])) == ENTRIES[REAL:]


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PassWord",
        " password\t",
        "passwordpassword",
        "qwertyqwertyqwerty",
        "123456789012345",
        "111111111111111",
        "1qaz2wsx3edc4rfv",
        "qwertyuiopasdfghjkl",
        "zyxwvutsrqponml",
        "dragon123456789",
        "Password1234567",
        "monkey!!!!!!!!!",
        "princesssunshine",
        "Summer2026!",
        "letmeinplease",
        "Let Me In Please",
        "maytheforcebewithyou",
        "this-is-my-password",
    ],
)
def test_A16_3_a_common_password_is_refused_in_any_case(password: str) -> None:
    assert reason(CommonPasswordValidator(), password) == Reason("password_too_common")


@pytest.mark.parametrize(
    "password", ["correct horse battery staple", "kestrel-43-Umbrella", "password of a kestrel", "xpasswordx", ""]
)
def test_D_07_only_whole_passwords_are_compared(password: str) -> None:
    assert reason(CommonPasswordValidator(), password) is None


def test_the_phrases_are_read_whole() -> None:
    assert len(PHRASES.split("/")) > 300
    assert "\n" not in "".join(ENTRIES)
    assert {"the quick brown fox jumps over the lazy dog", "dontforgetme", "to-be-or-not-to-be"} <= set(ENTRIES)


def test_the_list_is_read_once_however_many_threads_ask_first() -> None:
    blocklist._read.cache_clear()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(id(blocklist.common_passwords()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert blocklist._read.cache_info().misses == 1


@pytest.mark.parametrize("packed", [False, True])
def test_A16_3_a_list_of_ones_own_takes_the_place_of_ours(packed: bool, tmp_path: Path) -> None:
    """One password a line, plain or gzip, as with Django, whose own file can be given."""
    content = "From-My-Custom-List\r\n\n  with blanks \nd\u00e9j\u00e0 vu\n".encode()
    path = tmp_path / "list"
    path.write_bytes(gzip.compress(content) if packed else content)
    for given in (path, str(path)):
        own = CommonPasswordValidator(password_list_path=given)
        refused = ["from-my-custom-list", "With Blanks", "D\u00c9J\u00c0 VU", "password", ""]
        assert [code(own, one) for one in refused] == ["password_too_common"] * 3 + ["", ""]


def test_A16_3_a_list_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    """DESIGN 3: when it is built, and the message says what to give."""
    contents = {
        "empty": b"\n \n",
        "binary": b"\xff\xfe\x00",
        "cut": gzip.compress(b"password\n")[:-4],
        "damaged": b"\x1f\x8b\x08" + b"\0" * 7 + b"\xff" * 9,
        "no gzip": b"\x1f\x8bpassword",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "nowhere", "."):
        with pytest.raises(ConfigurationError, match=r"password list .*: (give|leave)"):
            CommonPasswordValidator(password_list_path=tmp_path / name)


if DJANGO is not None:
    DJANGOS = next(Path(DJANGO).parents[1].glob("lib/*/site-packages/django/contrib/auth/common-passwords.txt.gz"))

    def test_A16_3_djangos_own_file_can_be_given() -> None:
        """Ours has seven in ten of its entries; the documentation says so."""
        djangos = CommonPasswordValidator(password_list_path=DJANGOS)
        hexed = ["asdfghjkl:", "&#2336:"]  # what Django looks for, since it was mangled once
        assert [code(djangos, one) for one in ("PASSWORD", *hexed)] == ["password_too_common"] * 3
        entries = blocklist._read(DJANGOS)
        assert len(entries) > 19_000
        assert 0.7 < len(entries & set(ENTRIES)) / len(entries) < 0.8


@pytest.mark.parametrize(
    "password",
    [
        "annarcher",
        "Ann Archer!",
        "ANN.ARCHER7",
        "ann.archer7@mail.example",
        "archer1984",
        "annannann",
        "Acme-2026",
        "!!acme!!",
        "acme rocket",
        "RocketAnn7",
        "mail.example",
    ],
)
def test_D_07_names_of_the_user_and_words_of_the_site_alone_are_refused(password: str) -> None:
    """Username, mail and local part, site words; with a year and a sign beside them they are no better."""
    assert reason(ContextWordValidator(words=["Acme", "rocket"]), password, ANN) == Reason("password_too_obvious")


@pytest.mark.parametrize(
    "password", ["acme4711-8834", "archery", "ann and her rocket", "annex", "19840527", "", "acm", "\n"]
)
def test_D_07_a_password_that_holds_more_than_such_words_is_another_rules_affair(password: str) -> None:
    assert reason(ContextWordValidator(words=["acme", "rocket", "", "an", "\n"]), password, ANN) is None


def test_without_a_user_there_are_only_the_words_of_the_site() -> None:
    assert reason(ContextWordValidator(["acme"]), "acme 2026") == Reason("password_too_obvious")
    assert reason(ContextWordValidator(), "ann.archer7") is None


@pytest.mark.parametrize("words", ["acme", [1]])
def test_words_are_a_list_of_words(words: object) -> None:
    with pytest.raises(ConfigurationError, match="list of words"):
        ContextWordValidator(words=words)  # type: ignore[arg-type]
