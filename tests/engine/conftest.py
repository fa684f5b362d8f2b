"""Small runs with real subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psutil
import pytest

from memopt_cli.engine.clock import SystemClock
from memopt_cli.engine.events import SampleTaken, VariantEnded
from memopt_cli.engine.launcher import LocalLauncher
from memopt_cli.engine.simulate import simulate
from memopt_cli.engine.stopping import StopRequest
from memopt_cli.scenario.loading import Cell, Plan
from memopt_cli.scenario.model import Scenario
from tests.engine.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from memopt_cli.analysis.recording import Sample
    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event

STAGES = [
    {"name": "baseline", "duration": "1s", "units": 0},
    {"name": "ramp-up", "duration": "5s", "units": 100, "plateaus": 5},
    {"name": "steady", "duration": "5s", "units": 100},
    {"name": "drain", "duration": "1s", "units": 0},
]


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def now(self) -> float:
        """Return the sum of all sleeps."""
        return sum(self.slept_s)

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""
        self.slept_s.append(duration_s)


def scenario(**changes: Any) -> Scenario:
    """Return a small synthetic scenario; ``connections`` renames the units of its stages."""
    load = {"message_rate": "1/s", "stages": STAGES, **changes.pop("load", {})}
    raw = {"version": 1, "name": "small", "workload": "synthetic", "load": load, **changes}
    if raw["workload"] == "connections":
        load["stages"] = [
            {"connections" if key == "units" else key: value for key, value in stage.items()}
            for stage in load["stages"]
        ]
    return Scenario.model_validate(raw)


class Runner:
    """Runs scenarios as the command line does, without a store and a display."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.stop = StopRequest()

    def events(
        self,
        *cells: Scenario,
        clock: Clock | None = None,
        answer_within_s: float = 60.0,
        launcher_clock: Clock | None = None,
    ) -> Iterator[Event]:
        """Yield the events of a run; each scenario is a cell of its own."""
        system = SystemClock()
        return simulate(
            Plan(
                cells[0],
                tuple(Cell({"cell": str(n)} if n else {}, one) for n, one in enumerate(cells)),
            ),
            scenario_yaml="",
            started_at="2026-01-31T12:00:00Z",
            launcher=LocalLauncher(
                self.log,
                clock=launcher_clock or system,
                stop=self.stop,
                answer_within_s=answer_within_s,
            ),
            clock=clock or system,
            stop=self.stop,
        )

    def run(self, **changes: Any) -> list[Event]:
        """Return the events of the small scenario with *changes*."""
        return list(self.events(scenario(**changes)))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Return a runner whose subjects write to the test's own log."""
    return Runner(tmp_path / "target.log")


@pytest.fixture
def small() -> Callable[..., Scenario]:
    """Return the function that makes small scenarios."""
    return scenario


@pytest.fixture
def fake_clock() -> FakeClock:
    """Return a clock that the test owns."""
    return FakeClock()


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    """Check after each test that no subject process is left behind."""
    yield
    assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def samples() -> Callable[[Iterable[Event]], list[Sample]]:
    """Return a function that returns the samples among events."""
    return lambda events: [one.sample for one in events if isinstance(one, SampleTaken)]


@pytest.fixture
def ended() -> Callable[[Iterable[Event]], VariantEnded]:
    """Return a function that returns the first end of a variant among events."""
    return lambda events: next(one for one in events if isinstance(one, VariantEnded))


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    """Return a watcher of programs that are written into the test's own folder."""
    return Watcher(tmp_path)
