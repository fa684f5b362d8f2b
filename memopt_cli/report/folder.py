"""What a run's folder gets: the names and contents of all report files, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report.json import to_json
from memopt_cli.report.markdown import markdown
from memopt_cli.report.plots import pictures

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Recording
    from memopt_cli.analysis.results import RunFindings

MARKDOWN, JSON = "report.md", "run.json"


def files(run: RunFindings, recording: Recording) -> dict[str, bytes]:
    """Return every file of a report by its name."""
    shown = pictures(run, recording)
    return {
        MARKDOWN: markdown(run, shown).encode(),
        JSON: to_json(run).encode(),
        **{picture.name: picture.png for picture in shown},
    }
