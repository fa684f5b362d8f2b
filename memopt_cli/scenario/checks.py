"""What no section can check alone: the words of the workload, names that refer to each other."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from memopt_cli.scenario import shortform, sockets
from memopt_cli.scenario.agents import agents_faults
from memopt_cli.scenario.faults import Fault
from memopt_cli.scenario.fields import MAX_DURATION_S, MAX_POPULATION
from memopt_cli.scenario.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from memopt_cli.scenario.load import Stage
    from memopt_cli.scenario.model import Scenario, Threshold
    from memopt_cli.scenario.section import Section

UNIT_WORDS = {
    "connections": "connections",
    "sockets": "connections",
    "target": "connections",
    "agents": "agents",
    "synthetic": "units",
}
"""What each workload calls its units, in stages and in the short form."""

VARIANT_OPTIONS = {
    "pool": "connections",
    "compact": "connections",
    "agents": "agents",
    "server": "sockets",
}
"""The workload that each option of variants is for."""

MAX_TICKS = 10_000_000
MAX_CELLS = 64
MAX_MESSAGES = 10_000_000_000
MAX_DOCUMENTS_BYTES = 256 * 1024**2

OWN_METRICS = {
    "memory_per_connection": "connections",
    "memory_per_agent": "agents",
    "memory_per_agent_loaded": "agents",
    "memory_all_agents": "agents",
    "fidelity": "agents",
    "agents_that_fit": "agents",
    "memory_given_back": "agents",
}
"""Metrics that only one workload has, by the word for its units or by what it does."""

_OTHERWISE = {
    "fidelity": "Remove it.",
    "agents_that_fit": "Remove it.",
    "memory_given_back": "Remove it.",
    "memory_all_agents": "Write memory_total.",
}

SHORTEST_LIFE_S = 0.01
"""The shortest tick of a load: a population cannot be renewed faster."""

Path = tuple[str | int, ...]


def as_written(raw: dict[str, Any]) -> list[Fault]:
    """Return the keys of *raw* that belong to another workload than the scenario's own."""
    workload = raw.get("workload")
    if not isinstance(workload, str) or workload not in UNIT_WORDS:
        return []
    word = UNIT_WORDS[workload]
    faults = []
    for other, other_word in UNIT_WORDS.items():
        if other == workload:
            continue
        if other in raw:
            what = f"section '{other}' in a scenario of workload '{workload}'"
            faults.append(Fault((other,), what, "Remove it, or change workload.", at_key=True))
        for path in _places_of(other_word, raw.get("load")) if other_word != word else ():
            what = f"workload '{workload}' counts {word}, not {other_word}"
            faults.append(Fault(path, what, f"Write {word}.", at_key=True))
    return faults


def _places_of(key: str, load: object) -> Iterator[Path]:
    """Yield the paths of *key* in the load and in each of its stages."""
    if not isinstance(load, dict):
        return
    if key in load:
        yield ("load", key)
    stages = load.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list | tuple) else ()):
        if isinstance(stage, dict) and key in stage:
            yield ("load", "stages", index, key)


def with_hints(
    faults: Iterable[Fault], raw: dict[str, Any], sections: Mapping[Path, type[Section]]
) -> list[Fault]:
    """
    Return *faults* with a hint on each unknown key.

    A key that is missing because it was mistyped is told once, as the typing error.
    """
    hinted = [_hinted(one, raw, sections) for one in faults]
    mistyped = {
        (*one.path[:-1], one.hint.split("'")[1])
        for one in hinted
        if one.unknown and one.hint.startswith("Did you mean")
    }
    return [one for one in hinted if one.path not in mistyped]


def _hinted(one: Fault, raw: dict[str, Any], sections: Mapping[Path, type[Section]]) -> Fault:
    if not one.unknown or one.hint:
        return one
    key = str(one.path[-1])
    if one.path[:-1] == ("load",) and key in shortform.KEYS:
        what = f"'{key}' is of the short form, which excludes stages"
        return Fault(one.path, what, "Keep one of them.", at_key=True, unknown=True)
    hint = nearest(key, known_keys(one.path[:-1], raw, sections))
    return Fault(one.path, one.message, hint, at_key=True, unknown=True)


