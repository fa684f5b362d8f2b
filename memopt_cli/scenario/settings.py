"""Changes to a scenario that are not in its file: `--set` and the values of a matrix."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import Location, Problem, ScenarioError
from memopt_cli.scenario import checks, shortform
from memopt_cli.scenario.faults import shown
from memopt_cli.scenario.fields import MAX_POPULATION
from memopt_cli.scenario.model import SECTIONS
from memopt_cli.scenario.nearest import nearest
from memopt_cli.scenario.source import Argument, Document, KeyPath, parse
from memopt_cli.scenario.thresholds import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

_FREE_KEYS = {("tags",), ("connections", "message_mix"), ("agents", "mix"), ("matrix",)}


@dataclass(frozen=True, slots=True)
class Change:
    """One value to be written over what a document says."""

    key: str
    """Dotted, such as ``load.stages.steady.duration``; a list item by index or by name."""

    value: Any
    at: Location
    """Where the value was written."""

    key_at: Location
    """Where the key was written."""


VARIABLE = "MEMOPT_SET"
"""The environment variable that holds settings as `--set` takes them."""


def in_environment(text: str) -> list[Change]:
    r"""
    Return the settings that `MEMOPT_SET` holds: one a line, or parted by semicolons.

    >>> [(one.key, one.value, str(one.at)) for one in in_environment("seed=2; name=mine\n")]
    [('seed', 2, 'MEMOPT_SET seed=2'), ('name', 'mine', 'MEMOPT_SET name=mine')]

    Raises:
        ScenarioError: As `setting`.
    """
    parts = (part.strip() for part in text.replace(";", "\n").splitlines())
    return [setting(part, source=VARIABLE) for part in parts if part]


def setting(argument: str, *, source: str = "--set") -> Change:
    """
    Return what a setting such as ``seed=2`` asks for.

    Args:
        argument: As the user wrote it.
        source: Where that was, for errors.

    Raises:
        ScenarioError: It is not ``key=value``, or the value is not a YAML scalar
            or flow collection.
    """
    at = Argument(f"{source} {argument}")
    key, equals, text = argument.partition("=")
    if not equals or not key.strip():
        raise _error("a setting without a key and a value", at, "Write it like seed=2.")
    if not text.strip():
        raise _error("there is no value after the equals sign", at, "Write it like seed=2.")
    try:
        value = parse(text, "").data
    except ScenarioError as exc:
        problems = tuple(Problem(one.message, at, one.hint) for one in exc.problems)
        raise ScenarioError(problems) from exc
    return Change(key.strip(), value, at, at)


def changed(document: Document, change: Change) -> Document:
    """
    Return *document* with *change* written into it.

    Raises:
        ScenarioError: The document has no such key.
    """
    path: KeyPath = ()
    for step in change.key.split("."):
        document = _opened(document, path, change.at)
        path = (*path, _step(document, path, step, change))
    return document.replaced(path, change.value, change.at)


def _value(document: Document, path: KeyPath) -> Any:
    """Return the value at *path*; `None` if nothing is written there."""
    found = document.data
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def _opened(document: Document, path: KeyPath, at: Location) -> Document:
    """Return *document* with keys or a list at *path*, where it says nothing or a short word."""
    found = _value(document, path)
    if isinstance(found, dict | list):
        return document
    if path == ("variants",) and found is None:
        return document.replaced(path, [{"name": "baseline"}], at)
    section = checks.section_at(path, SECTIONS)
    if section is None and path not in _FREE_KEYS and path[:1] != ("thresholds",):
        return document
    short = {"pattern": "name", "thresholds": "threshold"}.get(str(path[-1]), "")
    if isinstance(found, str) and (short or path[:1] == ("thresholds",)):
        return document.replaced(path, {short or "threshold": found}, at)
    return document.replaced(path, {}, at)


def _step(document: Document, path: KeyPath, step: str, change: Change) -> str | int:
    """Return *step* as a key or an index below *path*, or raise what is near it."""
    found = _value(document, path)
    if isinstance(found, list):
        return _index(found, step, change)
    if not isinstance(found, dict):
        what = f"'{'.'.join(map(str, path))}' has no keys"
        raise _error(what, change.key_at, "Set it as a whole.")
    if path in _FREE_KEYS or step in found:
        return step
    if path == ("load",) and step == "stages" and shortform.is_short(found):
        hint = "Set load.ramp_up or load.hold_for, or write the stages out in the file."
        raise _error("the load is in the short form, without stages", change.key_at, hint)
    known = tuple(METRICS) if path == ("thresholds",) else _keys(document, path)
    if step not in known:
        raise _error(f"unknown key {shown(step)}", change.key_at, nearest(step, known))
    return step


def _keys(document: Document, path: KeyPath) -> tuple[str, ...]:
    return checks.known_keys(path, document.data, SECTIONS)


def _index(items: list[Any], step: str, change: Change) -> int:
    """Return the index of the item that *step* names or numbers."""
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if step in names:
        return names.index(step)
    if step.isascii() and step.isdigit() and len(step) < 4:  # noqa: PLR2004 - lists are short
        if int(step) < len(items):
            return int(step)
        raise _error(
            f"there is no item {step}", change.key_at, f"The last one is {len(items) - 1}."
        )
    known = [name for name in names if isinstance(name, str)]
    raise _error(f"unknown name {shown(step)}", change.key_at, nearest(step, known))


def _error(message: str, at: Location, hint: str) -> ScenarioError:
    return ScenarioError((Problem(message, at, hint),))


def combinations(document: Document) -> Iterator[tuple[Change, ...]]:
    """Yield the changes of each cell of the document's matrix, the last key varying fastest."""
    matrix: dict[str, list[Any]] = document.data.get("matrix", {})
    keys = [
        [
            Change(key, value, document.at("matrix", key, index), document.key_at("matrix", key))
            for index, value in enumerate(values)
        ]
        for key, values in matrix.items()
    ]
    return itertools.product(*keys)


