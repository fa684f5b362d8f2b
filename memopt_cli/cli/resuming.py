"""Which runs can be gone on with: refused before anything is started, not found unfit after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from memopt_cli.scenario.loading import Plan
    from memopt_cli.store.resuming import Kept

_SAME = ("memopt", "python", "machine", "gil")
"""What must not have changed: each of them decides what the same work leaves in memory."""


def refuse_changes(given: Mapping[str, object]) -> None:
    """Raise `UsageError` if something was given that would make it another run."""
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"--resume goes on with the run as it was begun; {', '.join(named)} would change it",
            hint="Leave it out: the scenario is in the run's folder.",
        )


def kept_of(folder: Path) -> Kept:
    """
    Return what a run's folder holds for going on.

    Raises:
        UsageError: It is a watch, or a run that was made by something else than runs here.
        StoreError: It is no run, or one of a release that kept no checkpoints.
    """
    from memopt_cli.profiler import environment
    from memopt_cli.store import resuming
    from memopt_cli.store.watch_reader import is_watch

    if is_watch(folder):
        raise UsageError(f"--resume {folder}: a watch cannot be resumed", hint="Watch again.")
    kept = resuming.read(folder)
    if not kept.is_over:
        here = environment.describe()
        changed = [
            f"{name} was {kept.environment.get(name, 'other')}, is {here.get(name, 'other')}"
            for name in _SAME
            if kept.environment.get(name) != here.get(name)
        ]
        if changed:
            raise UsageError(
                f"--resume {folder}: {'; '.join(changed)}",
                hint="Resume it with what it was begun with; memory before and after would "
                "not be that of one program.",
            )
    return kept


def plan_of(folder: Path, kept: Kept) -> Plan:
    """Return the plan that a run was begun with, matrix and scale applied."""
    from memopt_cli.scenario import loading
    from memopt_cli.scenario.loading import Cell, Plan
    from memopt_cli.store import layout

    path = folder / layout.SCENARIO
    return Plan(
        loading.load_text(kept.scenario, path),
        tuple(Cell(dict(label), loading.load_text(text, path)) for label, text in kept.cells),
    )
