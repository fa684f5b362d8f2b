"""``memopt``: all commands, and the one place that catches memopt's own errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from memopt_cli import __version__
from memopt_cli.cli import report, scenarios, simulate
from memopt_cli.errors import MemoptError, ScenarioError
from memopt_cli.exit_codes import ExitCode

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Exit codes: 0 all held, 2 usage, 3 target failed, 4 inconclusive, 99 crossed.",
)
app.add_typer(scenarios.app, name="scenarios")
app.command("simulate")(simulate.simulate)
app.command("report")(report.report)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"memopt {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Measure what one more connection costs in memory, and whether it is given back."""


def main() -> None:
    """Run the command line, and turn memopt's own errors into one message each."""
    try:
        app()
    except MemoptError as exc:
        _tell(exc)
        raise SystemExit(exc.exit_code) from exc
    except BrokenPipeError:
        # Whoever read the output has gone, as `| head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.INTERNAL_ERROR) from None


def _tell(error: MemoptError) -> None:
    if isinstance(error, ScenarioError):
        scenarios.tell(error.problems)
        return
    colour = None if os.environ.get("NO_COLOR") else typer.colors.RED
    typer.secho(f"error: {error}", fg=colour, err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)
