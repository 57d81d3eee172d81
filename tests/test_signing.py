from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgiauth import Auth
from asgiauth.exceptions import ConfigurationError, InvalidToken, TokenExpired
from asgiauth.signing import Signing, _hkdf

NEW, OLD = "4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU", "8fFQb0nZk1bqhQ5s2RrGdJYV7XoM3uTtCwLPeAiDxEg"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def signing(*keys: str, realm: str = "", now: datetime = NOW) -> Signing:
    return Signing(keys or [NEW], realm=realm, clock=lambda: now)


def test_keys_are_derived_as_rfc_5869_says() -> None:
    """Test case 3 of its appendix A, the one without salt; its first 32 bytes."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert _hkdf(b"\x0b" * 22, b"").hex() == expected


def test_no_two_pairs_of_realm_and_purpose_share_a_key() -> None:
    """D-31: the labels are length-prefixed, so that `a` + `bc` is not `ab` + `c`."""
    names = ["", "a", "ab", "abc", "b", "bc", "c", "\0", "\0\x01a"]
    keys = [signing(realm=realm).keys(purpose) for realm in names for purpose in names]
    assert len(set(keys)) == len(names) ** 2
    assert {len(key) for (key,) in keys} == {32}


@pytest.mark.parametrize("value", [None, "", "ä\0", 0, -1.5, [1, {"a": [None]}], {"user": 7}])
def test_a_signed_value_comes_back(value: Any) -> None:
    assert signing().unsign("reset", signing().sign("reset", value), max_age=1) == value


@pytest.mark.parametrize(
    "reader",
    [signing(realm="staff"), signing(OLD), signing(NEW[:-1] + "V")],
    ids=["another realm", "another key", "a similar key"],
)
def test_what_one_signs_means_nothing_to_another(reader: Signing) -> None:
    token = signing().sign("reset", {"user": 7})
    assert signing().unsign("reset", token, max_age=1) == {"user": 7}
    with pytest.raises(InvalidToken):
        reader.unsign("reset", token, max_age=1)
    assert not reader.matches("reset", b"7", signing().mac("reset", b"7"))


def test_a_value_signed_for_one_purpose_is_nothing_for_another() -> None:
    token, mac = signing().sign("reset", 7), signing().mac("reset", b"7")
    for purpose in ("verify", "reset ", "Reset", "", "rese", "t"):
        with pytest.raises(InvalidToken):
            signing().unsign(purpose, token, max_age=1)
        assert not signing().matches(purpose, b"7", mac)


def test_the_newest_key_signs_and_each_verifies() -> None:
    """T19."""
    both, before = signing(NEW, OLD), signing(OLD)
    assert both.unsign("reset", before.sign("reset", 7), max_age=1) == 7
    assert both.matches("reset", b"7", before.mac("reset", b"7"))
    assert signing(NEW).unsign("reset", both.sign("reset", 7), max_age=1) == 7
    assert both.mac("reset", b"7") == signing(NEW).mac("reset", b"7")
    with pytest.raises(InvalidToken):
        before.unsign("reset", both.sign("reset", 7), max_age=1)


@pytest.mark.parametrize(("age", "expired"), [(0, False), (3599, False), (3600, False), (3601, True), (10**9, True)])
def test_a_value_expires_after_its_last_second(age: int, expired: bool) -> None:
    """T20."""
    token, later = signing().sign("reset", 7), signing(now=NOW + timedelta(seconds=age))
    if not expired:
        assert later.unsign("reset", token, max_age=3600) == 7
        return
    with pytest.raises(TokenExpired):
        later.unsign("reset", token, max_age=3600)


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_value_signed_by_a_node_whose_clock_is_ahead_is_accepted(seconds: int) -> None:
    """T20: nodes 30 s apart accept each other's tokens."""
    token = signing(now=NOW + timedelta(seconds=seconds)).sign("reset", 7)
    assert signing().unsign("reset", token, max_age=3600) == 7


def test_no_character_of_a_signed_value_can_be_changed() -> None:
    """T06: any other character at any place, a character less, a character more; non-canonical base64 too."""
    token = signing().sign("reset", {"user": 7})
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ~"
    damaged = {token[:at] + other + token[at + 1 :] for at in range(len(token)) for other in ["", *alphabet]}
    damaged |= {other + token for other in alphabet} | {token + other for other in [*alphabet, "\n", "\0"]}
    accepted = [one for one in damaged - {token} if _accepts(one)]
    assert accepted == []


@settings(database=None, deadline=None)
@given(st.text() | st.text(alphabet="ey.AQ-_\ud800\0") | st.just("." * 100_000))
def test_no_text_at_all_is_more_than_an_invalid_token(text: str) -> None:
    """T06, T11: lone surrogates, NUL and 100 kB of dots included."""
    assert not _accepts(text)


def _accepts(token: str) -> bool:
    try:
        signing().unsign("reset", token, max_age=3600)
    except InvalidToken:
        return False
    return True


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        "",
        NEW,
        NEW.encode(),
        [NEW.encode()],
        [None],
        [1],
        [""],
        [NEW[:31]],
        [NEW, NEW[:31]],
        [NEW, NEW],
        ["a" * 64],
        ["abcabcab" * 8],
        ["django-insecure-" + NEW],
        ["changeme" + NEW],
        ["Your-" + NEW],
        ["\ud800" * 16 + NEW],
    ],
    ids=ascii,
)
def test_secret_keys_that_protect_nothing_are_refused_when_auth_is_built(keys: Any) -> None:
    """D-31: too few bytes, not random, a placeholder, twice, or not a list of strings. The message shows no key."""
    with pytest.raises(ConfigurationError) as raised:
        Auth("sqlite:///never-opened.db", secret_keys=keys, base_url="https://site.example")
    assert NEW[:16] not in str(raised.value)


@pytest.mark.parametrize("piece", ["ToDo", "xXxX", "YoUr-"])
def test_what_our_own_command_may_print_is_a_good_key(piece: str) -> None:
    """One key in 8,000 of `token_urlsafe(48)` holds such four letters by chance, one in a million the last five."""
    key = NEW[:30] + piece + NEW[:30]
    assert signing(key).keys("reset")


def test_a_signing_shows_no_key() -> None:
    shown = repr(signing(NEW, OLD)) + str(signing(NEW, OLD))
    assert NEW not in shown
    assert OLD not in shown


def test_a_value_from_the_future_is_not_genuine() -> None:
    """T20: two servers' clocks may differ by a minute, not by two."""
    token = signing(now=NOW + timedelta(seconds=121)).sign("reset", 1)
    with pytest.raises(InvalidToken, match="future"):
        signing().unsign("reset", token, max_age=600)
