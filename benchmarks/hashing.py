"""A hundred people log in at the same moment: how much memory do the hashes take, and how long is the loop held up?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median

from . import load
from .apps import PASSWORD
from .load import Traffic
from .server import Server

AT_ONCE = 100
CONTESTANTS = {"asgiauth, its own slots": "watched asgiauth", "by hand, 40 threads of anyio": "watched shared threads"}


@dataclass(frozen=True)
class Crowd:
    logins: Traffic
    stall: float
    """Milliseconds: the longest that the event loop was held up."""
    idle_memory: float
    peak_memory: float


def report(url: str, users: Sequence[str], *, rounds: int) -> str:
    """The table, for SQLite; the contestants take turns, each time in a fresh process."""
    crowds: dict[str, list[Crowd]] = {title: [] for title in CONTESTANTS}
    for _ in range(rounds):
        for title, app in CONTESTANTS.items():
            with Server(app, url) as server:
                crowds[title].append(asyncio.run(_crowd(server, users)))
    ours, by_hand = crowds.values()
    memory = _most_memory(ours) / _most_memory(by_hand)
    stall = _longest_stall(ours) / _longest_stall(by_hand)
    return "\n".join(
        [
            "| | answered | refused (503) | logins/s | p50 ms | longest stall ms | RSS MiB | peak |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
            *(_row(title, several) for title, several in crowds.items()),
            "",
            f"asgiauth : by hand: {memory:.2f} of the memory for hashes, {stall:.2f} of the stall.",
        ]
    )


async def _crowd(server: Server, users: Sequence[str]) -> Crowd:
    requests = cycle([load.post("/auth/login", json.dumps({"username": name, "password": PASSWORD})) for name in users])
    for _ in range(3):
        await load.ask(server.port, next(requests))  # warm: a login creates its threads and its hasher
    idle_memory = server.memory("VmRSS")
    await load.ask(server.port, load.get("/stall"))
    logins = await load.closed_loop(
        server.port, requests.__next__, expected=b'"user"', connections=AT_ONCE, seconds=0.0, stragglers=120.0
    )
    stall = (await load.ask(server.port, load.get("/stall"))).rpartition(b"\r\n")[2]
    return Crowd(logins, float(stall), idle_memory, server.memory("VmHWM"))


def _row(title: str, crowds: Sequence[Crowd]) -> str:
    idle = median(crowd.idle_memory for crowd in crowds)
    cells = [
        title,
        str(sum(len(crowd.logins.latencies) for crowd in crowds)),
        str(sum(crowd.logins.bad for crowd in crowds)),
        f"{median(crowd.logins.rate for crowd in crowds):.1f}",
        f"{median(crowd.logins.milliseconds(0.5) for crowd in crowds):.0f}",
        f"{_longest_stall(crowds):.1f}",
        f"{idle:.0f}",
        f"{max(crowd.peak_memory for crowd in crowds):.0f} ({_most_memory(crowds):+.0f})",
    ]
    return f"| {' | '.join(cells)} |"


def _longest_stall(crowds: Sequence[Crowd]) -> float:
    return max(crowd.stall for crowd in crowds)


def _most_memory(crowds: Sequence[Crowd]) -> float:
    return max(crowd.peak_memory - crowd.idle_memory for crowd in crowds)
