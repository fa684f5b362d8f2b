"""The JSON schema of a scenario as it is written, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from memopt_cli.scenario import fields, shortform
from memopt_cli.scenario.agents import LAYOUTS, MODEL_PATTERN, PLANTED, TIERS
from memopt_cli.scenario.load import MAX_STAGES, PATTERNS
from memopt_cli.scenario.model import MAX_VARIANTS, Scenario
from memopt_cli.scenario.thresholds import METRICS

DURATION = {"type": "string", "pattern": fields.DURATION_PATTERN}
RATIO = {"type": "string", "pattern": fields.RATIO_PATTERN}


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12), with a description for each key."""
    schema = _bare(Scenario.model_json_schema(by_alias=True))
    parts = schema["$defs"]
    _threshold(parts["Threshold"])
    _stage(parts["Stage"])
    _load(parts["Load"])
    _switched(parts["Variant"], "pool", "PoolOptions")
    _switched(parts["Variant"], "compact", "CompactOptions")
    _switched(parts["Variant"], "agents", "AgentOptions")
    _enum(parts["AgentOptions"], "layout", list(LAYOUTS))
    _enum(parts["AgentOptions"], "tier", list(TIERS))
    _enum(parts["AgentOptions"], "fault", list(PLANTED))
    _enum(parts["Variant"], "gc", ["default", "off", "frozen", "adaptive", False])
    _shares(parts["ConnectionsSection"], "message_mix", fields.SIZE_PATTERN)
    _shares(parts["AgentsSection"], "mix", MODEL_PATTERN)
    properties = schema["properties"]
    properties["variants"] |= {"minItems": 1, "maxItems": MAX_VARIANTS}
    properties["thresholds"] = _thresholds(properties["thresholds"])
    properties["matrix"] |= {
        "type": "object",
        "additionalProperties": {"type": "array", "minItems": 1},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "memopt scenario, version 1",
        **schema,
    }


def _bare(schema: Any) -> Any:
    """Return *schema* without what pydantic adds from Python: class names and SI defaults."""
    if isinstance(schema, list):
        return [_bare(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A key of a scenario that is named like a keyword has a schema, which is a mapping with a type.
    out = {
        key: _bare(value)
        for key, value in schema.items()
        if key not in ("title", "default") or (isinstance(value, dict) and "type" in value)
    }
    if {"type": "null"} in out.get("anyOf", []):
        out |= next(one for one in out.pop("anyOf") if one != {"type": "null"})
    return out


def _enum(section: dict[str, Any], key: str, options: list[object]) -> None:
    section["properties"][key] = {
        "description": section["properties"][key]["description"],
        "enum": options,
    }


def _shares(section: dict[str, Any], key: str, names: str) -> None:
    """Let *key* be a mapping from names to percentages."""
    section["properties"][key] = {
        "description": section["properties"][key]["description"],
        "type": "object",
        "propertyNames": {"pattern": names},
        "additionalProperties": RATIO,
        "minProperties": 1,
    }


def _switched(section: dict[str, Any], key: str, options: str) -> None:
    """Let *key* be off, on, or the keys of *options*."""
    section["properties"][key] = {
        "description": section["properties"][key]["description"],
        "anyOf": [fields.SWITCH, {"$ref": f"#/$defs/{options}"}],
    }


def _pattern(section: dict[str, Any]) -> None:
    """Let a pattern be a bare name, too."""
    section["properties"]["pattern"] = {
        "description": section["properties"]["pattern"]["description"],
        "anyOf": [{"enum": list(PATTERNS)}, {"$ref": "#/$defs/Pattern"}],
    }


def _stage(stage: dict[str, Any]) -> None:
    """Let a stage have exactly one of a population, by either name, and an arrival rate."""
    _pattern(stage)
    properties = stage["properties"]
    population = properties.pop("connections")
    for key in shortform.POPULATIONS:
        properties[key] = population
    targets = (*shortform.POPULATIONS, "arrival_rate")
    stage["oneOf"] = [{"required": [key]} for key in targets]


def _load(load: dict[str, Any]) -> None:
    """Add the short form, which excludes stages."""
    _pattern(load)
    load["properties"]["stages"] |= {"minItems": 1, "maxItems": MAX_STAGES}
    _enum(load, "clock", ["virtual", "wall"])
    population = {"type": "integer", "minimum": 0, "maximum": fields.MAX_POPULATION}
    texts = {
        "connections": "Short form: population of connections to hold.",
        "units": "Short form: population of units to hold.",
        "agents": "Short form: population of agents to hold.",
    }
    for key, text in texts.items():
        load["properties"][key] = {"description": text, **population}
    for key, text in (
        ("ramp_up", f"Short form: time to reach the population, {shortform.RAMP_UP}."),
        ("hold_for", f"Short form: time to hold the population, {shortform.HOLD_FOR}."),
    ):
        load["properties"][key] = {"description": text, **DURATION}
    load["required"] = []
    load["oneOf"] = [{"required": [key]} for key in ("stages", *shortform.POPULATIONS)]


def _threshold(threshold: dict[str, Any]) -> None:
    """Remove the metric: in YAML it is the key above the list."""
    del threshold["properties"]["metric"]
    threshold["required"] = ["threshold"]


def _thresholds(found: dict[str, Any]) -> dict[str, Any]:
    """Return the mapping from metrics to lists of expressions."""
    properties = {
        name: {
            "description": f"A {metric.dimension}, for example {metric.example}.",
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Threshold"}]},
        }
        for name, metric in METRICS.items()
    }
    return {
        "description": found["description"],
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
