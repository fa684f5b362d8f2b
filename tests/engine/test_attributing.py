"""A planted leak is named by line, size and holder; its healthy twin is not accused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.analysis.drift import FEWEST_READINGS
from memopt_cli.analysis.leak import FEWEST_SAMPLES
from memopt_cli.analysis.leak_signals import Metric, Signal, together
from memopt_cli.analysis.origin import Origin, origin
from memopt_cli.engine.attributing import TRIED_CHEAPLY, Attribution
from memopt_cli.engine.clock import SystemClock
from memopt_cli.profiler.process import ProcessReader
from tests.watched import Watched

if TYPE_CHECKING:
    from pathlib import Path

    from memopt_cli.analysis.attribution import Suspect

HEAP = (Metric.ANONYMOUS, Metric.MALLOC_IN_USE, Metric.ALLOCATED_BLOCKS)

SERVICE = """
import random
class Connection:
    def __init__(self, number):
        self.number, self.buffer, self.meta = number, [number], {"peer": number}
class Service:
    def __init__(self):
        self.connections = {i: Connection(i) for i in range(LIVE)}
        self.kept, self.texts = [], {}
service = Service()
chance = random.Random(1)
ready()
operations = 0
while True:
    for _ in range(500):
        operations += 1
        request = [operations, {"path": str(operations)}]
        if not operations % 50:
            number = chance.randrange(LIVE)
            service.connections[number] = Connection(number)
        if not operations % 1000:
            KEEP
    count(operations)
"""
RECORD_BYTES = 712


def suspects(watched: Watched, *, looks: int, apart: int = 60_000) -> tuple[Suspect, ...]:
    """Look at a program, so many operations apart, and return the suspects."""
    attribution = Attribution(
        watched.agent(),
        clock=SystemClock(),
        operations=lambda: watched.operations,
        window_s=0.2,
        duty=1.0,
    )
    for _ in range(looks):
        watched.until(watched.operations + apart)
        attribution.look()
    return attribution.suspects()


def service(tmp_path: Path, keep: str, live: int = 100_000) -> Watched:
    """Return a service with live connections, that keeps something every 1,000 operations."""
    return Watched(SERVICE.replace("LIVE", str(live)).replace("KEEP", keep), tmp_path)


def line_of(watched: Watched, keep: str) -> int:
    """Return the line of the program that holds a text."""
    lines = (watched.folder / "app.py").read_text(encoding="utf-8").splitlines()
    return max(number for number, line in enumerate(lines, 1) if keep in line)


def test_a_leaking_line_is_named_with_its_size_and_holder(tmp_path: Path) -> None:
    """One record of 712 bytes per 1,000 operations, among 100,000 live connections."""
    keep = f"service.kept.append(bytes({RECORD_BYTES - 33}))"
    with service(tmp_path, keep) as watched:
        watched.said()
        watched.go()
        found = suspects(watched, looks=FEWEST_READINGS + 4, apart=200_000)
        line = line_of(watched, keep)

    first = found[0]
    assert (f"{tmp_path}/app.py", line) == (first.file, first.line)
    assert "__main__.service.kept" == first.holder
    assert first.contents.startswith("list of ")
    assert first.contents.endswith(" bytes objects")
    assert first.bytes_per_operation is not None
    assert RECORD_BYTES / 1000 == pytest.approx(first.bytes_per_operation.value, rel=0.1)
    assert first.bytes_per_operation.low <= 1.02 * RECORD_BYTES / 1000
    assert RECORD_BYTES == pytest.approx(first.bytes_per_entry, rel=0.02)
    assert [line] == [suspect.line for suspect in found]


def test_a_cache_that_fills_and_turnover_are_not_accused(tmp_path: Path) -> None:
    """The twin keeps the last 100 records, and is full before half of it was watched."""
    keep = "service.kept.append(bytes(679)); del service.kept[:-100]"
    with service(tmp_path, keep) as watched:
        watched.said()
        watched.go()
        found = suspects(watched, looks=FEWEST_READINGS + 8)

    assert () == found


def test_a_dictionary_that_the_collector_does_not_track_is_found(tmp_path: Path) -> None:
    """Texts in an attribute's dictionary: only the deep census sees them."""
    keep = "service.texts[operations] = 'x' * int('950')"
    with service(tmp_path, keep, live=1_000) as watched:
        watched.said()
        watched.go()
        watched.until(100_000)
        found = suspects(watched, looks=TRIED_CHEAPLY + FEWEST_READINGS + 2)
        line = line_of(watched, keep)

    # The text, and in a line of its own the number it is kept under.
    assert ["__main__.service.texts"] * 2 == [suspect.holder for suspect in found]
    assert [line, line_of(watched, "operations += 1")] == [suspect.line for suspect in found]
    assert found[0].bytes_per_operation is not None
    assert 999 / 1000 == pytest.approx(found[0].bytes_per_operation.value, rel=0.1)


