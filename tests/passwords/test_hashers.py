"""How a password is stored, byte for byte."""

from __future__ import annotations

import re
import unicodedata

import argon2
import pytest

from asgiauth import PasswordPolicy
from asgiauth.exceptions import ConfigurationError, PasswordRejected
from asgiauth.passwords import (
    Argon2Hasher,
    BCryptHasher,
    BCryptSHA256Hasher,
    Hasher,
    MD5Hasher,
    PasslibReader,
    Passwords,
    PBKDF2Hasher,
    PBKDF2SHA1Hasher,
    ScryptHasher,
    WerkzeugReader,
    preferring,
)

from .hashing import ARGON2, BCRYPT, CHEAPEST, MD5, PBKDF2, SCRYPT, every

WHOLE = [hasher for hasher in CHEAPEST if hasher is not BCRYPT]
whole = pytest.mark.parametrize("hasher", WHOLE, ids=lambda hasher: hasher.algorithm)

FORMS = {
    "argon2": r"argon2\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}",
    "pbkdf2_sha256": r"pbkdf2_sha256\$1\$[A-Za-z0-9]{22}\$[A-Za-z0-9+/]{43}=",
    "pbkdf2_sha1": r"pbkdf2_sha1\$1\$[A-Za-z0-9]{22}\$[A-Za-z0-9+/]{27}=",
    "bcrypt_sha256": r"bcrypt_sha256\$\$2b\$04\$[A-Za-z0-9./]{53}",
    "bcrypt": r"bcrypt\$\$2b\$04\$[A-Za-z0-9./]{53}",
    "scrypt": r"scrypt\$2\$[A-Za-z0-9]{22}\$1\$1\$[A-Za-z0-9+/]{86}==",
    "md5": r"md5\$[A-Za-z0-9]{22}\$[0-9a-f]{32}",
}
GOLDEN: list[tuple[Hasher, str, bool]] = [
    (PBKDF2Hasher(), "pbkdf2_sha256$1500000$seasalt$P4UiMPVduVWIL/oS1GzH+IofsccjJNM5hUTikBvi5to=", True),
    (PBKDF2Hasher(), "pbkdf2_sha256$1500000$seasalt2$xWKIh704updzhxL+vMfPbhVsHljK62FyE988AtcoHU4=", True),
    (PBKDF2SHA1Hasher(), "pbkdf2_sha1$1500000$seasalt2$ep4Ou2hnt2mlvMRsIjUln0Z5MYY=", True),
    (
        ScryptHasher(),
        "scrypt$16384$seasalt$8$5$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw==",
        True,
    ),
    (MD5Hasher(), "md5$seasalt$3f86d0d3d465b7b458c231bf3555c0e3", True),
    (
        Argon2Hasher(),
        "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdHNhbHRzYWx0c2FsdHNhbHQyMg$stH6FtMfiLbeg2/7GB+JeJY7r9Frsx6kK3hgtHppBDI",
        False,
    ),
]


@pytest.mark.parametrize(("hasher", "encoded", "weaker"), GOLDEN)
def test_golden_vectors(hasher: Hasher, encoded: str, weaker: bool) -> None:
    """A25, A15.1 to A15.7: what Django 6.1.3 made of `l\u00e8tmein`, and what RFC and Django's own tests expect. A salt of
    seven letters is a weak one."""
    assert hasher.identify(encoded)
    assert hasher.verify("l\u00e8tmein", encoded)
    assert not hasher.verify("letmein", encoded)
    assert hasher.is_weaker(encoded) is weaker


