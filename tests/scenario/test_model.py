"""Every key of a scenario changes what is loaded, in SI units."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.scenario.model import SECTIONS, Scenario
from memopt_cli.units import Dimension, Quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.loading import Plan

KEYS: dict[str, tuple[str, Any]] = {
    "version=1": ("version", 1),
    "name=other": ("name", "other"),
    "description=words": ("description", "words"),
    "tags.kind=scale": ("tags", {"kind": "scale"}),
    "connections.capabilities_size=20kB": ("connections.capabilities_size_bytes", 20_000),
    "connections.distinct_capabilities=3": ("connections.distinct_capabilities", 3),
    "connections.message_mix={1KiB: 60%, 2KiB: 40%}": (
        "connections.message_mix",
        ((1024, 0.6), (2048, 0.4)),
    ),
    "connections.writes=50%": ("connections.writes", 0.5),
    "connections.retained_messages=7": ("connections.retained_messages", 7),
    "connections.receive_buffer=64KiB": ("connections.receive_buffer_bytes", 65536),
    "variants.0.name=plain": ("variants.0.name", "plain"),
    "variants.0.pool=on": ("variants.0.pool.max_size", 10_000),
    "variants.0.pool.size=5": ("variants.0.pool.size", 5),
    "variants.baseline.pool.max_size=5000": ("variants.0.pool.max_size", 5000),
    "variants.0.compact=on": ("variants.0.compact.compression", False),
    "variants.0.compact.compression=on": ("variants.0.compact.compression", True),
    "variants.0.compact={compression: true}": ("variants.0.compact.compression", True),
    "variants.0.compact=off": ("variants.0.compact", None),
    "variants.0.gc=off": ("variants.0.gc", "off"),
    "variants.0.leak=64B": ("variants.0.leak_bytes", 64),
    "load.connections=7": ("load.stages.2.units", 7),
    "load.ramp_up=20s": ("load.stages.1.duration_s", 20.0),
    "load.hold_for=1m30s": ("load.stages.2.duration_s", 90.0),
    "load.arrival_rate=60/m": ("load.arrival_rate_per_s", 1.0),
    "load.message_rate=0.2/s": ("load.message_rate_per_s", 0.2),
    "load.lifetime=1m": ("load.lifetime_s", 60.0),
    "load.pattern=poisson": ("load.pattern.name", "poisson"),
    "load.pattern={name: sine, period: 5s}": ("load.pattern.period_s", 5.0),
    "load.pattern={name: sine, amplitude: 20%}": ("load.pattern.amplitude", 0.2),
    "load.pattern={name: burst, share: 20%}": ("load.pattern.share", 0.2),
    "load.clock=wall": ("load.clock", "wall"),
    "sampling.interval=100ms": ("sampling.interval_s", 0.1),
    "seed=9": ("seed", 9),
    "matrix={seed: [1, 2]}": ("matrix", {"seed": (1, 2)}),
    "thresholds.memory_total=['value<1MB']": ("thresholds.0.expression", "value<1MB"),
}

STAGE_KEYS: dict[str, tuple[str, Any]] = {
    "name=other": ("name", "other"),
    "duration=250ms": ("duration_s", 0.25),
    "units=7": ("units", 7),
    "pattern=churn": ("pattern.name", "churn"),
    "pattern={name: burst, share: 5%}": ("pattern.share", 0.05),
    "plateaus=5": ("plateaus", 5),
    "message_rate=2/s": ("message_rate_per_s", 2.0),
}

THRESHOLD_KEYS: dict[str, tuple[str, Any]] = {
    "threshold=count>=3": ("limit", Quantity(3.0, Dimension.NUMBER)),
    "stage=steady": ("stage", "steady"),
    "window=20s": ("window_s", 20.0),
    "variant=baseline": ("variant", "baseline"),
    "abort_on_fail=on": ("abort_on_fail", True),
}

SYNTHETIC = """\
version: 1
name: units
workload: synthetic
load: {stages: [{name: steady, duration: 5s, units: 5}]}
thresholds: {gc_pause: [max<100ms]}
"""


def _at(scenario: Scenario, path: str) -> object:
    """Return the value at a dotted path of attributes and indexes."""

    def step(value: Any, name: str) -> object:
        return value[int(name)] if name.isdigit() else operator.attrgetter(name)(value)

    value: object = scenario
    for name in path.split("."):
        value = step(value, name)
    return value


@pytest.mark.parametrize("setting", KEYS)
def test_key(plan: Callable[..., Plan], base: str, setting: str) -> None:
    """The key changes the value that is named after it."""
    path, expected = KEYS[setting]
    assert _at(plan(base, setting).scenario, path) == expected


@pytest.mark.parametrize("setting", STAGE_KEYS)
def test_stage_key(plan: Callable[..., Plan], setting: str) -> None:
    """The key changes its stage, which is found by name."""
    path, expected = STAGE_KEYS[setting]
    found = plan(SYNTHETIC, f"load.stages.steady.{setting}").scenario
    assert _at(found, f"load.stages.0.{path}") == expected


@pytest.mark.parametrize("setting", THRESHOLD_KEYS)
def test_threshold_key(plan: Callable[..., Plan], setting: str) -> None:
    """The key changes its threshold, even where that is written as a bare expression."""
    path, expected = THRESHOLD_KEYS[setting]
    found = plan(SYNTHETIC, f"thresholds.gc_pause.0.{setting}").scenario
    assert _at(found, f"thresholds.0.{path}") == expected


def test_delay_needs_abort(plan: Callable[..., Plan]) -> None:
    """A delay is read together with what it delays."""
    item = "thresholds.gc_pause.0={threshold: max<1s, abort_on_fail: on, delay_abort_eval: 5s}"
    assert plan(SYNTHETIC, item).scenario.thresholds[0].delay_abort_eval_s == 5.0


def test_open_stage(plan: Callable[..., Plan]) -> None:
    """A stage that is given by arrivals names no population."""
    text = SYNTHETIC.replace("units: 5", "arrival_rate: 200/s").replace(
        "load: {", "load: {lifetime: 20s, "
    )
    found = plan(text).scenario.load
    assert (found.stages[0].arrival_rate_per_s, found.peak_units) == (200.0, None)


@pytest.mark.parametrize(
    ("setting", "path", "expected"),
    [
        ("bytes_per_unit=64B", "bytes_per_unit", 64),
        ("leak_per_operation=1KiB", "leak_per_operation_bytes", 1024),
        ("imports=[json, xml.etree]", "imports", ("json", "xml.etree")),
    ],
)
def test_synthetic_key(
    plan: Callable[..., Plan], setting: str, path: str, expected: object
) -> None:
    """The key changes the section of the workload `synthetic`."""
    found = plan(SYNTHETIC, f"synthetic.{setting}").scenario
    assert _at(found, f"synthetic.{path}") == expected


def test_threshold_is_taken_apart(plan: Callable[..., Plan]) -> None:
    """An expression has an aggregation, a quantile, an operator and a limit in SI units."""
    setting = "thresholds.gc_pause.0=p(99.9)<100ms"
    found = plan(SYNTHETIC, setting).scenario.thresholds[0]
    assert found.quantile == pytest.approx(0.999)
    assert (found.aggregation, found.operator) == ("p", "<")
    assert found.limit == Quantity(0.1, Dimension.DURATION)


def test_short_form_has_five_stages(plan: Callable[..., Plan], base: str) -> None:
    """The short form has a baseline before the first unit and a drain after the last."""
    stages = plan(base).scenario.load.stages
    assert [(s.name, s.duration_s, s.units, s.plateaus) for s in stages] == [
        ("baseline", 5.0, 0, 1),
        ("ramp-up", 10.0, 100, 5),
        ("steady", 30.0, 100, 1),
        ("ramp-down", 5.0, 0, 1),
        ("drain", 5.0, 0, 1),
    ]


def test_every_key_has_a_description() -> None:
    """An editor shows a sentence for each key."""
    bare = [
        f"{section.__name__}.{name}"
        for section in SECTIONS.values()
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert bare == []
