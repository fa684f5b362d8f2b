"""From a scenario file to a plan: the settings applied, the matrix spread out, all checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memopt_cli import units
from memopt_cli.errors import Problem, ScenarioError, UsageError
from memopt_cli.scenario import checks, shortform, source, writing
from memopt_cli.scenario.faults import Fault, caught
from memopt_cli.scenario.model import Load, Scenario, Stage, Variant
from memopt_cli.scenario.settings import (
    Change,
    changed,
    combinations,
    in_cell,
    in_environment,
    setting,
)
from memopt_cli.scenario.source import Argument, Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from memopt_cli.errors import Location

MIN_SCALE, MAX_SCALE = 0.001, 1000.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a scenario's matrix, ready to run."""

    label: dict[str, str]
    """The keys that vary, and their values here; empty where nothing varies."""

    scenario: Scenario
    """The scenario with those values, and without a matrix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario file, and the runs that it asks for."""

    scenario: Scenario
    """The scenario as its file has it, with the settings and the scale."""

    cells: tuple[Cell, ...]
    """At least one; a scenario without a matrix has one cell with an empty label."""


def load(
    path: Path, *, settings: Sequence[str] = (), environment: str = "", scale: float = 1.0
) -> Plan:
    """
    Return what the scenario file *path* asks for.

    Args:
        path: The file.
        settings: Changes such as ``load.hold_for=30m``, in the order they apply.
        environment: The same as the variable `MEMOPT_SET` holds them; they apply first.
        scale: Factor on populations, pools and the durations of stages, not on rates.

    Raises:
        ScenarioError: The file, or a setting, cannot be run; holds every problem.
        UsageError: *scale* is out of range.
    """
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise UsageError(f"a scale of {scale:g} is out of range", hint="Use 0.1% to 100000%.")
    document = source.read(path)
    for change in (*in_environment(environment), *map(setting, settings)):
        document = changed(document, change) if _has_keys(document) else document
    scenario = _scaled(_validated(document), scale)
    return Plan(scenario, _cells(document, scenario, scale))


def load_text(text: str, path: Path) -> Scenario:
    """
    Return the scenario that *text* holds, as `dump` wrote it.

    Args:
        text: YAML.
        path: What error messages call it.

    Raises:
        ScenarioError: The text is not a scenario.
    """
    return _validated(source.parse(text, str(path)))


def parse_scale(text: str) -> float:
    """
    Return the factor that `--scale` *text* asks for; raise `UsageError` if it is none.

    >>> parse_scale("5%")
    0.05
    """
    try:
        return units.parse_ratio(text)
    except ValueError as exc:
        raise UsageError(f"--scale {text}: not a percentage", hint="Write it like 5%.") from exc


def _has_keys(document: Document) -> bool:
    return isinstance(document.data, dict)


def _validated(document: Document) -> Scenario:
    try:
        return Scenario.model_validate(document.data)
    except ValidationError as exc:
        raise ScenarioError(_problems(document, caught(exc))) from exc


def _problems(document: Document, faults: Iterable[Fault]) -> tuple[Problem, ...]:
    """Return *faults* with the places where they were written, in file order."""
    is_short = _has_keys(document) and shortform.is_short(document.data.get("load"))
    found: dict[Problem, None] = {}
    for one in faults:
        path = shortform.written(one.path) if is_short else one.path
        at = document.key_at(*path) if one.at_key else document.at(*path)
        found[Problem(one.message, at, one.hint)] = None
    return tuple(sorted(found, key=lambda problem: _order(problem.at)))


def _order(at: Location) -> tuple[bool, int, int]:
    """Order places as they stand in the file, and the command line after it."""
    return isinstance(at, Argument), at.line, at.column


def _cells(document: Document, scenario: Scenario, scale: float) -> tuple[Cell, ...]:
    """Return a cell for each combination, or raise the problems of all of them."""
    if not scenario.matrix:
        return (Cell({}, scenario),)
    cells: list[Cell] = []
    problems: dict[tuple[str, Location], Problem] = {}
    bare = document.without("matrix")
    for changes in combinations(document):
        try:
            cells.append(_cell(bare, changes, scale))
        except ScenarioError as exc:
            where = ", ".join(f"{one.key}={writing.flow(one.value)}" for one in changes)
            for one in exc.problems:
                told = Problem(f"{one.message} (in the cell {where})", one.at, one.hint)
                problems.setdefault((one.message, one.at), told)
    if problems:
        raise ScenarioError(tuple(sorted(problems.values(), key=lambda one: _order(one.at))))
    return tuple(cells)


def _cell(document: Document, changes: tuple[Change, ...], scale: float) -> Cell:
    for change in changes:
        document = in_cell(document, change)
    scenario = _scaled(_validated(document), scale)
    return Cell({one.key: _shown(one, scenario) for one in changes}, scenario)


def _shown(change: Change, scenario: Scenario) -> str:
    """Return the value as a label; a population is the one that runs, after scaling."""
    if change.key in shortform.POPULATIONS:
        return str(scenario.load.peak_units)
    return change.value if isinstance(change.value, str) else writing.flow(change.value)


def _scaled(scenario: Scenario, scale: float) -> Scenario:
    """Return *scenario* with populations, pools and stage durations times *scale*."""
    if scale == 1:
        return scenario
    stages = tuple(_scaled_stage(stage, scale) for stage in scenario.load.stages)
    load_: Load = scenario.load.model_copy(update={"stages": stages})
    variants = tuple(_scaled_variant(variant, scale) for variant in scenario.variants)
    scaled = scenario.model_copy(update={"load": load_, "variants": variants})
    at = Argument(f"--scale {scale * 100:.12g}%")
    if faults := list(checks.size_faults(scaled)):
        raise ScenarioError(tuple(Problem(one.message, at, one.hint) for one in faults))
    return scaled


def _scaled_stage(stage: Stage, scale: float) -> Stage:
    """Return *stage* scaled; a population that was not 0 stays at least 1."""
    units_ = None if stage.units is None else _scaled_count(stage.units, scale)
    return stage.model_copy(update={"units": units_, "duration_s": stage.duration_s * scale})


def _scaled_variant(variant: Variant, scale: float) -> Variant:
    """Return *variant* with its pool scaled: it stays as large against the population."""
    if variant.pool is None:
        return variant
    sizes = {name: _scaled_count(size, scale) for name, size in variant.pool}
    return variant.model_copy(update={"pool": variant.pool.model_copy(update=sizes)})


def _scaled_count(count: int, scale: float) -> int:
    """Return *count* scaled and rounded up; one that was not 0 stays at least 1."""
    # Without the subtraction, 100 units at 7 % become 8: the product is a hair above 7.
    return max(1, math.ceil(count * scale - 1e-6)) if count else 0