@pytest.mark.parametrize(
    ("password", "encoded"),
    [
        (
            "secret",
            "argon2$argon2i$m=8,t=1,p=1$c29tZXNhbHQ$gwQOXSNhxiOxPOA0+PY10P9QFO4NAYysnqRt1GSQLE55m+2GYDt9FEjPMHhP2Cuf0nOEXXMocVrsJAtNSsKyfg",
        ),
        ("secret", "argon2$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YC9+jJCrQhs5R6db7LlN8Q"),
        ("secret", "argon2$argon2id$v=19$m=102400,t=2,p=8$Y041dExhNkljRUUy$TMa6A8fPJhCAUXRhJXCXdw"),
    ],
)
def test_argon2_of_older_djangos_verifies_and_is_weaker(password: str, encoded: str) -> None:
    """A15.3: without a version, as Argon2i, with a salt of twelve letters."""
    assert ARGON2.identify(encoded)
    assert (ARGON2.verify(password, encoded), ARGON2.verify("wrong", encoded)) == (True, False)
    assert ARGON2.is_weaker(encoded)


def test_the_defaults_are_those_of_owasp_and_django() -> None:
    """D-01: Argon2id with 19 MiB, 2 passes, 1 lane, 16 bytes of salt and 32 of hash; A15.1 to A15.6: Django 6.1's."""
    encoded = Argon2Hasher().encode("x")
    found = argon2.extract_parameters(encoded.removeprefix("argon2"))
    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert (found.salt_len, found.hash_len) == (16, 32)
    assert (PBKDF2Hasher().iterations, PBKDF2SHA1Hasher().iterations) == (1_500_000, 1_500_000)
    assert (BCryptSHA256Hasher().rounds, BCryptHasher().rounds) == (12, 12)
    scrypt = ScryptHasher()
    assert (scrypt.work_factor, scrypt.block_size, scrypt.parallelism) == (16384, 8, 5)


def test_the_first_hasher_of_a_policy_is_argon2id_and_all_but_md5_verify() -> None:
    """A15.8, D-01, D-04."""
    expected = ["argon2", "pbkdf2_sha256", "pbkdf2_sha1", "bcrypt_sha256", "bcrypt", "scrypt", "passlib_pbkdf2", "werkzeug", "wrapped"]  # fmt: skip
    assert [hasher.algorithm for hasher in PasswordPolicy().hashers] == expected
    assert [hasher.algorithm for hasher in preferring(MD5)] == ["md5", *expected]
    first = PBKDF2Hasher(iterations=7)
    hashers = preferring(first)
    assert hashers[0] is first
    assert sorted(hasher.algorithm for hasher in hashers) == sorted(expected)


@every
def test_an_encoded_hash_is_django_s_and_fits_its_column(hasher: Hasher) -> None:
    """A15.1 to A15.7, A15.10."""
    encoded = hasher.encode("correct horse")
    assert re.fullmatch(FORMS[hasher.algorithm], encoded)
    assert hasher.identify(encoded)
    assert [other.algorithm for other in CHEAPEST if other.identify(encoded)] == [hasher.algorithm]
    assert len(encoded) <= 128
    assert (hasher.verify("correct horse", encoded), hasher.verify("Correct horse", encoded)) == (True, False)
    assert not hasher.is_weaker(encoded)


@pytest.mark.parametrize(
    ("hasher", "length"),
    [
        (PBKDF2Hasher(), 89),
        (PBKDF2SHA1Hasher(), 71),
        (Argon2Hasher(), 103),
        (Argon2Hasher(time_cost=2, memory_cost=102400, parallelism=8, salt_len=22), 112),
        (BCryptSHA256Hasher(), 74),
        (BCryptHasher(), 67),
        (ScryptHasher(), 128),
    ],
    ids=lambda value: getattr(value, "algorithm", value),
)
def test_A15_1_to_A15_6_the_length_of_what_the_defaults_make(hasher: Hasher, length: int) -> None:
    """Scrypt fills Django's column to its last character."""
    assert len(hasher.encode("x" * 60)) == length


@every
def test_salts_differ(hasher: Hasher) -> None:
    assert len({hasher.encode("same")[:90] for _ in range(50)}) == 50


def test_the_bare_string_of_other_tools_verifies_and_is_weaker() -> None:
    """So that a login rewrites it in Django's form."""
    encoded = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    assert encoded.startswith("$argon2id$")
    assert ARGON2.identify(encoded)
    assert (ARGON2.verify("correct horse", encoded), ARGON2.verify("Correct horse", encoded)) == (True, False)
    assert ARGON2.is_weaker(encoded)


