"""`asgiauth init`: a site with a login, to begin with. What it writes stands in the folder `starter`."""

from __future__ import annotations

import secrets
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

import click

from .site import Unusable

__all__ = ["init"]


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write a small site with a login into DIRECTORY, by default this one. Overwrites nothing."""
    values = {"key": secrets.token_urlsafe(48), "version": version("asgiauth")}
    templates = sorted(files(__package__).joinpath("starter").iterdir(), key=lambda template: template.name)
    paths = {directory / template.name.removesuffix(".txt"): template for template in templates}
    if present := [path.name for path in paths if path.exists()]:
        raise click.ClickException(f"{', '.join(present)} is there already: name another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, template in paths.items():
            path.touch(mode=0o600 if path.name == ".env" else 0o666, exist_ok=False)
            path.write_text(Template(template.read_text("utf-8")).substitute(values), "utf-8")
    except OSError as error:
        raise Unusable(f"{error.filename} cannot be written ({error.strerror}): name another directory") from error
    where = "here" if directory == Path() else f"in {directory}"
    click.echo(f"Wrote {', '.join(path.name for path in paths)}. Now run {where}:\n")
    click.echo("    python -m pip install -r requirements.txt\n    python app.py\n")
