"""What is written for machines beside the run: ``--out format=path``, and GitHub's summary."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from memopt_cli.errors import MemoptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.recording import Recording
    from memopt_cli.analysis.results import RunFindings
    from memopt_cli.analysis.watch_results import WatchFindings
    from memopt_cli.analysis.watching import WatchRecording
    from memopt_cli.report.summary import Summary


class Format(StrEnum):
    """What a run or a watch can be written as."""

    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"
    JUNIT = "junit"
    OPENMETRICS = "openmetrics"
    GITHUB = "github"
    BENCHMARK = "benchmark"
    PROMETHEUS_RULES = "prometheus-rules"
    JSON_SCHEMA = "json-schema"


STDOUT = "-"
OF_NO_RUN = {Format.PROMETHEUS_RULES, Format.JSON_SCHEMA}
"""The same for every run: told without one."""

_ONE_RUN = {Format.JSON, Format.HTML}
"""Several runs are not one document of these."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What ``--out`` asks for."""

    folder: str | None
    """Of the run; `None` if none was named."""

    files: tuple[tuple[Format, Path], ...] = ()
    printed: Format | None = None

    def check(self, runs: int) -> None:
        """
        Check, before anything runs, that all of it can be written for so many runs.

        Raises:
            UsageError: It cannot; the hint says what to write instead.
        """
        from memopt_cli.cli import files

        for one in [*(one for one, _ in self.files), self.printed]:
            if one in _ONE_RUN and runs > 1:
                raise UsageError(
                    f"several runs are not one {one} document", hint="Write them one by one."
                )
        for _, path in self.files:
            files.check(path)


@dataclass(frozen=True, slots=True)
class Told:
    """A judged run, watch or comparison in all the forms that it may be asked for."""

    folder: Path
    summaries: tuple[Summary, ...]
    """One, but for a comparison of several runs."""

    markdown: Callable[[], str]
    json: Callable[[], str]
    html: Callable[[], str]


def chosen(texts: Sequence[str]) -> Chosen:
    """
    Return what the values of ``--out`` ask for.

    A value that begins with a word and an equals sign names a format and a file; any
    other is the run's folder. (A folder with an equals sign is written ``./a=b``.)

    Raises:
        UsageError: A format is unknown, or two values contradict each other.
    """
    folders: list[str] = []
    wanted: list[tuple[Format, str]] = []
    for text in texts:
        word, equals, path = text.partition("=")
        if equals and _WORD.fullmatch(word):
            wanted.append((_format(word, text), path))
        else:
            folders.append(text)
    if len(folders) > 1:
        raise UsageError(f"--out names two folders: {', '.join(folders)}", hint="Name one.")
    paths = [path for _, path in wanted]
    for form, path in wanted:
        if not path:
            raise UsageError(f"--out {form}= names no file", hint=f"Write --out {form}=PATH.")
        if paths.count(path) > 1:
            raise UsageError(f"two outputs would go to {path}", hint="Name two files.")
    return Chosen(
        folder=folders[0] if folders else None,
        files=tuple((form, Path(path)) for form, path in wanted if path != STDOUT),
        printed=next((form for form, path in wanted if path == STDOUT), None),
    )


def _format(word: str, text: str) -> Format:
    from memopt_cli.scenario.nearest import nearest

    if word not in set(Format):
        hint = f"{nearest(word, Format)} A folder of that name is written ./{text}"
        raise UsageError(f"--out {text}: there is no format {word!r}", hint=hint)
    return Format(word)


def of_run(folder: Path, found: RunFindings, recording: Recording) -> Told:
    """Return a run in all forms; each is made when it is asked for."""
    from memopt_cli.report import html, json, markdown, plots, summary

    def page() -> str:
        shown = plots.pictures(found, recording)
        return html.html(markdown.markdown(found, shown), shown)

    return Told(
        folder,
        (summary.of_run(found),),
        lambda: markdown.markdown(found),
        lambda: json.to_json(found),
        page,
    )