def costs(time: int, memory: int, lanes: int = 1) -> Argon2Hasher:
    return Argon2Hasher(time_cost=time, memory_cost=memory, parallelism=lanes)


def scrypt(work: int, block: int = 8, lanes: int = 1) -> ScryptHasher:
    return ScryptHasher(work_factor=work, block_size=block, parallelism=lanes)


@pytest.mark.parametrize(
    ("mine", "stored", "weaker"),
    [
        (costs(2, 64), costs(2, 64), False),
        (costs(2, 64), costs(1, 64), True),
        (costs(2, 64), costs(2, 63), True),
        (costs(2, 64), costs(3, 64), False),
        (costs(2, 64), costs(2, 128, 8), False),
        (costs(2, 64), costs(1, 128), False),
        (PBKDF2Hasher(iterations=10), PBKDF2Hasher(iterations=9), True),
        (PBKDF2Hasher(iterations=10), PBKDF2Hasher(iterations=10), False),
        (PBKDF2Hasher(iterations=10), PBKDF2Hasher(iterations=11), False),
        (PBKDF2SHA1Hasher(iterations=10), PBKDF2SHA1Hasher(iterations=9), True),
        (PBKDF2SHA1Hasher(iterations=10), PBKDF2SHA1Hasher(iterations=11), False),
        (BCryptSHA256Hasher(rounds=5), BCryptSHA256Hasher(rounds=4), True),
        (BCryptSHA256Hasher(rounds=5), BCryptSHA256Hasher(rounds=5), False),
        (BCryptSHA256Hasher(rounds=5), BCryptSHA256Hasher(rounds=6), False),
        (BCryptHasher(rounds=5), BCryptHasher(rounds=4), True),
        (BCryptHasher(rounds=5), BCryptHasher(rounds=5), False),
        (scrypt(16), scrypt(8), True),
        (scrypt(16, lanes=3), scrypt(16, lanes=2), True),
        (scrypt(16), scrypt(16, block=7), True),
        (scrypt(16), scrypt(16), False),
        (scrypt(16), scrypt(16, block=9), False),
        (scrypt(16), scrypt(32), False),
    ],
)
def test_weaker_is_what_costs_less(mine: Hasher, stored: Hasher, weaker: bool) -> None:
    """D-01, unlike A15.14: equal or stronger stays, so that no login is a downgrade."""
    encoded = stored.encode("x")
    assert mine.verify("x", encoded)
    assert mine.is_weaker(encoded) is weaker


@pytest.mark.parametrize("kind", [argon2.Type.I, argon2.Type.D])
def test_argon2i_and_argon2d_verify_and_are_weaker(kind: argon2.Type) -> None:
    """A15.3: at any cost."""
    encoded = "argon2" + argon2.PasswordHasher(time_cost=9, memory_cost=999, parallelism=1, type=kind).hash("x")
    assert ARGON2.identify(encoded)
    assert (ARGON2.verify("x", encoded), ARGON2.is_weaker(encoded)) == (True, True)


