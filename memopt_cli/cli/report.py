"""`memopt report`: render any run or watch again, finished or not."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from memopt_cli.errors import StoreError, UsageError

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Recording
    from memopt_cli.analysis.results import RunFindings
    from memopt_cli.analysis.watch_results import WatchFindings
    from memopt_cli.analysis.watching import WatchRecording


class Format(StrEnum):
    """What a run can be rendered as."""

    MARKDOWN = "markdown"
    JSON = "json"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or watches; the newest by default.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="What to print with --out -.")
    ] = Format.MARKDOWN,
    out: Annotated[
        str, typer.Option(help="'-' prints to stdout; otherwise the run's folder is updated.")
    ] = "",
) -> None:
    """Write report.md, run.json and the figures of a run or a watch anew."""
    from memopt_cli.cli.folders import REPORTS
    from memopt_cli.store import reader

    if out not in ("", "-"):
        raise UsageError(f"--out {out}: a report goes to its run or to '-'", hint="Write --out -.")
    folders = runs or [reader.newest(REPORTS)]
    if format_ is Format.JSON and out != "-":
        raise UsageError(
            "--format json is for stdout; run.json is in the run's folder anyway",
            hint="Add --out -.",
        )
    if format_ is Format.JSON and len(folders) > 1:
        raise UsageError("several runs are not one JSON document", hint="Print them one by one.")
    for folder in folders:
        if out == "-":
            typer.echo(_text(folder, format_), nl=False)
        else:
            typer.echo(f"{_rendered(folder)}\nReport: {folder}/report.md")


def _text(folder: Path, format_: Format) -> str:
    """Return a run or a watch as one document."""
    from memopt_cli.report import json, markdown, watch_json, watch_markdown
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        watch, _ = judged_watch(folder)
        as_json = format_ is Format.JSON
        return watch_json.to_json(watch) if as_json else watch_markdown.markdown(watch)
    found, _ = judged(folder)
    return json.to_json(found) if format_ is Format.JSON else markdown.markdown(found)


def _rendered(folder: Path) -> str:
    """Write the report files of a run or a watch, and return its verdict as one line."""
    from memopt_cli.report import watch_wording, wording
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        return watch_wording.headline(render_watch(folder))
    return wording.summary(render(folder))


def judged(folder: Path) -> tuple[RunFindings, Recording]:
    """Return what a run's folder holds, judged by the scenario it was run with."""
    from memopt_cli.analysis.findings import judge
    from memopt_cli.scenario import loading
    from memopt_cli.store import layout, reader

    recording = reader.read(folder)
    scenario = loading.load_text(recording.scenario, folder / layout.SCENARIO)
    return judge(recording, scenario), recording


def render(folder: Path) -> RunFindings:
    """Write the report files of a run into its folder, and return its findings."""
    from memopt_cli.report import folder as contents

    found, recording = judged(folder)
    for name, content in contents.files(found, recording).items():
        _replace(folder / name, content)
    return found


def judged_watch(folder: Path) -> tuple[WatchFindings, WatchRecording]:
    """Return what a watch's folder holds, judged by the limits it was begun with."""
    from memopt_cli.analysis.watch_findings import judge
    from memopt_cli.store.watch_reader import read_limits, read_watch

    recording = read_watch(folder)
    return judge(recording, read_limits(folder)), recording


def render_watch(folder: Path) -> WatchFindings:
    """Write the report files of a watch into its folder, and return its findings."""
    from memopt_cli.report import watch_folder

    found, recording = judged_watch(folder)
    for name, content in watch_folder.files(found, recording).items():
        _replace(folder / name, content)
    return found


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as exc:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {path}: {exc.strerror}",
            hint="What was measured is kept: run `memopt report` where the folder can be written.",
        ) from exc
