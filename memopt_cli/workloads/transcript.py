"""
The load as a transcript: which unit arrives, speaks and leaves in each tick.

The transcript is made from the scenario and its seed alone, outside the
subject, so every variant gets the same one and pays nothing for making it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.workloads import rates
from memopt_cli.workloads.population import WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memopt_cli.scenario.model import Load, Stage


@dataclass(frozen=True, slots=True)
class Tick:
    """
    A slice of scenario time and all that happens in it: arrivals, messages, departures.

    Slots are unsigned 32-bit integers as bytes, message codes unsigned 8-bit.
    """

    stage: int
    """Index of the stage that the tick belongs to."""

    ends_s: float
    """Scenario time at its end, when a sample may be taken."""

    arrivals: bytes
    message_slots: bytes
    message_codes: bytes
    departures: bytes
    units: int
    """Units alive at its end."""

    is_plateau: bool
    """Whether memory is to be read exactly at its end."""

    ends_stage: bool

    @property
    def operations(self) -> int:
        """Arrivals, messages and departures together."""
        return len(self.arrivals) // 4 + len(self.message_codes) + len(self.departures) // 4


class Transcript:
    """
    Iterates the ticks of a load; the same load, mix and seed give the same ticks.

    Stages that name a population follow a straight line to it; arrivals are then
    at least what growth needs, and the arrival rate beyond that is turnover. Stages
    that name an arrival rate let the population follow: lifetimes are exponential,
    those that begin within a tick included, so that Little's law holds
    (J. D. C. Little, 1961: population = arrival rate x mean lifetime). Messages
    follow the mean population of the tick.
    """

    def __init__(
        self,
        load: Load,
        *,
        mix: Sequence[float] = (1.0,),
        writes: float = 0.0,
        interval_s: float = rates.LONGEST_TICK_S,
        seed: int,
        active: float | None = None,
        greetings: int = 0,
    ) -> None:
        """
        Args:
            load: The scenario's load.
            mix: Share of each message size, in the order of the scenario's mix.
            writes: Share of messages that write.
            interval_s: Sampling interval; a whole number of ticks. No tick is longer than a
                second, or than a population takes to replace a twentieth of itself.
            seed: Of all random draws.
            active: Share of the units that speak, in turns and to the message; without it, each
                message is a random one's, and how many there are is random.
            greetings: Messages of each unit as it arrives, where units speak in turns.
        """
        self._load = load
        self._edges = np.cumsum(np.asarray(mix, dtype=np.float64))[:-1]
        self._writes = writes
        self._interval_s = interval_s
        self._random = np.random.default_rng(seed)
        self._live: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._vacant: NDArray[np.uint32] = np.empty(0, np.uint32)
        self._slots_made = 0
        self._owed_arrivals = 0.0
        self._active = active
        self._owed_messages = 0.0
        self._greetings = greetings
        self._turn = 0

    def __iter__(self) -> Iterator[Tick]:
        at_s = 0.0
        from_units = 0
        for index, stage in enumerate(self._load.stages):
            tick_s = rates.tick_s(self._load, stage, from_units, self._interval_s)
            for starts_s, ends_s, plateau in _slices(stage, tick_s):
                yield self._tick(
                    index,
                    stage,
                    at_s=at_s,
                    span=(starts_s, ends_s),
                    from_units=from_units,
                    plateau=plateau,
                )
            at_s += stage.duration_s
            from_units = len(self._live)

    @property
    def state(self) -> dict[str, Any]:
        """
        Where the load is after the latest tick, as plain values.

        The state of the random stream, and how many units there are, were and are owed:
        two transcripts that agree in it have drawn the same numbers for the same ends.
        """
        return {
            "random": self._random.bit_generator.state,
            "alive": len(self._live),
            "vacant": len(self._vacant),
            "slots_made": self._slots_made,
            "owed_arrivals": self._owed_arrivals,
            "owed_messages": self._owed_messages,
            "turn": self._turn,
        }

    def _tick(
        self,
        index: int,
        stage: Stage,
        *,
        at_s: float,
        span: tuple[float, float],
        from_units: int,
        plateau: bool,
    ) -> Tick:
        before = len(self._live)
        arrivals, departures, brief = self._turnover(stage, span, from_units)
        leaving = np.concatenate(
            [
                self._random.choice(before, departures, replace=False, shuffle=False),
                np.arange(before, before + brief),
            ]
        )
        slots = self._take_slots(arrivals)
        self._live = np.concatenate([self._live, slots])
        mean_units = before + (arrivals - len(leaving)) / 2
        speakers, codes = self._messages(stage, span[1] - span[0], mean_units)
        if self._greetings:
            speakers = np.concatenate([np.tile(slots, self._greetings), speakers])
            codes = np.zeros(len(speakers), np.uint8)
        gone = self._live[leaving]
        self._live = np.delete(self._live, leaving)
        self._vacant = np.concatenate([self._vacant, gone])
        return Tick(
            stage=index,
            ends_s=at_s + span[1],
            arrivals=slots.tobytes(),
            message_slots=speakers.tobytes(),
            message_codes=codes.tobytes(),
            departures=gone.tobytes(),
            units=len(self._live),
            is_plateau=plateau,
            ends_stage=stage.duration_s - span[1] < rates.ROUNDING_S,
        )

    def _turnover(
        self, stage: Stage, span: tuple[float, float], from_units: int
    ) -> tuple[int, int, int]:
        """Return how many arrive in a slice of a stage, leave, and do both."""
        alive = len(self._live)
        if stage.units is not None:
            share = span[1] / stage.duration_s
            growth = round(from_units + (stage.units - from_units) * share) - alive
            # An empty stage is empty: turnover needs somebody to be there.
            wanted = self._arrivals(stage, span) if stage.units and alive else 0
            # Nobody leaves twice, so turnover cannot exceed who is there.
            arrivals = max(growth, min(wanted, alive + growth), 0)
            return arrivals, arrivals - growth, 0
        arrivals = self._arrivals(stage, span)
        if rates.pattern_of(self._load, stage).name == "churn":
            return arrivals, min(arrivals, alive), 0
        lifetimes = (span[1] - span[0]) / rates.lifetime_s(self._load)
        leaves = -math.expm1(-lifetimes)
        gone = int(self._random.binomial(alive, leaves))
        # Who arrives at a random moment of the tick stays to its end with this mean probability.
        stays = leaves / lifetimes
        return arrivals, gone, int(self._random.binomial(arrivals, 1 - stays))

    def _arrivals(self, stage: Stage, span: tuple[float, float]) -> int:
        pattern = rates.pattern_of(self._load, stage)
        rate = rates.arrival_rate_per_s(self._load, stage)
        expected = rate * rates.pattern_integral(pattern, span, stage.duration_s)
        if pattern.name == "poisson":
            return int(self._random.poisson(expected))
        self._owed_arrivals += expected
        arrivals = math.floor(self._owed_arrivals + rates.ROUNDING_S)
        self._owed_arrivals -= arrivals
        return arrivals

    def _take_slots(self, count: int) -> NDArray[np.uint32]:
        """Return vacant slots, the latest left first, and new ones after them."""
        again = min(count, len(self._vacant))
        kept = len(self._vacant) - again
        used, self._vacant = self._vacant[kept:][::-1], self._vacant[:kept]
        fresh = np.arange(self._slots_made, self._slots_made + count - again, dtype=np.uint32)
        self._slots_made += count - again
        return np.concatenate([used, fresh])

    def _messages(
        self, stage: Stage, span_s: float, mean_units: float
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        rate = rates.message_rate_per_s(self._load, stage)
        alive = len(self._live)
        if self._active is not None:
            return self._in_turns(rate * span_s * mean_units * self._active, alive)
        count = int(self._random.poisson(rate * mean_units * span_s)) if alive else 0
        speakers = self._live[self._random.integers(0, max(1, alive), count)]
        sizes = np.searchsorted(self._edges, self._random.random(count), side="right")
        writes = self._random.random(count) < self._writes
        codes = sizes.astype(np.uint8) | np.where(writes, np.uint8(WRITES), np.uint8(0))
        return speakers, codes

    def _in_turns(
        self, expected: float, alive: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """Return who speaks next of those who speak at all: the ones who are there longest."""
        self._owed_messages += expected if alive else 0.0
        count = math.floor(self._owed_messages + rates.ROUNDING_S)
        self._owed_messages -= count
        among = max(1, math.ceil((self._active or 0.0) * alive))
        turns = (self._turn + np.arange(count)) % among
        self._turn = (self._turn + count) % among
        return self._live[turns], np.zeros(count, np.uint8)


def _slices(stage: Stage, tick_s: float) -> Iterator[tuple[float, float, bool]]:
    """Yield start, end and whether a plateau is reached, for each tick of a stage."""
    starts_s, number = 0.0, 1
    for left in reversed(range(stage.plateaus)):
        plateau_s = stage.duration_s - stage.duration_s * left / stage.plateaus
        while number * tick_s < plateau_s - rates.ROUNDING_S:
            yield starts_s, number * tick_s, False
            starts_s, number = number * tick_s, number + 1
        yield starts_s, plateau_s, True
        starts_s = plateau_s
        if number * tick_s < plateau_s + rates.ROUNDING_S:
            number += 1
