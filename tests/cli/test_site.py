"""Which Auth is meant, and what is said where there is none: a line, a cure, exit code 2."""

from __future__ import annotations

import io
import re
import sys
from urllib.parse import urlsplit

import pytest

from asgiauth.cli import main, site
from asgiauth.cli.words import printable

from ..databases import SERVERS, server_url
from .conftest import Project

AUTH = """
import secrets
from asgiauth import Auth
def create(): return Auth("sqlite:///app.db", secret_keys=[secrets.token_urlsafe(48)], base_url="https://site.example")
auth = create()
class holder: inner = auth
"""


@pytest.mark.parametrize("how", ["option", "environment", "pyproject", "dotted"])
def test_the_auth_is_named_by_option_environment_or_pyproject(project: Project, how: str) -> None:
    """DESIGN 12; what stands nearer comes first."""
    project.write(AUTH)
    (project.directory / "pyproject.toml").write_text(
        f'[tool.asgiauth]\napp = "{"project_under_test:auth" if how == "pyproject" else "nowhere:auth"}"\n'
    )
    options = {"option": ["--app", "project_under_test:auth"], "dotted": ["--app", "project_under_test:holder.inner"]}
    env = {"ASGIAUTH_APP": "project_under_test:auth"} if how == "environment" else {}
    result = project.run(*options.get(how, []), "check", **env)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "Nothing is wrong.")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("project_under_test:create", "auth = create()"),
        ("project_under_test:secrets", "project_under_test:secrets is not an Auth: its type is module"),
        ("project_under_test:auht", "has no 'auht'; its Auth is called auth"),
        ("project_under_test:holder.outer", "has no 'holder.outer'"),
        ("project_under_test", "give module:auth"),
        (":auth", "give module:auth"),
        ("../project_under_test:auth", "give module:auth, with dots as in an import and without .py"),
        (".project_under_test:auth", "give module:auth"),
        ("project_under_tset:auth", "No module named 'project_under_tset'"),
    ],
)
def test_a_name_that_is_none_or_a_factory_is_one_line_and_exit_code_2(project: Project, spec: str, said: str) -> None:
    project.write(AUTH)
    result = project.run("--app", spec, "users")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("pyproject", "said"),
    [(None, "Give --app module:auth"), ("[tool]\n", "Give --app"), ("tool = 1\n", "Give --app"), ("[", "cannot be")],
)
def test_without_a_name_the_three_ways_to_give_one_are_named(
    project: Project, pyproject: str | None, said: str
) -> None:
    if pyproject is not None:
        (project.directory / "pyproject.toml").write_text(pyproject)
    result = project.run("users")
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_module_that_fails_is_told_by_place_and_not_by_message(project: Project) -> None:
    """No secret is ever printed: an exception's message may hold one. `--traceback` is asked for."""
    project.write("def read(): raise ValueError('hunter2')\nread()\n")
    told = project.run("--app", "project_under_test:auth", "users")
    assert told.exit_code == 2
    assert "ValueError in project_under_test.py:1" in told.stderr
    assert "hunter2" not in told.output
    shown = project.run("--traceback", "--app", "project_under_test:auth", "users")
    assert shown.exit_code == 2
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import sys\nsys.exit(3)\n",
            "ends the program when it is imported, in project_under_test.py:2: put that below",
        ),
        ("x = 1\ndef x(:\n", "SyntaxError in project_under_test.py:2"),
        ("import other_project\n", "ZeroDivisionError in other_project.py:1"),
        ("exec('x(')\n", "SyntaxError in <string>:1"),
        ("raise SyntaxError\n", "SyntaxError in project_under_test.py:1"),
    ],
)
def test_the_place_of_a_failure_is_in_the_application(project: Project, code: str, said: str) -> None:
    """And not in what imports it; a module that ends the program does not end the command without a word."""
    project.write("1 / 0\n", "other_project")
    project.write(code)
    told = project.run("--app", "project_under_test:auth", "users")
    assert (told.exit_code, said in told.stderr) == (2, True), told.output
    assert len(told.stderr.splitlines()) == 1