@pytest.mark.parametrize(
    ("hasher", "weak", "strong"),
    [
        (PBKDF2, "pbkdf2_sha256$1$iodizedsalt$" + "A" * 43 + "=", "pbkdf2_sha256$1$" + "s" * 22 + "$" + "A" * 43 + "="),
        (SCRYPT, "scrypt$2$iodizedsalt$1$1$" + "A" * 86 + "==", "scrypt$2$" + "s" * 22 + "$1$1$" + "A" * 86 + "=="),
        (MD5, "md5$" + "s" * 21 + "$" + "0" * 32, "md5$" + "s" * 22 + "$" + "0" * 32),
        (
            ARGON2,
            "argon2$argon2id$v=19$m=8,t=1,p=1$aW9kaXplZHNhbHQ$" + "A" * 43,
            "argon2$argon2id$v=19$m=8,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        ),
    ],
    ids=lambda value: getattr(value, "algorithm", ""),
)
def test_A15_14_a_hash_with_a_salt_of_less_than_128_bits_is_weaker(hasher: Hasher, weak: str, strong: str) -> None:
    assert (hasher.identify(weak), hasher.identify(strong)) == (True, True)
    assert (hasher.is_weaker(weak), hasher.is_weaker(strong)) == (True, False)


ALIKE = [
    ("caf\u00e9 au lait", unicodedata.normalize("NFD", "caf\u00e9 au lait")),
    ("\ufb01nancial", "financial"),
    ("\uff41bcdefgh", "abcdefgh"),
    ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\U0001f469\U0001f467"),
    ("trailing ", "trailing"),
    (" leading", "leading"),
    ("line\n", "line"),
    ("nul\0one", "nul\0two"),
    ("nul\0nul", "nul"),
    ("Case", "case"),
    ("x" * 64 + "a", "x" * 64 + "b"),
    ("x" * 72 + "a", "x" * 72 + "b"),
    ("x" * 72, "x" * 73),
    ("x" * 1023 + "a", "x" * 1023 + "b"),
    ("x" * 1025, "x" * 1024),
    ("\u00e9" * 36 + "a", "\u00e9" * 36 + "b"),
    ("\ufeffbom", "bom"),
    ("x" * 1_000_000 + "a", "x" * 1_000_000 + "b"),
]
alike = pytest.mark.parametrize(("password", "other"), ALIKE, ids=lambda text: f"{ascii(text)[:20]}.{len(text)}")


@whole
@alike
def test_every_byte_of_a_password_counts(hasher: Hasher, password: str, other: str) -> None:
    """D-08, V-102, ASVS 6.2.8: nothing is stripped, folded, normalised or cut off, at byte 73 neither."""
    encoded = hasher.encode(password)
    assert (hasher.verify(password, encoded), hasher.verify(other, encoded)) == (True, False)


@alike
def test_A15_5_what_bcrypt_could_not_tell_apart_it_refuses(password: str, other: str) -> None:
    """D-04, V-102, ASVS 6.2.8: it reads 72 bytes, and begins anew after a NUL."""
    if len(password.encode()) > 72 or "\0" in password:
        with pytest.raises(PasswordRejected):
            BCRYPT.encode(password)
        seen = password.partition("\0")[0].encode()[:72].decode()  # by bcrypt
        assert (BCRYPT.verify(seen, BCRYPT.encode(seen)), BCRYPT.verify(password, BCRYPT.encode(seen))) == (True, False)
    else:
        encoded = BCRYPT.encode(password)
        assert (BCRYPT.verify(password, encoded), BCRYPT.verify(other, encoded)) == (True, False)


@pytest.mark.parametrize("hasher", CHEAPEST, ids=lambda hasher: hasher.algorithm)
async def test_what_cannot_be_stored_is_refused_and_wrong_with_every_hasher(hasher: Hasher) -> None:
    """D-06, D-08: 1,025 bytes, a megabyte, lone surrogates; and what looks much like that is a password."""
    passwords = Passwords(PasswordPolicy(hashers=[hasher], validators=()))
    stored = await passwords.hash("right")
    for password in ("x" * 1025, "\u00e9" * 513, "x" * 1_000_000, "\ud800", "right\udfff", ""):
        with pytest.raises(PasswordRejected):
            await passwords.hash(password)
        assert await passwords.verify(password, stored) is False
    for password in ("\U0001f511" * 18, "e\u0301\u0327", "\u200b", " "):
        assert await passwords.verify(password, await passwords.hash(password))


def test_a_nul_at_the_end_counts_but_for_pbkdf2_and_scrypt() -> None:
    """HMAC fills a short key up with NULs (RFC 2104), so PBKDF2, and scrypt with it, cannot tell, in Django neither."""
    tells = {hasher.algorithm: not hasher.verify("nul\0", hasher.encode("nul")) for hasher in CHEAPEST}
    assert [algorithm for algorithm, can_tell in tells.items() if not can_tell] == [
        "pbkdf2_sha256", "pbkdf2_sha1", "scrypt",
    ]  # fmt: skip


@every
def test_a_summary_shows_neither_salt_nor_hash(hasher: Hasher) -> None:
    """A13.3. Of MD5's salt it shows two characters, as Django."""
    encoded = hasher.encode("x")
    summary = hasher.describe(encoded)
    if "bcrypt" in hasher.algorithm:
        salt, digest, shown = encoded[-53:-31], encoded[-31:], 6
    elif hasher is SCRYPT:
        salt, digest, shown = encoded.split("$")[2], encoded.split("$")[5], 6
    else:
        salt, digest, shown = *encoded.split("$")[-2:], 2 if hasher is MD5 else 6
    assert summary.algorithm == hasher.algorithm
    assert summary.salt == salt[:shown] + "*" * (len(salt) - shown)
    assert summary.hash == digest[:6] + "*" * (len(digest) - 6)
    assert salt[6:] not in repr(summary)
    assert digest[6:] not in repr(summary)


def test_a_summary_tells_the_parameters() -> None:
    """A13.3: in the words of Django's."""
    parameters = {hasher.algorithm: hasher.describe(hasher.encode("x")).parameters for hasher in CHEAPEST}
    assert parameters == {
        "argon2": {"variety": "argon2id", "version": 19, "memory cost": 8, "time cost": 1, "parallelism": 1},
        "pbkdf2_sha256": {"iterations": 1},
        "pbkdf2_sha1": {"iterations": 1},
        "bcrypt_sha256": {"work factor": 4},
        "bcrypt": {"work factor": 4},
        "scrypt": {"work factor": 2, "block size": 1, "parallelism": 1},
        "md5": {},
    }


@pytest.mark.parametrize(
    ("hasher", "options"),
    [
        (Argon2Hasher, {"time_cost": 0}),
        (Argon2Hasher, {"parallelism": 0}),
        (Argon2Hasher, {"memory_cost": 63, "parallelism": 8}),
        (Argon2Hasher, {"salt_len": 15}),
        (Argon2Hasher, {"salt_len": 33}),
        (PBKDF2Hasher, {"iterations": 0}),
        (PBKDF2Hasher, {"iterations": 2**31}),
        (PBKDF2SHA1Hasher, {"iterations": -1}),
        (BCryptSHA256Hasher, {"rounds": 3}),
        (BCryptHasher, {"rounds": 32}),
        (ScryptHasher, {"work_factor": 1}),
        (ScryptHasher, {"work_factor": 16383}),
        (ScryptHasher, {"block_size": 0}),
        (ScryptHasher, {"parallelism": 0}),
        (ScryptHasher, {"work_factor": 2**17, "parallelism": 1}),
        (ScryptHasher, {"parallelism": 10}),
        (ScryptHasher, {"work_factor": 2, "block_size": 129, "parallelism": 8}),
        (ScryptHasher, {"work_factor": 2**16, "block_size": 1}),
    ],
)
def test_parameters_that_cannot_work_are_refused(hasher: type, options: dict[str, int]) -> None:
    """When the hasher is made, not at the first login. An encoded scrypt of 129 characters has no column to go to."""
    with pytest.raises(ConfigurationError, match=hasher.__name__):
        hasher(**options)


@pytest.mark.parametrize("reader", [PasslibReader(), WerkzeugReader()], ids=lambda reader: reader.algorithm)
def test_a_reader_makes_no_hashes(reader: Hasher) -> None:
    """Told when the policy is put to use, before anybody has a password to store."""
    with pytest.raises(ConfigurationError, match="put Argon2Hasher"):
        Passwords(PasswordPolicy(hashers=[reader, Argon2Hasher()], validators=()))
    with pytest.raises(ConfigurationError, match="put Argon2Hasher"):
        reader.encode("x")
    assert reader.is_weaker("whatever it reads")
