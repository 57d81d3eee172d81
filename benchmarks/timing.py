"""T01: does the time of a failed login tell whether there is such a user?

Each branch is timed in pairs with an unknown name, in random order, over one connection of its own. AUC: how often the
branch took longer than the unknown name, of all comparisons; 0.5 tells nothing. `k`: logins that an attacker needs to
be right about one name in 95 of 100 cases.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import secrets
from collections.abc import Mapping, Sequence
from statistics import NormalDist, median
from time import perf_counter

from asgiauth.passwords import Argon2Hasher, Hashed, PBKDF2Hasher

from .apps import PASSWORD, make_auth
from .load import Connection, connect, post
from .server import Server

BRANCHES: Mapping[str, Mapping[str, str]] = {
    "unknown user, again": {"username": "?", "password": PASSWORD},
    "wrong password": {"username": "user0", "password": "wrong horse battery"},
    "wrong password, weaker Argon2": {"username": "t01_weak", "password": "wrong horse battery"},
    "wrong password, PBKDF2": {"username": "t01_pbkdf2", "password": "wrong horse battery"},
    "no password set": {"username": "t01_unusable", "password": PASSWORD},
    "inactive, right password": {"username": "t01_inactive", "password": PASSWORD},
    "password too long": {"username": "user0", "password": "x" * 1025},
}
PASSES = {"as it is": "asgiauth", "without the deadline": "hurried asgiauth"}


async def prepare(url: str) -> None:
    """The users whose stored hashes are not the usual ones."""
    weak = Argon2Hasher(time_cost=1, memory_cost=7168)
    async with make_auth(url) as auth:
        password = await auth.passwords.hash(PASSWORD)
        await auth.users.create("t01_weak", password=Hashed(weak.encode(PASSWORD)))
        await auth.users.create("t01_pbkdf2", password=Hashed(PBKDF2Hasher(iterations=100_000).encode(PASSWORD)))
        await auth.users.create("t01_unusable")
        await auth.users.create("t01_inactive", password=password, is_active=False)


def report(url: str, *, pairs: int) -> str:
    asyncio.run(prepare(url))
    rows = []
    for title, app in PASSES.items():
        with Server(app, url) as server:
            timed = asyncio.run(_timed(server.port, pairs))
        rows += [_row(title, branch, measured) for branch, measured in timed.items()]
    head = [
        "| | branch | median ms | unknown ms | median difference, 99 % CI | AUC | k |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    return "\n".join([*head, *rows])


async def _timed(port: int, pairs: int) -> dict[str, list[tuple[float, float]]]:
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await connect(port, lambda _, answer: answers.put_nowait(answer))
    for _ in range(5):
        await _once(connection, answers, {"username": "user0", "password": PASSWORD}, expected=b" 200 ")
    timed: dict[str, list[tuple[float, float]]] = {branch: [] for branch in BRANCHES}
    for _ in range(pairs):
        for branch, fields in BRANCHES.items():
            both = [(True, fields), (False, {**fields, "username": "?", "password": PASSWORD})]
            random.shuffle(both)
            took = {known: await _once(connection, answers, given) for known, given in both}
            timed[branch].append((took[True], took[False]))
    connection.transport.close()
    return timed


async def _once(
    connection: Connection, answers: asyncio.Queue[bytes], fields: Mapping[str, str], expected: bytes = b" 401 "
) -> float:
    """Milliseconds. `?` stands for a name that nobody has."""
    name = fields["username"].replace("?", f"nobody{secrets.token_hex(6)}")
    request = post("/auth/login", json.dumps({**fields, "username": name}))
    began = perf_counter()
    connection.send(request, began)
    answer = await answers.get()
    took = perf_counter() - began
    if expected not in answer.partition(b"\r\n")[0]:
        raise RuntimeError(f"{fields['username']}: {answer!r}")
    return 1000 * took


def _row(title: str, branch: str, measured: Sequence[tuple[float, float]]) -> str:
    known, unknown = zip(*measured, strict=True)
    differences = [one - other for one, other in measured]
    low, high = _interval(differences)
    auc = _auc(known, unknown)
    cells = [
        title,
        branch,
        f"{median(known):.2f}",
        f"{median(unknown):.2f}",
        f"{median(differences):+.2f} ({low:+.2f} .. {high:+.2f})",
        f"{auc:.2f}",
        _needed(auc),
    ]
    return f"| {' | '.join(cells)} |"


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """Of the median, by bootstrap."""
    medians = sorted(median(random.choices(differences, k=len(differences))) for _ in range(2000))
    return medians[10], medians[-11]


def _auc(known: Sequence[float], unknown: Sequence[float]) -> float:
    """Mann-Whitney U, divided by the number of comparisons."""
    wins = sum((one > other) + (one == other) / 2 for one in known for other in unknown)
    return wins / (len(known) * len(unknown))


def _needed(auc: float) -> str:
    share = max(auc, 1 - auc)
    if share in (0.5, 1.0):
        return "1" if share == 1.0 else "-"
    return f"{math.ceil((3.29 / (math.sqrt(2) * NormalDist().inv_cdf(share))) ** 2)}"
