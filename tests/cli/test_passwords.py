"""`asgiauth passwords wrap` on each server, and `asgiauth calibrate`."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import delete, insert

from asgiauth import PasswordPolicy
from asgiauth.cli import passwords as commands
from asgiauth.db import Unit
from asgiauth.passwords import Argon2Hasher, Hashed, preferring
from asgiauth.passwords.calibration import Calibration, Measured
from asgiauth.testing import client, force_login
from asgiauth.users.wrapping import OldHashes

from ..conftest import make_auth
from ..sites import site
from .conftest import Project

PASSWORD = "correct horse battery"
CHEAP = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
SITE = """
from asgiauth import PasswordPolicy
from asgiauth.passwords import Argon2Hasher, preferring
from tests.conftest import make_auth
hashers = preferring(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))
auth = make_auth({url!r}, passwords=PasswordPolicy(hashers=hashers, hash_slots=3){more})
"""


def md5(salt: str) -> str:
    return f"md5${salt}${hashlib.md5((salt + PASSWORD).encode()).hexdigest()}"


def policy() -> PasswordPolicy:
    return PasswordPolicy(hashers=preferring(CHEAP), failure_deadline=0)


def use(project: Project, url: str, more: str = "") -> None:
    project.write(SITE.format(url=url, more=more))
    (project.directory / "pyproject.toml").write_text('[tool.asgiauth]\napp = "project_under_test:auth"\n')


def prepare(url: str, **hashes: str) -> None:
    async def create() -> None:
        async with make_auth(url, passwords=policy()) as auth:
            await auth.create_tables()
            for name, encoded in hashes.items():
                await auth.users.create(name, password=Hashed(encoded))

    asyncio.run(create())


def stored(url: str) -> dict[str, str]:
    async def read() -> dict[str, str]:
        async with make_auth(url, passwords=policy()) as auth:
            return {user.username: user.password for user in (await auth.users.page()).items}

    return asyncio.run(read())


def test_A15_16_old_hashes_are_wrapped_and_everybody_stays_logged_in(project: Project, url: str) -> None:
    """By another process, while the site is running."""
    bare = hashlib.md5(PASSWORD.encode()).hexdigest()
    prepare(url, ann=md5("seasalt"), bob=bare, cyd=CHEAP.encode(PASSWORD))
    use(project, url)

    async def run() -> list[Any]:
        async with make_auth(url, passwords=policy()) as auth, client(site(auth)) as browser:
            ann = await auth.users.find("ann")
            assert ann is not None
            await force_login(browser, ann)
            result = await asyncio.to_thread(project.process, "passwords", "wrap", "md5", "unsalted_md5")
            assert (result.returncode, result.stdout) == (0, "2 wrapped: md5 1, unsalted_md5 1.\n")
            assert result.stderr == ""
            said = [(await browser.get("/who")).json()]
            for name in ("ann", "bob", "cyd"):
                user = await auth.users.find(name)
                assert user is not None
                said.append(await auth.users.check_password(user, PASSWORD))
            return [*said, (await browser.get("/who")).json()]

    assert asyncio.run(run()) == ["ann", True, True, True, "ann"]
    assert all(encoded.startswith("argon2$") for encoded in stored(url).values())
    again = project.run("passwords", "wrap", "md5", "unsalted_md5")
    assert (again.exit_code, again.stdout) == (0, "0 wrapped.\n")


def test_A15_16_a_dry_run_only_counts(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url, ann=md5("a"), bob=md5("b"))
    before = stored(sqlite_url)
    use(project, sqlite_url)
    said = project.run("passwords", "wrap", "--dry-run", "md5", "sha1")
    assert (said.exit_code, said.stdout) == (0, "2 to wrap: md5 2.\n")
    assert json.loads(project.run("passwords", "wrap", "--dry-run", "--json", "md5").stdout) == {"md5": 2}
    assert stored(sqlite_url) == before


def test_A15_16_batches_and_json_for_scripts(project: Project, sqlite_url: str) -> None:
    """One that cannot be wrapped makes the exit code 1, and shows no hash."""
    prepare(sqlite_url, **{f"user{number}": md5(f"s{number}") for number in range(5)}, long=md5("s" * 70))
    use(project, sqlite_url)
    done = project.run("passwords", "wrap", "--batch", "2", "--json", "md5")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["wrapped"], said["changed"], len(said["refused"])) == ({"md5": 5}, 0, 1)
    assert "the column has 128" in said["refused"][0]["reason"]
    again = project.run("passwords", "wrap", "md5")
    assert (again.exit_code, again.stdout) == (1, "0 wrapped.\n")
    assert f"User {said['refused'][0]['user']}: wrapped it would have" in again.stderr
    assert "1 not wrapped." in again.stderr
    assert "s" * 70 not in again.output


def test_A15_16_a_former_password_that_cannot_be_wrapped_is_told_with_its_row(
    project: Project, sqlite_url: str
) -> None:
    """Another password would not help: deleting that row is the cure."""
    prepare(sqlite_url, ann=CHEAP.encode(PASSWORD))

    async def execute(*statements: Any) -> None:
        async with make_auth(sqlite_url, passwords=policy()) as auth:

            async def work(unit: Unit) -> None:
                for statement in statements:
                    await unit.changed(statement)

            await auth._database.atomic(work)

    table = make_auth(sqlite_url).tables.password_history
    asyncio.run(execute(*(insert(table).values(user_id=1, encoded=md5(letter * 70)) for letter in "st")))
    use(project, sqlite_url)
    said = project.run("passwords", "wrap", "md5")
    assert (said.exit_code, "2 not wrapped." in said.stderr, "Give that user" in said.stderr) == (1, True, False)
    assert "User 1, a former password: wrapped it would have" in said.stderr
    refused = json.loads(project.run("passwords", "wrap", "--json", "md5").stdout)["refused"]
    assert [one["history"] for one in refused] == [1, 2]
    assert f"Delete the row with the id 2 of {table.name}:" in said.stderr
    asyncio.run(execute(delete(table).where(table.c.id.in_([1, 2]))))
    assert project.run("passwords", "wrap", "md5").exit_code == 0


def test_A15_16_what_changed_meanwhile_is_told(
    project: Project, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(sqlite_url, ann=md5("a"))
    use(project, sqlite_url)

    async def lost(*_: object) -> bool:
        return False

    monkeypatch.setattr(OldHashes, "_replace", lost)
    said = project.run("passwords", "wrap", "md5")
    assert (said.exit_code, said.stdout.splitlines()[1]) == (0, "1 changed meanwhile, by a login or to a new password.")


def test_A15_16_in_a_terminal_there_is_a_bar(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url, **{f"user{number}": md5(f"s{number}") for number in range(4)})
    use(project, sqlite_url)
    terminal = project.terminal("passwords", "wrap", "--batch", "1", "md5")
    assert terminal.end() == 0
    assert "Wrapping" in terminal.seen
    assert "4/4" in terminal.seen
    assert "4 wrapped: md5 4." in terminal.seen


def test_A15_16_the_bar_is_on_stderr(project: Project, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "is_terminal", lambda stream: True)
    prepare(sqlite_url, ann=md5("a"))
    use(project, sqlite_url)
    result = project.run("passwords", "wrap", "--json", "md5")
    assert json.loads(result.stdout)["wrapped"] == {"md5": 1}
    assert "Wrapping" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["wrap"], 2, "Missing argument"),
        (["wrap", "crypt"], 2, "unsalted_sha1"),
        (["wrap", "--batch", "0", "md5"], 2, "--batch"),
    ],
)
def test_A15_16_what_cannot_be_meant_is_refused(
    project: Project, sqlite_url: str, arguments: list[str], status: int, said: str
) -> None:
    use(project, sqlite_url)
    result = project.run("passwords", *arguments)
    assert (result.exit_code, said in result.stderr) == (status, True)


def test_A15_16_a_policy_that_could_not_read_them_is_told_the_cure(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url, ann=md5("a"))
    project.use(sqlite_url)
    result = project.run("passwords", "wrap", "md5")
    assert (result.exit_code, "list WrappedHasher()" in result.stderr) == (1, True)
    assert stored(sqlite_url) == {"ann": md5("a")}


def test_A15_16_sessions_in_memory_are_out_of_reach_and_that_is_said(project: Project, sqlite_url: str) -> None:
    prepare(sqlite_url, ann=md5("a"))
    memory = "__import__('asgiauth.sessions.memory', fromlist=['x']).MemorySessionStore()"
    use(project, sqlite_url, f", sessions=__import__('asgiauth').SessionPolicy(store={memory})")
    result = project.run("passwords", "wrap", "md5")
    assert (result.exit_code, result.stdout) == (0, "1 wrapped: md5 1.\n")
    assert "must log in again" in result.stderr


def found(*, is_within: bool = True) -> Calibration:
    rows = [Measured(19456, 6, 0.2), Measured(65536, 2, 0.22)]
    return Calibration(2, rows, rows[1], is_within)


def test_calibrate_prints_a_line_to_paste(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of what was measured; the line runs."""
    asked: list[Any] = []

    def calibrated(target: float, **options: Any) -> Calibration:
        asked.append((target, options))
        return found(is_within=len(asked) < 2)

    monkeypatch.setattr(commands, "calibrated", calibrated)
    monkeypatch.setattr(commands, "is_terminal", lambda stream: True)
    result = project.run("calibrate", "--target-ms", "300", "--memory", "512", "--slots", "2")
    assert result.exit_code == 0
    assert asked == [(0.3, {"memory": 512, "slots": 2})]
    assert result.stderr == "Measuring ...\n"
    assert result.stdout.splitlines()[0] == "2 hash slots, at most 300 ms and 512 MiB in all:"
    assert "->   64       2     220       9.1         128" in result.stdout
    code = result.stdout.partition("\n\n")[2].partition("\n\n")[2]
    names: dict[str, Any] = {"PasswordPolicy": PasswordPolicy}
    *imports, line = code.strip().splitlines()
    exec("\n".join(imports), names)
    made = eval(line, names)
    assert ast.parse(line)
    assert made.hashers[0]._hasher.memory_cost == 65536
    slow = project.run("calibrate", "--slots", "2")
    assert "Go no lower" in slow.stdout


def test_calibrate_measures_this_machine_with_the_slots_of_the_auth(project: Project, sqlite_url: str) -> None:
    """Its structure; how fast it is says nothing. Without an Auth this machine's slots."""
    use(project, sqlite_url)
    result = project.run("calibrate", "--target-ms", "1", "--memory", "24", "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["slots"], said["target_ms"], said["is_within"]) == (3, 1, False)
    assert [row["memory_cost"] for row in said["measured"]] == [7168]
    assert said["best"] == said["measured"][0]
    assert said["best"]["time_cost"] == 5
    assert "memory_cost=7168" in said["code"]
    (project.directory / "pyproject.toml").unlink()
    alone = project.run("calibrate", "--target-ms", "1", "--memory", "28", "--json")
    assert 1 <= json.loads(alone.stdout)["slots"] <= 4


def test_calibrate_says_how_much_memory_it_needs(project: Project) -> None:
    result = project.run("calibrate", "--memory", "6", "--slots", "1")
    assert (result.exit_code, "need 7 MiB at least" in result.stderr) == (1, True)
