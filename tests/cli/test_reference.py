"""The reference has every command, option and code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asgiauth.cli.root import root

ROOT = Path(__file__).parents[2]
_FINDING = ("findings", "app_findings", "hashing", "origins", "beside_django")
REFERENCE = (ROOT / "docs/reference/commands.md").read_text()


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield prefix + name, command


def test_every_command_and_option_is_in_the_reference_and_has_help() -> None:
    for name, command in commands(root):
        assert re.search(rf"^\| `{name}[ `]", REFERENCE, re.MULTILINE), name
        assert command.help, name
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert all(option.help for option in options), name
        missing = [option.opts[0] for option in options if option.opts[0] not in REFERENCE]
        assert missing == []


def test_every_code_of_check_is_in_the_reference() -> None:
    sources = "".join((ROOT / f"asgiauth/cli/{name}.py").read_text() for name in _FINDING)
    codes = set(re.findall(r'Finding\(\s*"([a-z_]+)"', sources)) | {"is_anonymous_is_a_method"}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in REFERENCE} == set()


def test_the_commands_and_checks_of_features_stand_beside_ours(tmp_path: Path) -> None:
    """`Contribution.commands` and `.checks`, in the example of a feature; a command that nobody has is told so."""
    (tmp_path / "shop.py").write_text(
        "from datetime import timedelta\n"
        "from asgiauth import Auth\n"
        "from examples.custom_feature.keys import MachineKeys\n"
        f"auth = Auth('sqlite:///{tmp_path}/a.db', secret_keys=['4WQmwRPCzYl0S9EXAyMTtY4wNqzM5dM7nYk1HtSg2cU'],\n"
        "            base_url='https://site.example', features=[MachineKeys(lifetime=timedelta(days=1000))])\n"
    )

    def asgiauth(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from asgiauth.cli import main; main()", "--app", "shop:auth", *arguments]
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    assert "machinekeys" in asgiauth("--help").stdout
    assert "Created" in asgiauth("db", "upgrade").stdout or asgiauth("db", "check").returncode == 0
    assert asgiauth("machinekeys").stdout == "0\n"
    assert "machine_keys_live_long" in asgiauth("check").stdout
    unknown = asgiauth("nothing")
    assert (unknown.returncode, "No such command" in unknown.stderr) == (2, True)
    assert "machinekeys" not in asgiauth("--app", "shop:nothing", "--help").stdout


def test_they_are_found_in_this_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "market.py").write_text(
        "from datetime import timedelta\n"
        "from tests.conftest import make_auth\n"
        "from examples.custom_feature.keys import MachineKeys\n"
        f"auth = make_auth('sqlite:///{tmp_path}/b.db', features=[MachineKeys(lifetime=timedelta(days=1000))])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    invoke = CliRunner().invoke
    assert "machinekeys" in invoke(root, ["--app", "market:auth", "--help"]).output
    assert "machine_keys_live_long" in invoke(root, ["--app", "market:auth", "check"]).output
    assert invoke(root, ["--app", "market:auth", "nothing"]).exit_code == 2
