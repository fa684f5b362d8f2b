"""`memopt report`: render any run or watch again, finished or not."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.cli.outputs import Format
from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Recording
    from memopt_cli.analysis.results import RunFindings
    from memopt_cli.analysis.watch_results import WatchFindings
    from memopt_cli.analysis.watching import WatchRecording
    from memopt_cli.cli.outputs import Told


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or watches; the newest by default.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Print it so, instead of writing files.")
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            help="FORMAT=PATH writes that file alone; '-' prints. May be repeated. "
            "Without it the run's folder is updated.",
            metavar="FORMAT=PATH",
        ),
    ] = None,
) -> None:
    """Write report.md, run.json and the figures of a run or a watch anew, or other formats."""
    from dataclasses import replace

    from memopt_cli.cli import outputs
    from memopt_cli.cli.folders import REPORTS
    from memopt_cli.store import reader

    wanted = outputs.chosen(out or ())
    if wanted.folder not in {None, outputs.STDOUT}:
        raise UsageError(
            f"--out {wanted.folder}: a report goes to its run, to '-' or to FORMAT=PATH",
            hint="Write --out -, or for example --out junit=junit.xml.",
        )
    if wanted.folder is not None or format_ is not None:
        if wanted.printed is not None:
            raise UsageError("two outputs would go to -", hint="Print one of them.")
        wanted = replace(wanted, printed=format_ or Format.MARKDOWN)
    asked = {form for form, _ in wanted.files} | {wanted.printed} - {None}
    folders = runs or ([] if asked and asked <= outputs.OF_NO_RUN else [reader.newest(REPORTS)])
    wanted.check(len(folders))
    if wanted.files or wanted.printed is not None:
        told = [told_of(folder) for folder in folders]
        outputs.write(wanted, told)
        if wanted.printed is not None:
            _print(wanted.printed, told)
        return
    for folder in folders:
        typer.echo(f"{_rendered(folder)}\nReport: {folder}/report.md")


def _print(form: Format, told: list[Told]) -> None:
    """Print runs and watches; for GitHub, add them to the job's summary."""
    from memopt_cli.cli import outputs

    if form is not Format.GITHUB:
        typer.echo(outputs.document(form, told), nl=False)
        return
    for one in told:
        outputs.tell_github(one)


def told_of(folder: Path) -> Told:
    """Return a run or a watch in all forms that it may be written in."""
    from memopt_cli.cli import outputs
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        return outputs.of_watch(folder, *judged_watch(folder))
    return outputs.of_run(folder, *judged(folder))


def _rendered(folder: Path) -> str:
    """Write the report files of a run or a watch, and return its verdict as one line."""
    from memopt_cli.report import watch_wording, wording
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        return watch_wording.headline(render_watch(folder)[0])
    return wording.summary(render(folder)[0])


def judged(folder: Path) -> tuple[RunFindings, Recording]:
    """Return what a run's folder holds, judged by the scenario it was run with."""
    from memopt_cli.analysis.findings import judge
    from memopt_cli.scenario import loading
    from memopt_cli.store import layout, reader

    recording = reader.read(folder)
    scenario = loading.load_text(recording.scenario, folder / layout.SCENARIO)
    return judge(recording, scenario), recording


def render(folder: Path) -> tuple[RunFindings, Recording]:
    """Write the report files of a run into its folder, and return what they tell."""
    from memopt_cli.report import folder as contents

    found, recording = judged(folder)
    for name, content in contents.files(found, recording).items():
        _replace(folder / name, content)
    return found, recording


def judged_watch(folder: Path) -> tuple[WatchFindings, WatchRecording]:
    """Return what a watch's folder holds, judged by the limits it was begun with."""
    from memopt_cli.analysis.watch_findings import judge
    from memopt_cli.store.watch_reader import read_limits, read_watch

    recording = read_watch(folder)
    return judge(recording, read_limits(folder)), recording


def render_watch(folder: Path) -> tuple[WatchFindings, WatchRecording]:
    """Write the report files of a watch into its folder, and return what they tell."""
    from memopt_cli.report import watch_folder

    found, recording = judged_watch(folder)
    for name, content in watch_folder.files(found, recording).items():
        _replace(folder / name, content)
    return found, recording


def _replace(path: Path, content: bytes) -> None:
    from memopt_cli.cli import files

    remedy = "What was measured is kept: run `memopt report` where the folder can be written."
    files.replace(path, content, remedy=remedy)