def of_watch(folder: Path, found: WatchFindings, recording: WatchRecording) -> Told:
    """Return a watch in all forms; each is made when it is asked for."""
    from memopt_cli.report import html, summary, watch_json, watch_markdown, watch_plots

    def page() -> str:
        shown = watch_plots.pictures(found, recording)
        return html.html(watch_markdown.markdown(found, shown), shown)

    return Told(
        folder,
        (summary.of_watch(found),),
        lambda: watch_markdown.markdown(found),
        lambda: watch_json.to_json(found),
        page,
    )


def document(form: Format, told: Sequence[Told]) -> str:
    """
    Return runs and watches as one document.

    Raises:
        UsageError: They would be told as one, having the same name.
    """
    from memopt_cli.report import benchmark, github, junit, openmetrics, prometheus, schemas

    if form is Format.PROMETHEUS_RULES:
        return prometheus.prometheus_rules()
    if form is Format.JSON_SCHEMA:
        return schemas.of_all()
    of_each: dict[Format, Callable[[Told], str]] = {
        Format.MARKDOWN: lambda one: one.markdown(),
        Format.HTML: lambda one: one.html(),
        Format.JSON: lambda one: one.json(),
        Format.GITHUB: lambda one: "".join(map(github.job_summary, one.summaries)),
    }
    if form in of_each:
        return "".join(map(of_each[form], told))
    of_all = {
        Format.JUNIT: junit.junit,
        Format.OPENMETRICS: openmetrics.openmetrics,
        Format.BENCHMARK: benchmark.benchmark,
    }
    summaries = [each for one in told for each in one.summaries]
    if form is not Format.JUNIT:
        _refuse_twins(form, summaries)
    return of_all[form](summaries)


def _refuse_twins(form: Format, summaries: Sequence[Summary]) -> None:
    names = [(one.kind, one.name) for one in summaries]
    for kind, name in names:
        if names.count((kind, name)) > 1:
            raise UsageError(
                f"two {kind}s of {name} are the same series of {form}",
                hint="Write them one by one.",
            )


def write(wanted: Chosen, told: Sequence[Told]) -> None:
    """
    Write every file that was asked for, whole; what was there before is replaced.

    Raises:
        StoreError: One cannot be written; the others are, and the hint says how to try again.
    """
    from memopt_cli.cli import files

    failed: MemoptError | None = None
    for form, path in wanted.files:
        runs = " ".join(str(one.folder) for one in told)
        remedy = (
            f"What was measured is kept: memopt report {runs} --out {form}=PATH, where it can be."
            if all(one.summaries[0].kind != "comparison" for one in told)
            else "Name a place that can be written."
        )
        try:
            content = document(form, told).encode(errors="backslashreplace")
            files.replace(path, content, remedy=remedy)
        except MemoptError as exc:
            failed = failed or exc
    if failed is not None:
        raise failed


def wants_github() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def tell_github(one: Told, *, to_stderr: bool = False) -> None:
    """
    Add a run to the job's summary, and print its workflow commands.

    Where the job has no summary that is printed too; one that cannot be written is warned of.
    """
    from memopt_cli.cli import display
    from memopt_cli.report import github

    commands = "".join(map(github.workflow_commands, one.summaries))
    summary = "".join(map(github.job_summary, one.summaries))
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        print_out(summary + commands, to_stderr=to_stderr)
        return
    print_out(commands, to_stderr=to_stderr)
    try:
        # Other commands of the step have written to it before.
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary)
    except OSError as exc:
        display.say(f"warning: the job summary {path} could not be written: {exc.strerror}")


def print_out(text: str, *, to_stderr: bool = False) -> None:
    """Print text as it is; a reader that has gone does not end a run."""
    from memopt_cli.cli.output import Output

    stream = Output(sys.stderr if to_stderr else sys.stdout)
    stream.write(text)
    stream.flush()
