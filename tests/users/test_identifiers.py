"""One account per name, however it is spelled (D-09, T11)."""

from __future__ import annotations

import itertools
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgiauth import Auth
from asgiauth.exceptions import InvalidField, UserExists
from asgiauth.users.identifiers import canonical, check_email, check_username, normalize_email

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202e\u2066\u180e\u034f"
BLANKS = " \t\r\n\v\f\0\x7f\x85\u00a0\u2003\u2028\u3000"

DOMAINS = """
b\u00fccher.example B\u00dcCHER.example bu\u0308cher.EXAMPLE xn--bcher-kva.example XN--BCHER-kva.Example
\uff42\u00fc\uff43\uff48\uff45\uff52.example b\u00fccher.\uff45xample b\u00fc\u00adcher.example b\u00fccher.exam\u200bple
b\u00fccher.example. b\u00fccher.example\u3002 b\u00fccher\u3002example b\u00fccher\uff0eexample b\u00fccher.\uff0eexample
b\u00fccher..example .b\u00fccher.example b\u00fccher.example:25 [b\u00fccher.example] \uff20b\u00fccher.example
"""
LOCAL_PARTS = 'kay Kay KAY \u212aay \uff4bay "kay" k\u200bay .kay kay. (x)kay <kay x,kay x@kay kay\uff20x'


def fullwidth(text: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def username_spellings() -> set[str]:
    """What looks like, or could be folded into, `kiss.al`, which exists."""
    name = "kiss.al"
    cases = map("".join, itertools.product(*({letter, letter.upper()} for letter in name)))
    swaps = "k\u212a k\u043a k\U0001d424 i\u0131 i\u0130 i\u0456 i\uff49 s\u017f s\u0455 a\u0430 a\u00aa a\u00e5 l\u04cf l\u217c .\uff0e .\u3002"
    escaped = "%6biss.al %256biss.al &#107;iss.al \\u006biss.al kiss%2eal kiss.al/ kiss.al; kiss.al'-- ki\u00df.al ki\ufb06.al"
    found = {*cases, *escaped.split(), fullwidth(name), fullwidth(name.upper())}
    found |= {name.replace(swap[0], swap[1:]) for swap in swaps.split()}
    for place in range(len(name) + 1):
        found |= {name[:place] + character + name[place:] for character in INVISIBLE + BLANKS + "\u0301\ud800"}
    return found - {name}


def email_spellings() -> set[str]:
    """Of `kay@b\u00fccher.example`, which exists."""
    found = {
        f"{local}@{domain}" for local in [*LOCAL_PARTS.split(), "kay ", "kay\0", "\nkay"] for domain in DOMAINS.split()
    }
    whole = ("kay@b\u00fccher.example", "KAY@B\u00dcCHER.EXAMPLE")
    found |= {address + ending for address in whole for ending in BLANKS + INVISIBLE}
    return found | {"kay\uff20b\u00fccher.example", "kay@b\u00fccher\uff0cexample", "kay\ufe6bb\u00fccher.example"}


async def test_every_spelling_of_a_name_or_an_address_is_one_account(auth: Auth) -> None:
    """D-09, T11: hundreds of variants are refused, by `InvalidField` or `UserExists` and by nothing else."""
    await auth.users.create("kiss.al", email="kay@b\u00fccher.example")
    spellings: list[tuple[str, str | None]] = [(name, None) for name in sorted(username_spellings())]
    spellings += [(f"other{number}", email) for number, email in enumerate(sorted(email_spellings()))]
    accepted = []
    for username, email in spellings:
        try:
            await auth.users.create(username, email=email)
        except (InvalidField, UserExists):
            continue
        accepted.append(ascii(email or username))
    assert len(spellings) > 600
    assert accepted == []
    assert [user.username for user in (await auth.users.page()).items] == ["kiss.al"]


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        ("Ann", "ann"),
        ("a.N_n+1-", "a.n_n+1-"),
        ("Ann@Example.COM", "ann@example.com"),
        (" Ann@example.com ", "ann@example.com"),
        ("ann+tag@example.com", "ann+tag@example.com"),
        ("ann@localhost", "ann@localhost"),
        ("ann@B\u00dcCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--BCHER-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@stra\u00dfe.example", "ann@xn--strae-oqa.example"),
        ("", None),
        ("a b", None),
        ("\u212aay", None),
        ("ren\u00e9", None),
        ("ann\n", None),
        ("x" * 255, None),
        ("x" * 65 + "@example.com", None),
    ],
)
def test_canonical_forms(spelling: str, form: str | None) -> None:
    """D-09: ASCII case is folded, a domain becomes its lower A-label; what nobody can have is None."""
    assert canonical(spelling) == form


@pytest.mark.parametrize(
    ("username", "code"),
    [
        ("", "required"),
        ("x" * 151, "too_long"),
        ("\u00bd" * 1_000_000, "too_long"),
        *(
            (name, "invalid_username")
            for name in ("ann\n", "\nann", "an n", "ann\0", "ren\u00e9", "\uff41nn", "ann\ud800", "a/b", "ann%", "'")
        ),
    ],
)
def test_refused_user_names(username: str, code: str) -> None:
    """V-017, V-029: the length is checked before the characters, and to the last character."""
    with pytest.raises(InvalidField) as refused:
        check_username(username)
    assert (refused.value.field, refused.value.code) == ("username", code)


