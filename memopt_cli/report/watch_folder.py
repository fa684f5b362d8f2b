"""What a watch's folder gets: the names and contents of all report files, nothing written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.report.folder import JSON, MARKDOWN
from memopt_cli.report.watch_json import to_json
from memopt_cli.report.watch_markdown import markdown
from memopt_cli.report.watch_plots import pictures

if TYPE_CHECKING:
    from memopt_cli.analysis.watch_results import WatchFindings
    from memopt_cli.analysis.watching import WatchRecording


def files(found: WatchFindings, recording: WatchRecording) -> dict[str, bytes]:
    """Return every file of a report by its name."""
    shown = pictures(found, recording)
    return {
        MARKDOWN: markdown(found, shown).encode(),
        JSON: to_json(found).encode(),
        **{picture.name: picture.png for picture in shown},
    }
