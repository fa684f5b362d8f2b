"""`memopt scenarios`: what can be run, and whether it is written right."""

from __future__ import annotations

import os
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.errors import ScenarioError, UsageError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from memopt_cli.errors import Problem
    from memopt_cli.scenario.loading import Plan

app = typer.Typer(
    help="List, show, check and start scenarios.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_() -> None:
    """List the scenarios that ship with memopt."""
    from memopt_cli.scenario import catalogue, loading

    rows: list[tuple[str, ...]] = [("NAME", "UNITS", "VARIANTS", "DESCRIPTION")]
    for name in catalogue.names():
        plan = loading.load(catalogue.find(name))
        scenario = plan.scenario
        rows.append((name, _units(plan), str(len(scenario.variants)), scenario.description))
    for line in _aligned(rows):
        typer.echo(line)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A shipped scenario, or a file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value: seed=2. May be repeated.", metavar="KEY=VALUE"),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Scale units and durations: 5%.", metavar="PERCENT")
    ] = "100%",
) -> None:
    """Print a scenario with every default and every stage written out."""
    from memopt_cli.scenario import catalogue, dumping, loading
    from memopt_cli.scenario.settings import VARIABLE

    factor = loading.parse_scale(scale)
    plan = loading.load(
        catalogue.find(name),
        settings=settings or (),
        environment=os.environ.get(VARIABLE, ""),
        scale=factor,
    )
    typer.echo(dumping.dump(plan.scenario), nl=False)


@app.command()
def validate(
    files: Annotated[list[str], typer.Argument(help="Files, or shipped scenarios.")],
) -> None:
    """Print every problem of scenarios; exit 2 if any."""
    from memopt_cli.scenario import catalogue, loading

    failed = False
    for name in files:
        try:
            plan = loading.load(catalogue.find(name))
        except ScenarioError as exc:
            failed = True
            tell(exc.problems)
        except UsageError as exc:
            failed = True
            _print_error(exc)
        else:
            typer.echo(f"{plan.scenario.name}: valid")
    if failed:
        raise typer.Exit(ExitCode.USAGE_ERROR)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
) -> None:
    """Print the JSON schema of scenarios, for completion in an editor."""
    import json

    from memopt_cli.scenario.schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(out, text, overwrite=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="In kebab-case; the file is NAME.yaml.")],
) -> None:
    """Write a commented scenario to start from."""
    from memopt_cli.scenario.starter import starter

    _write(Path(f"{name}.yaml"), starter(name), overwrite=False)
    typer.echo(f"{name}.yaml")


def _units(plan: Plan) -> str:
    """Return the population of the plan's cells, or the range of it."""
    peaks = [cell.scenario.load.peak_units for cell in plan.cells]
    known = sorted({peak for peak in peaks if peak})
    if not known:
        return "by arrivals"
    low, high = known[0], known[-1]
    return f"{high:,}" if low == high else f"{low:,} to {high:,}"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return *rows* as lines with aligned columns; the last is wrapped to the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    room = max(20, shutil.get_terminal_size((200, 24)).columns - indent)
    lines: list[str] = []
    for row in rows:
        first, *rest = textwrap.wrap(row[-1], room) or [""]
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, first]))
        lines += [" " * indent + line for line in rest]
    return lines


def tell(problems: tuple[Problem, ...]) -> None:
    """Print every problem of a scenario with its place, and what to write instead."""
    for problem in problems:
        typer.echo(str(problem), err=True)
        if problem.hint:
            typer.echo(f"  {problem.hint}", err=True)


def _print_error(error: UsageError) -> None:
    typer.echo(str(error), err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    """Write *text* to *path*; raise `UsageError` if that is not possible, or not wanted."""
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise UsageError(f"{path} exists", hint="Choose another name, or remove it.") from exc
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