@pytest.mark.parametrize(
    "email",
    [
        "ann",
        "@example.com",
        "ann@",
        "ann@example",
        "ann@exa mple.com",
        "ann@-example.com",
        "ann@a_b.example",
        "ann@[127.0.0.1]",
        "ann@example..com",
        "a..nn@example.com",
        "ann@@example.com",
        "\u00e4nn@example.com",
        '"a b"@example.com',
        "x" * 65 + "@example.com",
        "ann@" + "x" * 64 + ".example",
        "ann@xn--\u00fc.example",
        "ann@xn--a.example",
        "ann@\ud800.example",
        "Ann <ann@example.com>",
        "ann@example.com,eve@example.com",
        "ann@example.com\r\nBcc: eve@example.com",
    ],
)
def test_refused_addresses(email: str) -> None:
    """D-09: normalised first, then validated."""
    with pytest.raises(InvalidField) as refused:
        check_email(email)
    assert (refused.value.field, refused.value.code) == ("email", "invalid_email")


@pytest.mark.parametrize("character", ["\uff20", "\uff0c", "\uff0e", "\ufe52", "\ufe6b"])
@pytest.mark.parametrize(
    "template", ["ann{}example.com", "ann@mail{}example.com", "an{}n@example.com", "ann@example.com{}"]
)
def test_look_alikes_of_the_separators_are_refused(character: str, template: str) -> None:
    """V-095: normalisation must not make an @, a comma or a dot out of something else."""
    with pytest.raises(InvalidField, match="invalid_email"):
        check_email(template.format(character))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\v", "\f", "\0", "\x85", "\u2028"])
def test_a_line_break_at_the_end_of_an_address_is_refused(ending: str) -> None:
    """V-017: not even Django's strip (A2.3) makes an address out of a line."""
    with pytest.raises(InvalidField, match="invalid_email"):
        check_email("ann@example.com" + ending)


def test_a_domain_with_a_trailing_dot_is_no_second_address() -> None:
    """D-09: `ann@example.com.` is the mailbox of `ann@example.com`, so it is refused or means the same."""
    assert canonical("ann@example.com.") in (None, "ann@example.com")


@pytest.mark.parametrize(
    ("email", "code"), [("x" * 243 + "@example.com", "too_long"), ("\ufdfa" * 1_000_000 + "@example.com", "too_long")]
)
def test_the_length_of_an_address_is_checked_first(email: str, code: str) -> None:
    """V-029."""
    with pytest.raises(InvalidField) as refused:
        check_email(email)
    assert (refused.value.code, refused.value.params) == (code, {"max_length": 254})


@pytest.mark.parametrize("text", ["\u00bd" * 1_000_000, "\ufdfa" * 1_000_000, "a@" + "\ufdfa" * 1_000_000])
async def test_finding_a_megabyte_looks_at_none_of_it(sqlite_auth: Auth, text: str) -> None:
    """V-029: the length comes first, so a megabyte takes less than 10 ms of this process, at the best of five."""
    spent = []
    for _ in range(5):
        started = time.process_time()
        assert await sqlite_auth.users.find(text) is None
        spent.append(time.process_time() - started)
    assert min(spent) < 0.01


@pytest.mark.parametrize(
    ("email", "stored"),
    [
        ("Ann@EXAMPLE.Com", "Ann@example.com"),
        (" Ann@EXAMPLE.com ", "Ann@example.com"),
        ("no at Sign ", "no at Sign "),
        ("a@B@C", "a@B@c"),
        ("@X", "@x"),
    ],
)
def test_normalize_email_is_djangos(email: str, stored: str) -> None:
    """A2.3: strip, and the domain in lower case; without @ unchanged."""
    assert normalize_email(email) == stored


texts = (
    st.text(max_size=40)
    | st.text(max_size=20).map("ann@mail.{}".format)
    | st.from_regex(r"\w{1,9}@\w{1,9}\.\w{1,9}\.?", fullmatch=True)
    | st.from_regex(r"[!-~]{1,12}@[!-~]{1,12}", fullmatch=True)
)


@settings(deadline=None)
@given(texts)
@example("\u212a@b.c")
def test_a_canonical_form_is_its_own_canonical_form(text: str) -> None:
    """D-09: folding twice folds nothing more, and no spelling makes it raise."""
    form = canonical(text)
    assert form is None or (canonical(form) == form and form.isascii() and form == form.casefold())


@settings(deadline=None)
@given(texts)
def test_equal_but_for_case_and_composition_is_equal(text: str) -> None:
    """D-09: whatever Unicode does to a name that is accepted, it stays the same account."""
    form = canonical(text)
    others = {canonical(text.swapcase() if text.isascii() else text), canonical(unicodedata.normalize("NFC", text))}
    assert form is None or others == {form}


@settings(deadline=None)
@given(texts)
def test_a_check_accepts_or_raises_invalid_field(text: str) -> None:
    """T11: no text is an error of the server, and what is accepted is canonical to itself."""
    for check in (check_username, check_email):
        try:
            accepted = check(text)
        except InvalidField:
            continue
        assert accepted == "" or canonical(accepted) is not None
