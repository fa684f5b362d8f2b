"""The JSON schema accepts what loads, and refuses keys that nobody knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from memopt_cli.scenario import catalogue, source
from memopt_cli.scenario.schema import json_schema
from memopt_cli.scenario.starter import starter

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = json_schema()
CHECK = Draft202012Validator(SCHEMA)

WRONG = [
    "treshold: {}",
    "load: {connections: 5, stages: []}",
    "load: {connections: 5, hold_for: 60}",
    "load: {stages: [{name: a, duration: 5s}]}",
    "variants: [{name: a, pool: maybe}]",
    "variants: [{name: a, gc: adaptiv}]",
    "thresholds: {memory: [value<1MB]}",
    "thresholds: {memory_total: [{treshold: value<1MB}]}",
    "sampling: {interval: 60}",
]


def _descriptions(schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield each key of the schema, and whether it is described."""
    for part in (schema, *schema["$defs"].values()):
        for key, value in part["properties"].items():
            yield key, bool(value.get("description"))


def test_is_a_schema() -> None:
    """The schema is one, of draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", catalogue.names())
def test_shipped(name: str) -> None:
    """Each shipped scenario is valid."""
    data = source.read(catalogue.find(name)).data
    assert [error.message for error in CHECK.iter_errors(data)] == []


def test_starter() -> None:
    """The starter is valid."""
    assert CHECK.is_valid(source.parse(starter("mine"), "mine.yaml").data)


@pytest.mark.parametrize("line", WRONG)
def test_wrong(base: str, line: str) -> None:
    """An unknown key and a wrong value are not valid."""
    rest = [one for one in base.splitlines() if not one.startswith(line.split(":", maxsplit=1)[0])]
    assert not CHECK.is_valid(source.parse("\n".join([line, *rest]), "s.yaml").data)


def test_every_key_is_described() -> None:
    """An editor shows a sentence for each key."""
    assert [key for key, described in _descriptions(SCHEMA) if not described] == []


def test_committed_schema_is_current() -> None:
    """The file that the shipped scenarios name is what the command writes."""
    file = catalogue.shipped_dir() / "scenario-1.schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == SCHEMA
