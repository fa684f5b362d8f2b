"""Agents come in until the memory is full, never beyond it, and what is computed is judged."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.analysis.density import Density, checks, computed_fits
from memopt_cli.engine.density import SLACK_BYTES, Room, limited
from memopt_cli.engine.events import SampleTaken, VariantEnded
from memopt_cli.errors import SubjectOutOfMemory
from memopt_cli.scenario.load import Load
from memopt_cli.workloads.transcript import Transcript
from tests.making import MIB, estimate, found
from tests.workloads.agents.test_population import SETTINGS as MIXED

if TYPE_CHECKING:
    from memopt_cli.workloads.transcript import Tick
    from tests.engine.conftest import Runner

EACH = 513_600
"""Bytes of a G10 agent's arrays."""

SETTINGS = replace(
    MIXED,
    models=("G10",),
    shares=(1.0,),
    distinct_models=1,
    learners=0.0,
    history=16,
    kept_beliefs=2,
    capacity=1000,
)
STAGES = [
    {"name": "empty", "duration": "1s", "agents": 0},
    {"name": "filling", "duration": "4s", "agents": 1000, "plateaus": 2},
    {"name": "held", "duration": "3s", "agents": 1000},
    {"name": "drain", "duration": "1s", "agents": 0},
]


class Process:
    """A process that takes a fixed size, and more for each agent than is computed."""

    def __init__(self, each: float, available: int = 10**12) -> None:
        self.agents: set[int] = set()
        self.most_bytes = 0
        self._each, self._available = each, available

    def anonymous_bytes(self) -> int:
        """Return the bytes, exact to the agent."""
        return 40 * MIB + int(self._each * len(self.agents))

    def available_bytes(self) -> int:
        """Return what the machine has."""
        return self._available

    def do(self, tick: Tick) -> None:
        """Do a tick as a population does, refusing what names nobody."""
        self.agents |= set(np.frombuffer(tick.arrivals, np.uint32).tolist())
        assert set(np.frombuffer(tick.message_slots, np.uint32).tolist()) <= self.agents
        gone = set(np.frombuffer(tick.departures, np.uint32).tolist())
        assert gone <= self.agents
        self.most_bytes = max(self.most_bytes, self.anonymous_bytes())
        self.agents -= gone
        assert tick.units == len(self.agents)


def filled(process: Process, limit_bytes: int) -> tuple[Density, list[Tick]]:
    """Return what came of a load on a process, and the ticks that it did."""
    room, ticks = Room(process, limit_bytes, SETTINGS), []
    load = Load.model_validate({"message_rate": "1/s", "stages": STAGES})
    for tick in limited(Transcript(load, seed=1, active=1.0, greetings=1), room):
        process.do(tick)
        ticks.append(tick)
        room.there = len(process.agents)
    return room.found(), ticks


@pytest.mark.parametrize("room", [10 * MIB, 160 * MIB])
@pytest.mark.parametrize("dearer", [1.0, 1.3, 1.9])
def test_it_stops_below_the_limit(dearer: float, room: int) -> None:
    """With room for one more and the slack, also where agents take twice what is computed."""
    process = Process(EACH * dearer)
    density, ticks = filled(process, 40 * MIB + room)

    fits = int(room / (EACH * dearer))
    slack = math.ceil((SLACK_BYTES + EACH) / (EACH * dearer))
    assert fits - 1 - slack <= density.agents <= fits
    assert density.stopped
    assert process.most_bytes <= 40 * MIB + room
    assert density.peak_bytes == process.most_bytes
    assert not process.agents
    assert len([tick for tick in ticks if tick.is_plateau and tick.stage == 1]) >= 5


def test_it_tells_where_there_was_room_for_all() -> None:
    """Then at least as many fit, and nobody is left out."""
    density, ticks = filled(Process(1.0), 2000 * MIB)
    load = Load.model_validate({"message_rate": "1/s", "stages": STAGES})
    asked = Transcript(load, seed=1, active=1.0, greetings=1)

    assert (1000, False, float("inf")) == (density.agents, density.stopped, density.fits.high)
    # Who came in with a part has spoken with it, and does not speak again.
    assert sum(len(one.message_slots) for one in asked) == sum(
        len(one.message_slots) for one in ticks
    )