def test_objects_without_a_container_are_found_by_type(tmp_path: Path) -> None:
    """A chain of objects, each held by the next, grows no container: its type is counted."""
    keep = "service.last = Link(service.last)"
    script = SERVICE.replace("LIVE", "1000").replace("KEEP", keep)
    script = script.replace(
        "ready()\n",
        "class Link:\n    __slots__ = ('before', 'a', 'b', 'c')\n"
        "    def __init__(self, before): self.before = before\n"
        "service.last = None\nfor _ in range(100): service.last = Link(service.last)\nready()\n",
    )
    with Watched(script, tmp_path) as watched:
        watched.said()
        watched.go()
        found = suspects(watched, looks=FEWEST_READINGS + 4, apart=200_000)
        line = line_of(watched, keep)

    assert line == found[0].line
    assert ["__main__.Link"] == [growth.of for growth in found[0].growths]
    assert "a chain of __main__.Link" == found[0].holder
    assert found[0].bytes_per_operation is not None
    # Four slots, the object's head and the collector's.
    assert found[0].bytes_per_entry == 64
    assert 64 / 1000 == pytest.approx(found[0].bytes_per_operation.value, rel=0.1)


def test_a_native_leak_names_no_line(tmp_path: Path) -> None:
    """Memory that ctypes asks malloc for grows the heap, and nothing of Python's."""
    keep = "malloc(4_000)"
    script = SERVICE.replace("LIVE", "1000").replace("KEEP", keep)
    script = script.replace(
        "ready()\n",
        "import ctypes\nmalloc = ctypes.CDLL(None).malloc\nmalloc.restype = ctypes.c_void_p\n"
        "malloc.argtypes = [ctypes.c_size_t]\nready()\n",
    )
    with Watched(script, tmp_path) as watched:
        watched.said()
        agent = watched.agent()
        watched.go()
        told: dict[Metric, list[float]] = {metric: [] for metric in HEAP}
        operations = []
        with ProcessReader(watched.process.pid) as reader:
            # Until each connection was replaced, Python's own blocks grow too.
            watched.until(500_000)
            for _ in range(FEWEST_SAMPLES):
                watched.until(watched.operations + 50_000)
                heap = agent.heap()
                operations.append(float(watched.operations))
                told[Metric.ANONYMOUS].append(reader.residency().anonymous_bytes)
                told[Metric.MALLOC_IN_USE].append(heap.malloc_in_use_bytes or 0)
                told[Metric.ALLOCATED_BLOCKS].append(heap.blocks)
        found = suspects(watched, looks=FEWEST_READINGS + 2)

    # By operations a leak is straight even where the load comes in bursts.
    signals = [Signal(metric, operations, values) for metric, values in told.items()]
    assert Origin.NATIVE == origin(together(signals)).origin
    assert () == found


HELD = """
import asyncio, collections
class Registry:
    by_class = {i: object() for i in range(100)}
class Slotted:
    __slots__ = ('items',)
slotted = Slotted(); slotted.items = [object() for _ in range(101)]
def closure():
    inside = [object() for _ in range(102)]
    def reach(): return inside
    return reach
reach = closure()
nested = {'a': [None, collections.deque(object() for _ in range(103))]}
def generate():
    suspended = [object() for _ in range(104)]
    yield suspended
generator = generate(); next(generator)
def main():
    running = [object() for _ in range(105)]
    ready()
main()
"""


def test_holders_are_named_by_the_way_to_them(tmp_path: Path) -> None:
    """Class attribute, slot, closure, nested containers, a suspended and a running function."""
    expected = {
        100: "__main__.Registry.by_class",
        101: "__main__.slotted.items",
        102: "__main__.closure.<locals>.reach()",
        103: "__main__.nested['a'][...]",
        104: "a local of suspended generate()",
        105: "local running of __main__.main()",
    }
    with Watched(HELD, tmp_path) as watched:
        watched.said()
        agent = watched.agent()
        idents = {
            each.ident: each.entries
            for each in agent.census(deep=True).containers
            if each.entries in expected
        }
        found = {
            idents[holder.of]: holder.path
            for holder in agent.holders(containers=list(idents))
            if isinstance(holder.of, int) and holder.contents.endswith(" object objects")
        }

    assert expected == found
