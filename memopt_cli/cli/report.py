"""`memopt report`: render any run again, finished or not."""

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


class Format(StrEnum):
    """What a run can be rendered as."""

    MARKDOWN = "markdown"
    JSON = "json"


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs; the newest by default.")
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="What to print with --out -.")
    ] = Format.MARKDOWN,
    out: Annotated[
        str, typer.Option(help="'-' prints to stdout; otherwise the run's folder is updated.")
    ] = "",
) -> None:
    """Write report.md, run.json and the figures of a run anew."""
    from memopt_cli.cli.folders import REPORTS
    from memopt_cli.report import wording
    from memopt_cli.report.json import to_json
    from memopt_cli.report.markdown import markdown
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
            found, _ = judged(folder)
            text = to_json(found) if format_ is Format.JSON else markdown(found)
            typer.echo(text, nl=False)
        else:
            found = render(folder)
            typer.echo(f"{wording.summary(found)}\nReport: {folder}/report.md")


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
