"""
The process under test: builds one population and does what it is told.

Started as ``python -m memopt_cli.engine.subject COMMANDS REPLIES RECORDER PARENT``
with three inherited descriptors. It imports no more than the population needs,
and ends when its controller does, however that one ends.
"""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import sys
from array import array
from typing import IO, TYPE_CHECKING

from memopt_cli.optimizer.gc_tuning import GcTuning
from memopt_cli.profiler.heap import HeapReader
from memopt_cli.profiler.recorder import Recorder
from memopt_cli.workloads import wire
from memopt_cli.workloads.connections.population import build
from memopt_cli.workloads.lifeline import die_with
from memopt_cli.workloads.settings import AgentsSettings, ConnectionsSettings, SubjectSettings
from memopt_cli.workloads.synthetic import Synthetic

if TYPE_CHECKING:
    from memopt_cli.profiler.histogram import Histogram
    from memopt_cli.workloads.population import InProcess

_REHEARSALS = 40
"""After so many the free blocks that a reading takes and gives back are always the same ones."""


class Subject:
    """One population, and the books on what was done to it."""

    def __init__(self, settings: SubjectSettings, recorder: Recorder) -> None:
        self._recorder = recorder
        self._heap = HeapReader()
        self._population = _population(settings, recorder.latency)
        # The recorder counts the pauses, where they can be read from outside.
        self._tuning = GcTuning(settings.gc, count_pauses=False)
        self._settled_units = -1
        self._stage_begins = False
        self._transcript = hashlib.blake2b(digest_size=16)
        self._operations = 0
        self._busy_before_s = 0.0

    def work(self, commands: IO[bytes], replies: IO[bytes]) -> None:
        """Obey until told to exit, or until the controller is gone."""
        recorder = self._recorder
        recorder.install()
        with self._tuning:
            while (received := wire.receive(commands)) is not None:
                message, blocks = received
                match message["do"]:
                    case "tick":
                        wire.send(replies, self._tick(message, blocks))
                    case "stage":
                        self._forget_durations()
                        self._stage_begins = True
                        wire.send(replies, {})
                    case "forget":
                        self._forget_durations()
                        wire.send(replies, {})
                    case "heap":
                        wire.send(replies, self._read_heap())
                    case "finish":
                        wire.send(replies, self._finish())
                    case "probe":
                        answer, kept = self._population.probe(message, blocks)
                        wire.send(replies, answer, *kept)
                    case _:
                        break
        recorder.remove()

    def rehearse(self) -> None:
        """
        Do what readings do, so that its own first costs are part of the fixed ones.

        What imports left for the collector, and names that only the interpreter's cache
        of attributes still holds, go first: freed later, they would be taken from the
        units that are alive then.
        """
        gc.collect()
        _clear_caches()
        for _ in range(_REHEARSALS):
            self._read_heap()

    def _forget_durations(self) -> None:
        self._busy_before_s += self._recorder.latency.total_s
        self._recorder.start_stage()

    def _settle(self) -> None:
        """
        Tell the tuning that the service is warm, where a stage has built more than there was.

        The first stage finds nothing but imports, the next ones what the stage before has
        built. After a stage without growth there is nothing new to spare the collector. The
        pause that this takes is one of the stage that begins, whose first tick it precedes.
        """
        self._stage_begins = False
        units = self._population.units
        if units > self._settled_units:
            self._settled_units = units
            self._tuning.settle()

    def _tick(self, message: wire.Message, blocks: list[bytes]) -> wire.Message:
        population, at_s = self._population, message["at_s"]
        arrivals, speakers, codes, departures = blocks
        for block in blocks:
            self._transcript.update(block)
        if self._stage_begins:
            self._settle()
        population.grow(_slots(arrivals), at_s)
        population.drive(_slots(speakers), codes, at_s)
        population.shrink(_slots(departures), at_s)
        # Between two batches of operations nobody waits.
        self._tuning.quiet(population.units)
        self._operations += (len(arrivals) + len(departures)) // 4 + len(codes)
        self._recorder.publish()
        pool = population.pool()
        return {
            "units": population.units,
            "operations": self._operations,
            "busy_s": self._busy_before_s + self._recorder.latency.total_s,
            "created": None if pool is None else pool["created"],
            "reused": None if pool is None else pool["reused"],
        }

    def _read_heap(self) -> wire.Message:
        heap = self._heap.read()
        return {"in_use": heap.in_use_bytes, "free": heap.free_bytes, "blocks": heap.blocks}

    def _finish(self) -> wire.Message:
        pool = self._population.pool()
        return {
            "digest": self._population.digest(),
            "transcript": self._transcript.hexdigest(),
            "pool": None if pool is None else dict(pool),
        }


def _clear_caches() -> None:
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()  # noqa: SLF001 - documented, "when hunting for leaks"
    else:
        sys._clear_type_cache()  # noqa: SLF001 - its name until 3.12


def _slots(block: bytes) -> array[int]:
    slots = array("I")
    slots.frombytes(block)
    return slots


def _population(settings: SubjectSettings, latency: Histogram) -> InProcess:
    described = settings.population
    if isinstance(described, ConnectionsSettings):
        return build(described, latency=latency)
    if isinstance(described, AgentsSettings):
        # It brings numpy along, which the others do without.
        from memopt_cli.workloads.agents import population as agents

        return agents.build(described, latency=latency)
    return Synthetic(
        bytes_per_unit=described.bytes_per_unit,
        leak_bytes=described.leak_bytes,
        leak_per_operation_bytes=described.leak_per_operation_bytes,
        imports=described.imports,
        capacity=described.capacity,
        latency=latency,
    )


def main(arguments: list[str]) -> None:
    """Run the subject that the command line describes."""
    commands_fd, replies_fd, recorder_fd, parent = map(int, arguments)
    die_with(parent)
    # The terminal's Ctrl-C is for the controller, which stops the subject in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands = os.fdopen(commands_fd, "rb")
    replies = os.fdopen(replies_fd, "wb")
    received = wire.receive(commands)
    if received is None:
        return
    subject = Subject(SubjectSettings.from_json(received[0]["settings"]), Recorder(recorder_fd))
    subject.rehearse()
    wire.send(replies, {})
    subject.work(commands, replies)


if __name__ == "__main__":
    main(sys.argv[1:])
