"""``memopt``: all commands, and the one place that catches memopt's own errors."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import Annotated

import typer

from memopt_cli import __version__
from memopt_cli.cli import compare, doctor, report, scenarios, simulate, watch
from memopt_cli.errors import MemoptError, ScenarioError
from memopt_cli.exit_codes import ExitCode

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog=(
        "simulate exits 0 if all held, 2 usage, 3 target failed, 4 inconclusive, "
        "75 not finished, 99 crossed."
    ),
)
app.add_typer(scenarios.app, name="scenarios")
app.command("simulate")(simulate.simulate)
app.command("watch", context_settings=watch.SETTINGS)(watch.watch)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"memopt {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure what one more connection costs in memory, and whether it is given back."""
    if context.invoked_subcommand not in ("simulate", "watch"):
        # As other tools do when `head` has seen enough; a run goes on without its reader.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def main() -> None:
    """Run the command line, and turn memopt's own errors into one message each."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal cannot show is no reason to lose the rest.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except MemoptError as exc:
        _tell(exc)
        raise SystemExit(exc.exit_code) from exc
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        _tell(MemoptError(f"the output could not be written: {exc.strerror}"))
        raise SystemExit(ExitCode.USAGE_ERROR) from exc


def _tell(error: MemoptError) -> None:
    if isinstance(error, ScenarioError):
        scenarios.tell(error.problems)
        return
    colour = None if os.environ.get("NO_COLOR") else typer.colors.RED
    typer.secho(f"error: {error}", fg=colour, err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)
