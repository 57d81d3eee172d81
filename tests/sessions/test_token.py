"""T04: what a session token is made of."""

from __future__ import annotations

import subprocess
import sys
from base64 import urlsafe_b64decode
from collections import Counter
from math import log2
from pathlib import Path

WORKERS, EACH = 4, 250_000
PROGRAM = f"""
import os, sys
from asgiauth.sessions.record import new_token

new_token()  # before the fork: nobody goes on with what another has begun
children = []
for number in range({WORKERS}):
    child = os.fork()
    if not child:
        with open(os.path.join(sys.argv[1], str(number)), "w") as file:
            file.writelines(new_token() + "\\n" for _ in range({EACH}))
        os._exit(0)
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def test_T04_a_million_tokens_of_four_forked_workers_are_distinct_and_have_256_bits(tmp_path: Path) -> None:
    """D-10, ASVS 11.5.2: 43 characters of base64url; every byte takes every value, and none is more likely."""
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True, timeout=100)
    tokens = [token for number in range(WORKERS) for token in (tmp_path / str(number)).read_text().splitlines()]
    assert len(tokens) == len(set(tokens)) == WORKERS * EACH
    assert {len(token) for token in tokens} == {43}
    raw = [urlsafe_b64decode(token + "=") for token in tokens[:: WORKERS * 2]]
    assert {len(token) for token in raw} == {32}
    assert [len({token[place] for token in raw}) for place in range(32)] == [256] * 32
    counts = Counter(b"".join(raw))
    (_, most), together = counts.most_common(1)[0], counts.total()
    assert -log2(most / together) >= 7.9  # the most common value, as SP 800-90B 6.3.1 estimates
