"""Clean runs that others are judged beside: refused before a run, not found unfit after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from memopt_cli.scenario.model import Scenario


def check_run(folder: Path, scenarios: Sequence[Scenario]) -> None:
    """
    Check that a run can be the baseline of scenarios.

    Raises:
        UsageError: It is a watch, or of another scenario, load, seed or interpreter.
        StoreError: It is no run.
    """
    from memopt_cli.analysis import pairing
    from memopt_cli.profiler import environment
    from memopt_cli.scenario import loading
    from memopt_cli.store import layout, reader
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        raise UsageError(
            f"--baseline {folder}: a watch is no baseline of a scenario",
            hint="Name a run of the same scenario: memopt simulate SCENARIO --out clean",
        )
    kept = reader.read(folder)
    theirs = loading.load_text(kept.scenario, folder / layout.SCENARIO)
    for scenario in scenarios:
        _refuse(
            folder,
            tuple(pairing.differences(scenario, theirs)),
            "Run the baseline with the same scenario, seed, --set and --scale; a planted leak and "
            "a longer steady stage may differ.",
        )
    _refuse(
        folder,
        tuple(pairing.other_machine(environment.describe(), kept.environment)),
        "Run the baseline again here: what a process keeps free depends on them.",
    )


def check_regressions(texts: Sequence[str], baseline: Path | None) -> None:
    """
    Check that regressions are written right, and have a baseline.

    Raises:
        UsageError: One is not, or there is none.
    """
    from memopt_cli.analysis import regressions

    if texts and baseline is None:
        raise UsageError(
            "--fail-on-regression needs a run to compare with", hint="Add --baseline RUN."
        )
    for text in texts:
        regressions.parse(text)


def _refuse(folder: Path, differing: Sequence[str], hint: str) -> None:
    if differing:
        raise UsageError(f"--baseline {folder} differs in {', '.join(differing)}", hint=hint)


def check_watch(folder: Path) -> None:
    """
    Check that a folder holds a watch.

    Raises:
        UsageError: It holds the run of a scenario.
        StoreError: It holds neither.
    """
    from memopt_cli.store import layout, watch_reader

    if not watch_reader.is_watch(folder) and (folder / layout.SAMPLES).is_file():
        raise UsageError(
            f"--baseline {folder}: the run of a scenario is no baseline of a watch",
            hint="Name a watch of the same program under the same load.",
        )
    watch_reader.read_watch(folder)