def test_the_machine_has_less() -> None:
    """It ends before the kernel would."""
    with pytest.raises(SubjectOutOfMemory, match="the machine has 9"):
        filled(Process(EACH, available=10_000_000), 200 * MIB)


def test_a_room_repeats_who_came_in() -> None:
    """Another process takes in the same agents up to a cut, whatever it holds, and then its own."""
    load = Load.model_validate({"message_rate": "1/s", "stages": STAGES})
    process, cheaper = Process(EACH * 1.9), Process(EACH)
    rooms = [Room(one, 200 * MIB, SETTINGS) for one in (process, cheaper)]

    def lived(room: Room, process: Process, ticks: int) -> list[Tick]:
        done = []
        for tick in islice(limited(Transcript(load, seed=1), room), ticks):
            process.do(tick)
            done.append(tick)
            room.there = len(process.agents)
        return done

    before = lived(rooms[0], process, 8)
    assert 0 < len(process.agents) < 200
    rooms[1].repeat(rooms[0].taken_in)
    again = lived(rooms[1], cheaper, 20)

    assert before == again[:8]
    assert rooms[1].stopped
    fits, slack = int(160 * MIB / EACH), math.ceil((SLACK_BYTES + EACH) / EACH)
    assert fits - 1 - slack <= rooms[1].found().agents <= fits


def test_a_room_repeats_that_it_was_full() -> None:
    """Where nobody found room before, nobody comes in again, however much there is now."""
    load = Load.model_validate({"message_rate": "1/s", "stages": STAGES})
    process, cheaper = Process(EACH * 1.9), Process(EACH)
    rooms = [Room(one, 200 * MIB, SETTINGS) for one in (process, cheaper)]
    lives: list[list[Tick]] = []
    for room, one in zip(rooms, (process, cheaper), strict=True):
        lives.append([])
        for tick in limited(Transcript(load, seed=1), room):
            one.do(tick)
            lives[-1].append(tick)
            room.there = len(one.agents)
        rooms[1].repeat(rooms[0].taken_in)

    assert lives[0] == lives[1]
    assert (True, True) == tuple(room.stopped for room in rooms)


def test_without_a_limit_ticks_are_left_as_they_are() -> None:
    """All of them, and the same objects."""
    ticks = list(Transcript(Load.model_validate({"stages": STAGES}), seed=1))

    assert ticks == list(limited(ticks, None))


DENSITY = Density(200 * MIB, 100, True, 199 * MIB, 1.5 * MIB, owns_all=True)


@pytest.mark.parametrize(
    ("density", "each", "expected"),
    [
        (DENSITY, estimate(1.6 * MIB, 0.01 * MIB), ["passed", "passed"]),
        (DENSITY, estimate(1.7 * MIB, 0.01 * MIB), ["passed", "crossed"]),
        (DENSITY, estimate(1.6 * MIB, 0.2 * MIB), ["passed", "inconclusive"]),
        (replace(DENSITY, peak_bytes=201 * MIB), None, ["crossed", "inconclusive"]),
        (replace(DENSITY, owns_all=False), estimate(9 * MIB), ["passed"]),
    ],
)
def test_what_it_is_judged_by(density: Density, each: Any, expected: list[str]) -> None:
    """Peak within the limit; own copies within a tenth of what is computed, with the interval."""
    variant = found(unit="agents", density=density)
    variant = replace(variant, memory=replace(variant.memory, per_unit=each))

    assert expected == [result.verdict for result in checks([variant])]
    assert computed_fits(variant) == pytest.approx((200 - 8) / 1.5)


def test_a_real_process(runner: Runner) -> None:
    """Naive agents of 0.5 MB fill 96 MiB and not more, as many as are computed."""
    events = runner.run(
        workload="agents",
        agents={"mix": {"G10": "100%"}, "until": "96MiB", "probes": 0},
        load={"stages": STAGES},
    )
    ended = next(one for one in events if isinstance(one, VariantEnded))
    samples = [one.sample for one in events if isinstance(one, SampleTaken)]

    assert ended.density is not None
    assert ended.density.stopped
    assert ended.density.held
    assert ended.density.agents == max(sample.units for sample in samples)
    empty = next(s.anonymous_bytes for s in samples if s.is_plateau and not s.units)
    assert empty is not None
    computed = (96 * MIB - empty) / ended.density.computed_bytes
    assert 0.9 * computed <= ended.density.agents <= 1.1 * computed
    assert samples[-1].units == 0
