"""`memopt compare`: runs beside a base, with intervals, and an exit code for regressions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.errors import MeasurementError, UsageError
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from memopt_cli.analysis.comparing import RunComparison
    from memopt_cli.analysis.results import RunFindings, ThresholdResult
    from memopt_cli.cli.outputs import Chosen, Told
    from memopt_cli.report.plots import Picture

MARKDOWN, JSON, FIGURE = "comparison.md", "comparison.json", "comparison.png"


def compare(
    base: Annotated[Path, typer.Argument(help="Folder of the run to compare with.")],
    new: Annotated[list[Path], typer.Argument(help="Folders of the runs that are compared.")],
    fail_on_regression: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK",
            help="Exit 99 if it is shown: 'memory_per_connection>5%'. May be repeated.",
        ),
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder for comparison.md, .json and .png; or FORMAT=PATH (markdown, html, "
            "json, junit, github), '-' for stdout. May be repeated.",
            metavar="DIR | FORMAT=PATH",
        ),
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="Print no colours.")] = False,
) -> None:
    """Compare runs of one scenario, measure by measure."""
    from memopt_cli.analysis import comparing, regressions
    from memopt_cli.cli import display
    from memopt_cli.cli.publishing import Publishing
    from memopt_cli.report import comparison

    wanted = _wanted(out or ())
    asked = [regressions.parse(text) for text in fail_on_regression or ()]
    before = _findings(base)
    compared = [(_name(one), comparing.compare_runs(before, _findings(one))) for one in new]
    for name, one in compared:
        refuse(one, f"{name} and {_name(base)}")
    judged = [regressions.judge(one, asked) for _, one in compared]
    told = _told(_name(base), compared, judged)
    colour = display.wants_colour(no_color=no_color)
    stream = sys.stderr if wanted.printed else sys.stdout
    _show(display.console(stream, colour=colour), _name(base), compared, judged)
    if wanted.folder is not None:
        shown = _pictures(compared)
        text = comparison.markdown(compared, judged, base=_name(base), pictures=shown)
        _keep(Path(wanted.folder), told, text, shown)
    publishing = Publishing(wanted, to_stderr=wanted.printed is not None)
    publishing.add(told)
    code, lost = _code(compared, judged), publishing.end()
    raise typer.Exit(ExitCode.USAGE_ERROR if lost and code is ExitCode.PASSED else code)


def _wanted(texts: Sequence[str]) -> Chosen:
    from memopt_cli.cli import outputs
    from memopt_cli.cli.outputs import Format

    wanted = outputs.chosen(texts)
    for form in [*(form for form, _ in wanted.files), wanted.printed]:
        if form in {Format.OPENMETRICS, Format.BENCHMARK, *outputs.OF_NO_RUN}:
            raise UsageError(
                f"a comparison is not written as {form}",
                hint=f"Write: memopt report RUN --out {form}=PATH",
            )
    if wanted.folder == outputs.STDOUT:
        raise UsageError("--out - names no format", hint="Write for example --out json=-")
    wanted.check(1)
    return wanted


def _name(folder: Path) -> str:
    return folder.resolve().name


def _findings(folder: Path) -> RunFindings:
    from memopt_cli.cli.report import judged
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        raise UsageError(
            f"{folder} is a watch: nothing shows that two watches saw the same work",
            hint="Compare runs of one scenario.",
        )
    return judged(folder)[0]


def refuse(comparison: RunComparison, names: str) -> None:
    """
    Refuse two runs that have no variant in common which did the same work.

    Raises:
        UsageError: They are not of the same workload and load.
        MeasurementError: They are, and yet it cannot be told.
    """
    from memopt_cli.analysis.comparing import Incomparable
    from memopt_cli.report.comparison import REFUSALS

    if comparison.compared:
        return
    why = [one.refusal for one in comparison.variants if one.refusal]
    told = "; ".join(f"{v.label}: {REFUSALS[v.refusal]}" for v in comparison.variants if v.refusal)
    message = f"{names} cannot be compared: {told or 'nothing was measured'}"
    if why and set(why) <= {Incomparable.OTHER_TRANSCRIPT, Incomparable.MISSING}:
        raise UsageError(message, hint="Run both with the same scenario, seed, --set and --scale.")
    raise MeasurementError(message, hint="`memopt report` shows what became of each run.")


def _told(
    base: str,
    compared: Sequence[tuple[str, RunComparison]],
    judged: Sequence[Sequence[ThresholdResult]],
) -> Told:
    """Return the comparison in all forms that it may be written in."""
    from memopt_cli.cli.outputs import Told
    from memopt_cli.report import comparison, html

    def page() -> str:
        shown = _pictures(compared)
        return html.html(comparison.markdown(compared, judged, base=base, pictures=shown), shown)

    return Told(
        Path(),
        tuple(
            comparison.summary(name, base, one, results)
            for (name, one), results in zip(compared, judged, strict=True)
        ),
        lambda: comparison.markdown(compared, judged, base=base),
        lambda: comparison.to_json(compared, judged, base=base, exit_code=_code(compared, judged)),
        page,
    )


def _show(
    out: Console,
    base: str,
    compared: Sequence[tuple[str, RunComparison]],
    judged: Sequence[Sequence[ThresholdResult]],
) -> None:
    """Print every measure of every run, what is not compared, and the regressions."""
    from rich.table import Table

    from memopt_cli.cli import tables
    from memopt_cli.report import comparison, wording

    for (name, one), results in zip(compared, judged, strict=True):
        table = Table(box=None, pad_edge=False, show_edge=False)
        for head in ("variant", "measure", base, name, "change"):
            table.add_column(head, no_wrap=True)
        for row in comparison.rows(one):
            table.add_row(*row)
        tables.show(out, table)
        for variant in one.variants:
            if variant.refusal is not None:
                why = comparison.REFUSALS[variant.refusal]
                out.print(f"{variant.label} is not compared: {why}.", soft_wrap=True)
        if one.differs:
            differing = ", ".join(name.replace("_", " ") for name in one.differs)
            out.print(f"The machines differ, and so may the figures: {differing}.", soft_wrap=True)
        for result in results:
            told = f"{wording.MARKS[result.verdict]}: {result.expression}, {wording.cell(result)}: "
            told += wording.judged_on(result)
            out.print(told, style=tables.MARKS[result.verdict], soft_wrap=True)
        out.print(comparison.headline(one), soft_wrap=True)


def _keep(folder: Path, told: Told, markdown: str, pictures: Sequence[Picture]) -> None:
    """Write the comparison and its figure into a folder."""
    from memopt_cli.cli import files

    remedy = "Give another folder with --out."
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"cannot make {folder}: {exc.strerror}", hint=remedy) from exc
    contents = {MARKDOWN: markdown.encode(), JSON: told.json().encode()}
    for name, content in (contents | {one.name: one.png for one in pictures}).items():
        files.replace(folder / name, content, remedy=remedy)


def _pictures(compared: Sequence[tuple[str, RunComparison]]) -> list[Picture]:
    from memopt_cli.report.comparison_plot import comparison
    from memopt_cli.report.plots import picture

    figure = comparison(compared)
    return [] if figure is None else [picture(FIGURE, figure)]


def _code(
    compared: Sequence[tuple[str, RunComparison]], judged: Sequence[Sequence[ThresholdResult]]
) -> ExitCode:
    from memopt_cli.analysis.ending import exit_code
    from memopt_cli.analysis.recording import Outcome
    from memopt_cli.report import comparison

    results = [one for each in judged for one in each]
    verdict = comparison.verdict(results, [one for _, one in compared])
    return exit_code(Outcome.FINISHED, None, verdict)
