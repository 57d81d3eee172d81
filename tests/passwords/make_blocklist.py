"""Writes asgiauth/passwords/data/common-passwords.txt.gz, the blocklist of D-07, and prints its counts.

Run `make blocklist`, which is `python -m tests.passwords.make_blocklist`; it needs npm. It lives with the tests, as
tests/parity/make_golden.py does, because asgiauth itself starts no program (and test_blocklist.py compares the two).

The one source is `passwords.json` of the npm package @zxcvbn-ts/language-common, whose licence, MIT, is in NOTICE.
Django's own list is not used: Django is BSD, but the list comes from a gist without a licence. Real lists are of short
passwords, and hold some forty of 15 characters and more, so the rest is made here, from what people do when a form asks
for more characters: repeat a password, fill it up, go on along the keyboard, put two together, say something well-known.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

PACKAGE = "@zxcvbn-ts/language-common@4.1.3"
SHA256 = "bf3027c16c069d7877e25dc8751bc819e10e479afcc5ee1a323eb2ab73129ca9"
LIST = Path(__file__).resolve().parents[2] / "asgiauth" / "passwords" / "data" / "common-passwords.txt.gz"
LONG = 15
"""Characters that NIST asks for where there is no second factor (D-05)."""

WALKS = (
    "1234567890",
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1qazxsw23edcvfr45tgbnhy67ujmki89olp0",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2b3c4d5e6f7g8h9i0j",
    "aabbccddeeffgghhiijjkkllmmnnooppqqrrssttuuvvwwxxyyzz",
    "11223344556677889900",
    "111222333444555666777888999000",
    "147258369",
    "159753",
    "741852963",
    "!@#$%^&*()",
    "qweasdzxc",
    "qwe123asd456zxc789",
    "abc123def456ghi789",
)
"""Along the keyboard, the alphabet, the digits; each is taken as a ring, forwards and backwards."""

STEMS = "password passw0rd p@ssword p@ssw0rd pa$$word pa$$w0rd pa55word welcome w3lcome admin administrator letmein changeme"
STEMS += " qwerty football baseball iloveyou superman master secret login access internet computer company office user"
SEASONS = (
    "spring summer autumn fall winter january february march april may june july august september october november"
)
SEASONS += " december monday tuesday wednesday thursday friday saturday sunday easter christmas"
YEARS = range(1990, 2031)
ENDS = ("", "!", "1", "123", "123!")

PHRASES = """
a man a plan a canal panama/abra cadabra/all you need is love/all your base are belong to us/an apple a day keeps the
doctor away/another one bites the dust/are you talking to me/be yourself/believe in yourself/better late than never/big
brother is watching you/call me maybe/can you keep a secret/carpe diem/change me now/change me please/change this
password/correct horse battery/correcthorsebatterystaple/do not enter/do not tell anyone/do or do not there is no
try/don't forget me/don't panic/don't worry be happy/enter password here/enter sandman/et phone home/every cloud has a
silver lining/follow the white rabbit/for the love of god/forgot my password/forget me not/forgotten password/game of
thrones/game over/god bless america/god bless you/god is good/god is great/god is love/good morning/good night/guess my
password/guess what/hakuna matata/happy birthday/happy birthday to you/happy christmas/happy new year/harry
potter/hasta la vista baby/have a nice day/hello kitty/hello my name is/hello world/here comes the sun/here we go
again/home sweet home/honey bunny/houston we have a problem/i am iron man/i am legend/i am the best/i am the one/i am
the walrus/i am your father/i dont care/i dont know/i dont know my password/i forgot/i forgot my password/i hate
mondays/i hate my life/i hate passwords/i hate this password/i hate you/i have a dream/i have no idea/i like big
butts/i like cheese/i love chocolate/i love football/i love god/i love jesus/i love me/i love mom/i love mommy/i love
music/i love my baby/i love my cat/i love my dad/i love my daughter/i love my dog/i love my family/i love my
husband/i love my kids/i love my life/i love my mom/i love my mother/i love my sister/i love my son/i love my wife/i love
myself/i love pizza/i love you/i love you all/i love you always/i love you baby/i love you babe/i love you forever/i love
you honey/i love you more/i love you mom/i love you so much/i love you too/i love you very much/i miss you/i miss you so
much/i need a vacation/i need you/i see dead people/i solemnly swear/i want to believe/i will always love you/i will
survive/ich liebe dich/im lovin it/im the best/im your father/in god we trust/in the end/in the name of love/in the
name of the father/it is what it is/je t'aime/jesus christ/jesus christ is lord/jesus is lord/jesus is my savior/jesus
loves me/jesus loves you/jesus saves/just do it/justin bieber/keep calm and carry on/keep it simple/keep it simple
stupid/king of the world/knock knock/leave me alone/led zeppelin/let it be/let it go/let me in/let me in now/let me in
please/let there be light/life goes on/life is beautiful/life is good/life is short/linkin park/live and let die/live
laugh love/live long and prosper/liverpool football club/long live the king/lord of the rings/lose yourself/lost in
space/love hurts/love is all you need/love is blind/love me forever/love me tender/love you/love you forever/luke i am
your father/make love not war/manchester city/manchester united/mary had a little lamb/may the force be with you/merry
christmas/mickey mouse/mission impossible/my heart will go on/my name is/my name is earl/my new password/my old
password/my password/my password is/my password is password/my precious/my secret password/my very long password/never
ever give up/never forget/never gonna give you up/never give up/never mind/never say never/new password/new york
city/new york yankees/no more passwords/no pain no gain/no password/not a password/nothing else matters/oh my god/one
love/one ring to rule them all/one two three/one two three four/one two three four five/open sesame/open the door/open
up/our father who art in heaven/over the rainbow/password is password/password password/password please/peace and
love/peace out/pirates of the caribbean/play the game/please change me/please help me/please let me in/practice makes
perfect/praise the lord/real madrid/red hot chili peppers/remember me/remember this/rest in peace/rock and roll/roses are
red/san francisco/save the world/say my name/secret password/sex drugs and rock and roll/shut up/silent night/smells
like teen spirit/smile like you mean it/something secret/stairway to heaven/star light star bright/star trek/star
wars/stay hungry stay foolish/stay strong/super secret password/sweet dreams/system of a down/take it easy/teenage mutant
ninja turtles/test password/test test test/thank god/thank you/thank you jesus/thank you lord/the answer is
42/the beatles/the best/the best password/the cake is a lie/the dark knight/the dark side/the end/the end of the
world/the godfather/the great gatsby/the hunger games/the incredible hulk/the last of us/the lion king/the lord is my
shepherd/the matrix/the one and only/the password/the password is/the password is password/the quick brown fox/the quick
brown fox jumps over the lazy dog/the rolling stones/the simpsons/the spice must flow/the truth is out there/the
walking dead/there is no spoon/this is a password/this is a secret/this is a strong password/this is a test/this is a
very long password/this is it/this is me/this is my account/this is my life/this is my password/this is my secret/this is
not a password/this is sparta/this is stupid/this is the password/this password sucks/time flies/to be or not to be/to
infinity and beyond/to the moon/to the moon and back/too many passwords/top secret/trust in god/trust me/trust no
one/trust nobody/twinkle twinkle little star/united states/united states of america/very long password/very secret
password/we are the champions/we are the world/we will rock you/welcome back/welcome home/welcome to hell/welcome to the
jungle/what a wonderful world/what does the fox say/what ever/what is my password/what is the password/what the
fuck/what the hell/whats my name/whats my password/whats up doc/when in rome/where is my mind/where the wild things
are/who are you/who knows/who let the dogs out/why so serious/winner winner chicken dinner/winnie the pooh/winter is
coming/wish you were here/with great power comes great responsibility/wonder woman/yes we can/yesterday/you are my
sunshine/you are the best/you can't see me/you complete me/you only live once/you rock/you shall not pass/your
password/your password here/yellow submarine
"""
"""What people say anyway: proverbs, songs, films, teams, and answers to "choose a password". Written for this list."""


def repeated(passwords: Sequence[str]) -> Iterator[str]:
    """The first 6,000 again and again: until they are long enough for 8 characters, and for 15."""
    for password, length in product(passwords[:6_000], (8, LONG)):
        times = -(-length // len(password))
        if times > 1:
            yield password * times


def characters() -> Iterator[str]:
    """One character, 8 to 32 times."""
    for character, length in product("abcdefghijklmnopqrstuvwxyz0123456789!@#$%*-_=+.,?/ ", range(8, 33)):
        yield character * length


def walks() -> Iterator[str]:
    """Each walk from each of its places, 8 to 20 keys long, and twice and three times round."""
    for walk in (*WALKS, *(walk[::-1] for walk in WALKS)):
        for start, length in product(range(len(walk)), {*range(8, 21), 2 * len(walk), 3 * len(walk)}):
            yield (walk[start:] + walk * 20)[: min(length, 40)]


def filled(words: Sequence[str]) -> Iterator[str]:
    """The first 1,500 words filled up to 15 characters: with digits in order, before or behind, or with one character
    alone; and with a whole run of digits, however long that becomes."""
    for word in words[:1_500]:
        missing = LONG - len(word)
        digits = "12345678901"[:missing]
        yield from (word + digits, digits + word)
        yield from (word + run for run in ("1234567890", "123456789", "0123456789", "987654321", "123123123"))
    for word, character in product(words[:500], "01!.*"):
        yield word + character * (LONG - len(word))
    yield from (word + word[-1] * (LONG - len(word)) for word in words[:500])


def pairs(words: Sequence[str]) -> Iterator[str]:
    """Two of the first 100 words of seven letters and more, joined."""
    yield from (first + second for first, second in product([word for word in words if len(word) >= 7][:100], repeat=2))


def tailed(words: Sequence[str]) -> Iterator[str]:
    """The first 2,500 words with what people put behind a word."""
    yield from (
        word + tail for word, tail in product(words[:2_500], ("1", "2", "12", "13", "123", "1234", "!", "123!"))
    )


def dated() -> Iterator[str]:
    """`Summer2026!`: a season, a month, a day or a stem, a year, and what satisfies a form."""
    for stem, year, end in product((SEASONS + " " + STEMS).split(), YEARS, ENDS):
        yield f"{stem}{year}{end}"


def phrases() -> Iterator[str]:
    """Joined, with blanks, hyphens and underscores; and with what satisfies a form."""
    for phrase in " ".join(PHRASES.split("\n")).split("/"):
        words = phrase.split()
        yield from (joint.join(words) for joint in (" ", "-", "_", "."))
        yield from ("".join(words) + end for end in ENDS)
        yield "".join(words).replace("'", "")


def generated(passwords: Sequence[str]) -> set[str]:
    """What the rules make of the passwords of the source, most used first; 8 to 64 characters."""
    words = [word for word in passwords if word.isalpha() and word.isascii() and 4 <= len(word) <= 12]
    made = {*repeated(passwords), *characters(), *walks(), *filled(words), *pairs(words), *tailed(words)}
    made |= {*dated(), *phrases()}
    return {lowered for entry in made if 8 <= len(lowered := entry.strip().lower()) <= 64}


def source() -> list[str]:
    """The passwords of the package, most used first, lower case. Raises `SystemExit` when it is not the known one."""
    with tempfile.TemporaryDirectory() as directory:
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--pack-destination", directory, PACKAGE],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        path = Path(directory, packed.stdout.strip())
        if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != SHA256:
            raise SystemExit(f"{PACKAGE} has the digest {digest}, not {SHA256}: look at what changed")
        with tarfile.open(path) as archive:
            member = archive.extractfile("package/src/passwords.json")
            if member is None:
                raise SystemExit(f"{PACKAGE} has no src/passwords.json")
            return list(dict.fromkeys(word for entry in json.load(member) if (word := str(entry).strip().lower())))


def main() -> None:
    passwords = source()
    # the source first and in its order: test_blocklist.py makes the rest anew from it
    extra = sorted(generated(passwords) - set(passwords))
    text = "\n".join((*passwords, *extra)) + "\n"
    LIST.parent.mkdir(exist_ok=True)
    LIST.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    entries = (*passwords, *extra)
    counts = {least: sum(len(entry) >= least for entry in entries) for least in (1, 8, LONG)}
    print(f"{LIST.stat().st_size:,} bytes; entries of at least so many characters: {counts}; {len(passwords):,} real")


if __name__ == "__main__":
    main()
