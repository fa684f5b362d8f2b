"""YAML that remembers where each key and value was written."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import yaml

from memopt_cli.errors import Location, Problem, ScenarioError
from memopt_cli.scenario.scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 2**20
MAX_DEPTH = 20

KeyPath = tuple[str | int, ...]
"""The way into a document: keys of mappings and indexes of lists."""


class Argument(Location):
    """A place on the command line; it has no line and no column."""

    __slots__ = ()

    def __init__(self, text: str) -> None:
        super().__init__(text, 0, 0)

    def __str__(self) -> str:
        return self.path


class Document:
    """Plain values (text, whole numbers, booleans, lists, mappings), and a place for each."""

    def __init__(self, data: Any, places: Places) -> None:
        self.data = data
        self._places = places

    def at(self, *path: str | int) -> Location:
        """Return where the value at *path* starts, or its nearest parent."""
        while path and path not in self._places.values:
            path = path[:-1]
        return self._places.values[path]

    def key_at(self, *path: str | int) -> Location:
        """Return where the key at *path* stands: the word that the reader must change."""
        return self._places.keys.get(path) or self.at(*path)

    def replaced(self, path: KeyPath, value: Any, at: Location) -> Document:
        """
        Return a copy with *value*, written at *at*, in the place of *path*.

        Every step of *path* but the last must exist; a list is replaced item by
        item, never made longer.
        """
        places = Places()
        places.keys = {known: at_ for known, at_ in self._places.keys.items() if known != path}
        places.values = {
            known: at_ for known, at_ in self._places.values.items() if known[: len(path)] != path
        }
        places.values[path] = at
        if not path:
            return Document(value, places)
        data = copy.deepcopy(self.data)
        parent = data
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = value
        return Document(data, places)

    def without(self, key: str) -> Document:
        """Return a copy without the top-level *key*."""
        return Document({k: v for k, v in self.data.items() if k != key}, self._places)


class Places:
    """Where the keys and the values of one document stand."""

    def __init__(self) -> None:
        self.keys: dict[KeyPath, Location] = {}
        self.values: dict[KeyPath, Location] = {}


def read(path: Path) -> Document:
    """
    Return the document in the file *path*.

    Raises:
        ScenarioError: The file cannot be read, or is not the part of YAML that
            scenarios use; holds every such problem of the file.
    """
    start = Location(str(path), 1, 1)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ScenarioError((Problem(f"the file cannot be read: {reason}", start),)) from exc
    if len(raw) > MAX_BYTES:
        raise ScenarioError((Problem("the file is larger than 1 MiB", start, _SMALLER),))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        column = exc.start - (raw.rfind(b"\n", 0, exc.start) + 1) + 1
        problem = Problem("the file is not UTF-8", Location(str(path), line, column), _UTF8)
        raise ScenarioError((problem,)) from exc
    return parse(text, str(path))


_SMALLER = "A scenario is a page of text; measurements belong in the run's folder."
_UTF8 = "Save the file with the encoding UTF-8."


def parse(text: str, path: str) -> Document:
    """
    Return the document in *text*; *path* is the file that its places name.

    Raises:
        ScenarioError: *text* is not the part of YAML that scenarios use.
    """
    return _Builder(text, path).document()


class _Builder:
    """Builds one document from PyYAML's events, which do not recurse as its nodes do."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.places = Places()
        self.problems: list[Problem] = []
        self.events = self._events()

    def document(self) -> Document:
        """Return the only document of the text, or raise all its problems."""
        data = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._problem(
                        event, "a second document starts here", "Write one scenario in a file."
                    )
                    break
            elif isinstance(event, yaml.NodeEvent):
                data = self._node(event, ())
        if not documents or self._is_empty(data):
            at = Location(self.path, 1, 1)
            self.problems = [
                Problem("the file is empty", at, "Start from `memopt scenarios new NAME`.")
            ]
        if self.problems:
            raise ScenarioError(tuple(self.problems))
        return Document(data, self.places)

    def _is_empty(self, data: object) -> bool:
        return data is None and [p.message for p in self.problems] == [_NO_VALUE]

    def _events(self) -> Iterator[yaml.Event]:
        """Yield the events of the text; a syntax error ends the reading."""
        try:
            yield from yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            raise ScenarioError((*self.problems, self._syntax(exc))) from exc
        except yaml.reader.ReaderError as exc:
            raise ScenarioError((*self.problems, self._unprintable(exc.position))) from exc
        except (ValueError, OverflowError) as exc:
            # PyYAML does not check the number in an escape such as "\UFFFFFFFF".
            message = "not valid YAML: an escape names no character"
            raise ScenarioError((*self.problems, Problem(message, self._start()))) from exc

    def _start(self) -> Location:
        return Location(self.path, 1, 1)

    def _syntax(self, exc: yaml.MarkedYAMLError) -> Problem:
        mark = exc.problem_mark or exc.context_mark
        at = Location(self.path, mark.line + 1, mark.column + 1) if mark else self._start()
        what = exc.problem or "it ends too early"
        if "'\\t'" in what:
            return Problem("a tab character cannot stand here", at, "Indent with spaces.")
        return Problem(f"not valid YAML: {what}", at)

    def _unprintable(self, position: int) -> Problem:
        before = self.text[:position]
        at = Location(self.path, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
        code = ord(self.text[position])
        return Problem(f"the character U+{code:04X} cannot stand in a scenario", at, "Remove it.")

    def _at(self, event: yaml.Event) -> Location:
        mark = event.start_mark
        return Location(self.path, mark.line + 1, mark.column + 1) if mark else self._start()

    def _problem(self, event: yaml.Event, message: str, hint: str) -> None:
        self.problems.append(Problem(message, self._at(event), hint))

    def _node(self, event: yaml.Event, path: KeyPath) -> Any:
        """Return the plain value that starts with *event*."""
        self.places.values[path] = self._at(event)
        if len(path) > MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep"
            raise ScenarioError((*self.problems, Problem(message, self._at(event))))
        if isinstance(event, yaml.AliasEvent):
            self._problem(event, f"alias '*{event.anchor}'", "Write the value out.")
            return ""
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)  # noqa: S101 - nothing else is left
        if event.anchor is not None:
            self._problem(event, f"anchor '&{event.anchor}'", "Write each value out; no aliases.")
        if event.tag is not None:
            self._problem(event, f"tag '{event.tag}'", "Remove the tag.")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        return self._sequence(path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event, path)
            at = self._at(event)
            if key in out:
                first = self.places.keys[*path, key].line
                message = f"'{key}' is given twice, first in line {first}"
                self.problems.append(Problem(message, at, "Keep one of them."))
            else:
                self.places.keys[*path, key] = at
            value = self._node(next(self.events), (*path, key))
            out.setdefault(key, value)
        return out

    def _key(self, event: yaml.Event, path: KeyPath) -> str:
        """Return the text of a key; whatever else stands there becomes a problem."""
        if not isinstance(event, yaml.ScalarEvent):
            self._problem(event, "a key that is not text", "Write a word before the colon.")
            self._node(event, (*path, "?"))
            return f"? {self._at(event)}"
        if event.anchor is not None or event.tag is not None:
            self._problem(event, "a key with an anchor or a tag", "Write the key alone.")
        if event.value == "<<":
            self._problem(event, "a merge key '<<'", "Write the keys out.")
        if not event.value:
            self._problem(event, "a key without a name", "Write a word before the colon.")
        if not _encodable(event.value):
            self._problem(event, "a key with half a character in it", "Remove the escape.")
        return str(event.value)

    def _sequence(self, path: KeyPath) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            out.append(self._node(event, (*path, len(out))))
        return out

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Any:
        if not _encodable(event.value):
            self._problem(event, "text with half a character in it", "Remove the escape.")
        if event.style is not None:
            return event.value
        try:
            value = resolve(event.value)
        except ValueError as exc:
            message, hint = exc.args
            self._problem(event, message, hint)
            return ""
        if value is None:
            at = self.places.keys.get(path) or self._at(event)
            self.problems.append(Problem(_NO_VALUE, at, "Write a value, or remove the key."))
        return value


_NO_VALUE = "there is no value here"


def _encodable(text: str) -> bool:
    """Say whether *text* can be printed; an escape may have left half a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