_FIXED = ("matrix", "version", "name", "description", "tags", "workload", "thresholds", "variants")


def _is_fixed(key: str) -> bool:
    """Return whether all cells must agree on *key*: they are judged and reported together."""
    first, *rest = key.split(".")
    if key == "load.clock" or rest[-1:] == ["name"]:
        return True
    # What a variant is made of may vary; which variants there are may not.
    return first in _FIXED and not (first == "variants" and len(rest) > 1)


def in_cell(document: Document, change: Change) -> Document:
    """
    Return *document* with one value of its matrix; a bare population resizes the load.

    Raises:
        ScenarioError: The document has no such key, or no population to resize.
    """
    if change.key not in shortform.POPULATIONS:
        if _is_fixed(change.key):
            raise _error(f"a matrix cannot vary '{change.key}'", change.key_at, "Remove it.")
        return changed(document, change)
    word = checks.UNIT_WORDS[document.data["workload"]]
    if change.key != word:
        raise _error(
            f"this workload counts {word}, not {change.key}", change.key_at, f"Write {word}."
        )
    if shortform.is_short(document.data["load"]):
        return document.replaced(("load", word), change.value, change.at)
    return _resized(document, word, change)


def _resized(document: Document, word: str, change: Change) -> Document:
    """Return *document* with its stages' targets in proportion, so that the peak is the value."""
    size = change.value
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_POPULATION:
        raise _error(f"{shown(size)} is not a population", change.at, "Write 1 to 10000000.")
    stages = document.data["load"]["stages"]
    targets = {index: stage[word] for index, stage in enumerate(stages) if word in stage}
    peak = max(targets.values(), default=0)
    if not peak:
        what = f"no stage has a number of {word} to vary"
        raise _error(what, change.key_at, "Give a stage a population, or vary another key.")
    for index, target in targets.items():
        scaled = math.ceil(target * size / peak - 1e-9)
        document = document.replaced(("load", "stages", index, word), scaled, change.at)
    return document