def test_a_wrong_configuration_is_told_as_it_is(project: Project) -> None:
    project.write(
        "from asgiauth import Auth\nauth = Auth('sqlite:///a.db', secret_keys=[], base_url='https://x.example')"
    )
    result = project.run("--app", "project_under_test:auth", "users")
    assert result.exit_code == 2
    assert "secret_keys is a list of at least one key" in result.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["users", "--nonsense"], ["routes"], ["users", "--limit", "0"]])
def test_what_is_no_command_is_exit_code_2(project: Project, arguments: list[str]) -> None:
    assert project.run(*arguments).exit_code == 2


def test_an_expected_error_is_one_line_and_traceback_shows_where_it_comes_from(
    project: Project, sqlite_url: str
) -> None:
    """No tables: the message says how to make them."""
    project.use(sqlite_url)
    told = project.run("users")
    assert told.exit_code == 1
    assert re.fullmatch(r"Error: .*`asgiauth db upgrade`.*create_tables.*\n", told.stderr)
    shown = project.run("--traceback", "users")
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr


def test_an_unreachable_server_is_one_line_without_its_password(project: Project) -> None:
    project.use("postgresql://ann:hunter2@127.0.0.1:1/none")
    result = project.process("users")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "hunter2" not in result.stdout + result.stderr


@pytest.mark.parametrize("server", [server for server in SERVERS if server != "sqlite"])
@pytest.mark.parametrize(
    "command", [["users"], ["db", "check"], ["db", "upgrade"], ["clearsessions"], ["revoke", "ann"]]
)
def test_a_refused_account_and_an_unknown_database_are_one_line(
    project: Project, server: str, command: list[str]
) -> None:
    """On every command that connects; the account in the URL is not repeated."""
    parts = urlsplit(server_url(server, "asgiauth_nowhere"))
    for netloc, said in [
        (parts.netloc, "no database of that name: create it"),
        (f"nobody_at_all:hunter2@{parts.hostname}:{parts.port}", "refuses the user name or the password"),
    ]:
        project.use(parts._replace(netloc=netloc).geturl())
        result = project.run(*command)
        assert (result.exit_code, len(result.stderr.splitlines()), said in result.stderr) == (1, 1, True), result.output
        assert "hunter2" not in result.output


def test_the_script_is_installed_and_lists_its_commands(project: Project) -> None:
    result = project.process("--help")
    assert result.returncode == 0
    commands = "init db createsuperuser changepassword clearsessions users revoke check routes worker"
    assert all(f"\n  {name} " in result.stdout for name in commands.split())


def test_the_script_runs_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["asgiauth", "--version"])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0


def test_without_click_the_script_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("asgiauth.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 2
    assert 'pip install "asgiauth[cli]"' in capsys.readouterr().err


def test_another_missing_module_is_not_taken_for_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asgiauth.cli.root", None)
    with pytest.raises(ModuleNotFoundError):
        main()


@pytest.mark.parametrize("terminals", [(False, True), (True, True), (False, False)])
def test_progress_is_shown_on_a_terminal_whose_output_goes_elsewhere(
    monkeypatch: pytest.MonkeyPatch, terminals: tuple[bool, bool]
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(site, "is_terminal", lambda stream: terminals[stream is shown])
    assert list(site.watched(iter([1, 2]), "Reading")) == [1, 2]
    assert ("Reading" in shown.getvalue()) == (terminals == (False, True))


def test_what_is_shown_of_the_database_cannot_command_the_terminal() -> None:
    assert printable("Ann\x1b[2J\n") == "Ann�[2J�"


@pytest.mark.parametrize("sits_there", [True, False])
def test_what_cannot_be_counted_is_announced_to_who_sits_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sits_there: bool
) -> None:
    monkeypatch.setattr(site, "is_terminal", lambda stream: sits_there)
    site.announce("Working")
    assert capsys.readouterr().err == ("Working ...\n" if sits_there else "")
