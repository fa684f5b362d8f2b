"""`memopt report` renders a watch as it renders a run."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.watch_limits import limits_of
from memopt_cli.engine.watch_keeping import kept
from memopt_cli.store.watch_writer import WatchWriter
from tests.store.test_watch_store import told
from tests.watchings import leaking, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Memopt

HEADLINE = (
    "no leak: none beyond what is tolerated; 12.0 MiB/h (11.9 to 12.1) "
    "in process 4711 python app.py"
)


@contextmanager
def watched(folder: Path) -> Iterator[Path]:
    """Give the folder of a watch that was begun with a tolerance, and that is not closed yet."""
    directory = folder / "reports" / "20260131T120000Z-watch-app"
    with WatchWriter(directory, limits_of(leak="1GB/h")) as writer:
        for _ in kept(told(replace(watching(leaking()), reason="")), writer):
            pass
        yield directory


def test_report_renders_a_watch(memopt: Memopt) -> None:
    """Found as the newest, judged by its own limits, written into its folder."""
    with watched(memopt.folder) as directory:
        done = memopt("report")
        as_json = memopt("report", "--out", "-", "--format", "json")
        as_text = memopt("report", "--out", "-")

    shown = directory.relative_to(memopt.folder)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"Report: {shown}/report.md" == done.stdout.splitlines()[1]
    assert {"report.md", "run.json", "watch.png"} <= {path.name for path in directory.iterdir()}
    assert ("passed", 0) == (json.loads(as_json.stdout)["verdict"], as_json.returncode)
    assert (f"# {HEADLINE}", HEADLINE) == (
        as_text.stdout.splitlines()[0],
        done.stdout.splitlines()[0],
    )
