"""The measurement is true: units of k bytes read k bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis import memory
from memopt_cli.engine.events import VariantEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.analysis.results import MemoryPerUnit
    from memopt_cli.scenario.model import Scenario
    from tests.engine.conftest import Runner

IMPORTS: dict[str, list[str]] = {
    "nothing": [],
    "numpy": ["numpy"],
    "several": ["json", "decimal", "numpy"],
}
SIZES = {"64B": 64, "1KiB": 1024, "20KiB": 20_480}


@pytest.fixture
def measured(
    runner: Runner, small: Callable[..., Scenario], samples: Callable[..., list[Sample]]
) -> Callable[..., MemoryPerUnit]:
    """Return a function that measures memory per unit of a synthetic subject."""

    def measure(size: str, units: int, imports: list[str]) -> MemoryPerUnit:
        stages = [
            {"name": "baseline", "duration": "1s", "units": 0},
            {"name": "ramp-up", "duration": "5s", "units": units, "plateaus": 5},
            {"name": "drain", "duration": "1s", "units": 0},
        ]
        events = list(
            runner.events(
                small(
                    synthetic={"bytes_per_unit": size, "imports": imports},
                    load={"stages": stages, "message_rate": "0/s"},
                )
            )
        )
        assert [one.failure for one in events if isinstance(one, VariantEnded)] == [""]
        return memory.per_unit(samples(events))

    return measure


@pytest.mark.parametrize("imports", IMPORTS)
@pytest.mark.parametrize(
    ("size", "units"),
    [
        ("64B", 5),
        ("1KiB", 5),
        ("20KiB", 5),
        ("64B", 1000),
        ("1KiB", 1000),
        ("64B", 100_000),
        ("1KiB", 100_000),
        ("20KiB", 20_000),
    ],
)
def test_units_of_known_size(
    size: str, units: int, imports: str, measured: Callable[..., MemoryPerUnit]
) -> None:
    """The figure is within five percent of the truth, at five units as at a hundred thousand."""
    found = measured(size, units, IMPORTS[imports]).per_unit
    assert found is not None
    assert found.value == pytest.approx(SIZES[size], rel=0.05)
    # Of each pool of 16 KiB, CPython keeps 64 bytes for itself; pages are charged for those too.
    assert found.low <= SIZES[size] * 16384 / 16320
    assert found.high >= SIZES[size]


@pytest.mark.parametrize("size", SIZES)
def test_imports_do_not_change_it(size: str, measured: Callable[..., MemoryPerUnit]) -> None:
    """A heavy import is fixed cost: the slope stays, the intercept does not."""
    plain, heavy = (measured(size, 2000, IMPORTS[name]) for name in ("nothing", "numpy"))
    assert plain.per_unit is not None
    assert heavy.per_unit is not None
    assert plain.fixed is not None
    assert heavy.fixed is not None
    assert heavy.per_unit.value == pytest.approx(plain.per_unit.value, rel=0.05)
    assert heavy.fixed.value > plain.fixed.value + 1024**2