def known_keys(
    path: Path, raw: dict[str, Any], sections: Mapping[Path, type[Section]]
) -> tuple[str, ...]:
    """Return the keys that the section at *path* knows; none if there is no such section."""
    section = section_at(path, sections)
    if section is None:
        return ()
    word = UNIT_WORDS.get(str(raw.get("workload")), "units")
    keys = tuple(
        word if key == "units" else key for key in section.written_keys() if key != "metric"
    )
    if path != ("load",):
        return keys
    load = raw.get("load")
    if isinstance(load, dict) and "stages" in load:
        return keys
    return (*keys, *(key for key in shortform.KEYS if key not in UNIT_WORDS.values()), word)


def section_at(path: Path, sections: Mapping[Path, type[Section]]) -> type[Section] | None:
    """Return the section at *path*, or `None`."""
    for pattern, section in sections.items():
        if len(pattern) == len(path) and all(
            known in ("*", step) for known, step in zip(pattern, path, strict=True)
        ):
            return section
    return None


def pruned(raw: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """Return *raw* without what stands at *paths*."""
    out = copy.deepcopy(raw)
    for path in paths:
        parent: Any = out
        for step in path[:-1]:
            parent = parent[step]
        parent.pop(path[-1], None)
    return out


def distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Return *faults* with one for each unknown key, and none twice."""
    out: dict[tuple[Path, str], Fault] = {}
    told: set[Path] = set()
    for one in faults:
        if not (one.unknown and one.path in told):
            out.setdefault((one.path, one.message), one)
        told.add(one.path)
    return list(out.values())


def between_sections(scenario: Scenario) -> list[Fault]:
    """Return what is wrong between the sections of *scenario*, each of which is right."""
    return [
        *_repeated_variants(scenario),
        *_unknown_references(scenario),
        *_useless_options(scenario),
        *sockets.faults(scenario),
        *size_faults(scenario),
        *_matrix_faults(scenario),
    ]


def _useless_options(scenario: Scenario) -> Iterator[Fault]:
    """Yield options of variants that the workload has no use for."""
    for index, variant in enumerate(scenario.variants):
        for key, workload in VARIANT_OPTIONS.items():
            if workload != scenario.workload and getattr(variant, key) is not None:
                what = f"workload '{scenario.workload}' has no {key}"
                yield Fault(("variants", index, key), what, "Remove it.", at_key=True)


def _repeated_variants(scenario: Scenario) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, variant in enumerate(scenario.variants):
        if variant.name in seen:
            what = f"a second variant '{variant.name}'"
            yield Fault(("variants", index, "name"), what, "Give each its own name.")
        seen.add(variant.name)


def _unknown_references(scenario: Scenario) -> Iterator[Fault]:
    stages = [stage.name for stage in scenario.load.stages]
    variants = [variant.name for variant in scenario.variants]
    for path, threshold in _with_paths(scenario.thresholds):
        if OWN_METRICS.get(threshold.metric, scenario.unit_word) != scenario.unit_word:
            what = f"{threshold.metric} in a scenario of workload '{scenario.workload}'"
            remedy = _OTHERWISE.get(threshold.metric, "Write memory_per_unit.")
            yield Fault(path[:-1], what, remedy, at_key=True)
        if threshold.metric in sockets.METRICS and scenario.workload not in sockets.REAL:
            what = f"{threshold.metric} in a scenario of workload '{scenario.workload}'"
            yield Fault(path[:-1], what, "It is of real connections: remove it.", at_key=True)
        if threshold.stage is not None and threshold.stage not in stages:
            hint = nearest(threshold.stage, stages)
            yield Fault((*path, "stage"), f"unknown stage '{threshold.stage}'", hint)
        if threshold.variant is not None and threshold.variant not in variants:
            hint = nearest(threshold.variant, variants)
            yield Fault((*path, "variant"), f"unknown variant '{threshold.variant}'", hint)


def _with_paths(thresholds: Iterable[Threshold]) -> Iterator[tuple[Path, Threshold]]:
    counts: dict[str, int] = {}
    for threshold in thresholds:
        index = counts.get(threshold.metric, 0)
        yield ("thresholds", threshold.metric, index), threshold
        counts[threshold.metric] = index + 1


def size_faults(scenario: Scenario) -> Iterator[Fault]:
    """Yield what makes *scenario* too large to run; scaling can bring it about."""
    for index, stage in enumerate(scenario.load.stages):
        path = ("load", "stages", index)
        if (stage.units or 0) > MAX_POPULATION:
            yield Fault(
                (*path, "units"), f"a population of {stage.units:,}", "Use at most 10,000,000."
            )
        if not 0 < stage.duration_s <= MAX_DURATION_S:
            what = f"stage '{stage.name}' takes {stage.duration_s:g}s"
            yield Fault((*path, "duration"), what, "Use more than 0s and at most 30d.")
        rate, lifetime_s = stage.arrival_rate_per_s or 0.0, scenario.load.lifetime_s or 0.0
        expected = rate * min(lifetime_s, stage.duration_s)
        if expected > MAX_POPULATION:
            what = f"stage '{stage.name}' grows to {expected:,.0f} {scenario.unit_word}"
            yield Fault((*path, "arrival_rate"), what, "Use at most 10,000,000.")
        yield from _rate_faults(scenario, path, stage)
    for number, variant in enumerate(scenario.variants):
        if variant.pool is not None and variant.pool.max_size > MAX_POPULATION:
            what = f"a pool of {variant.pool.max_size:,}"
            yield Fault(("variants", number, "pool", "max_size"), what, "Use at most 10,000,000.")
    yield from agents_faults(scenario)
    documents = scenario.connections.distinct_capabilities
    if documents * scenario.connections.capabilities_size_bytes > MAX_DOCUMENTS_BYTES:
        what = f"{documents:,} handshake documents of that size"
        remedy = "Keep them below 256 MiB together."
        yield Fault(("connections", "distinct_capabilities"), what, remedy)
    if scenario.ticks > MAX_TICKS:
        what = f"{scenario.ticks:,.0f} samples per variant, above {MAX_TICKS:,}"
        yield Fault(("sampling", "interval"), what, "Sample less often, or run for less time.")


def _rate_faults(scenario: Scenario, path: Path, stage: Stage) -> Iterator[Fault]:
    """Yield rates that no population of the stage's size can follow, or no run can finish."""
    load = scenario.load
    rate = load.arrival_rate_per_s
    if stage.units and rate * SHORTEST_LIFE_S > stage.units:
        what = f"{rate:,.0f} arrivals per second renew {stage.units:,} units in less than 10ms"
        fits = stage.units / SHORTEST_LIFE_S
        yield Fault(("load", "arrival_rate"), what, f"Use at most {fits:,.0f}/s, or more units.")
    speaking = load.message_rate_per_s
    if stage.message_rate_per_s is not None:
        speaking = stage.message_rate_per_s
    messages = speaking * stage.duration_s * (stage.units or 0)
    if messages > MAX_MESSAGES:
        what = f"stage '{stage.name}' sends {messages:,.0f} messages"
        yield Fault((*path, "units"), what, f"Use at most {MAX_MESSAGES:,}: lower message_rate.")


def _matrix_faults(scenario: Scenario) -> Iterator[Fault]:
    cells = math.prod(len(values) for values in scenario.matrix.values())
    if cells > MAX_CELLS:
        yield Fault(("matrix",), f"{cells} combinations, above {MAX_CELLS}", "Remove some values.")
    for key, values in scenario.matrix.items():
        for index, value in enumerate(values):
            if repr(value) in map(repr, values[:index]):
                what = f"the value {value!r} is there twice"
                yield Fault(("matrix", key, index), what, "Remove one of them.")
