"""What one operation costs, measured by the code that runs it."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import MeasurementError, UsageError
from memopt_cli.profiler import Registry, measured, operation
from memopt_cli.profiler.watch import WATCH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MB = 1_000_000
BIAS_BYTES = 1000
"""What the measurement itself may take; it took 100 to 250 bytes."""


@pytest.fixture
def registry() -> Registry:
    """Return a registry that no other test counts in."""
    return Registry()


def test_what_is_kept_and_what_was_held_at_once(registry: Registry) -> None:
    """Without tracing before: 3 MB kept and 10 MB at the peak read so, and tracing is off again."""
    with operation("load", registry=registry) as load:
        passing = bytes(10 * MB)
        del passing
        kept = bytes(3 * MB)

    assert load.cost.net_traced_bytes == pytest.approx(len(kept), abs=BIAS_BYTES)
    assert load.cost.peak_traced_bytes == pytest.approx(10 * MB, abs=BIAS_BYTES)
    assert load.cost.alone
    assert not tracemalloc.is_tracing()


def test_each_of_nested_operations_has_its_own_peak(registry: Registry) -> None:
    """A peak before, within and after an inner operation goes to those that lived through it."""
    with operation("outer", registry=registry) as outer:
        assert bytes(2 * MB)
        with operation("inner", registry=registry) as inner:
            assert bytes(5 * MB)
        with operation("later", registry=registry) as later:
            assert bytes(MB)
        assert tracemalloc.is_tracing()

    peaks = [each.cost.peak_traced_bytes for each in (outer, inner, later)]
    assert peaks == pytest.approx([5 * MB, 5 * MB, MB], abs=3 * BIAS_BYTES)
    assert all(each.cost.alone for each in (outer, inner, later))
    assert not tracemalloc.is_tracing()


def test_who_was_tracing_goes_on_tracing(registry: Registry) -> None:
    """A tracer that was on stays on, with its traces and its depth."""
    tracemalloc.start(7)
    try:
        held = bytes(MB)
        with operation("one", trace=True, registry=registry) as one:
            del held

        assert (True, 7) == (tracemalloc.is_tracing(), tracemalloc.get_traceback_limit())
        assert one.cost.net_traced_bytes == pytest.approx(-MB, abs=BIAS_BYTES)
    finally:
        tracemalloc.stop()


def test_what_is_not_traced_has_no_bytes(registry: Registry) -> None:
    """Without tracing the traced figures are missing, not zero; blocks and pages are counted."""
    with operation("one", trace=False, registry=registry) as one:
        kept = [str(number) for number in range(10_000)]
        # More than malloc ever takes from the heap, whose free part other tests have left.
        pages = b"x" * (64 * MB)
        assert not tracemalloc.is_tracing()

    assert (None, None) == (one.cost.net_traced_bytes, one.cost.peak_traced_bytes)
    assert one.cost.allocated_blocks == pytest.approx(len(kept), abs=500)
    assert one.cost.rss_bytes is not None
    assert one.cost.rss_bytes >= len(pages) - MB
    assert "not traced" in str(one.cost)


def test_the_tracer_is_not_switched_by_itself_beside_other_threads(registry: Registry) -> None:
    """With another thread alive, only `trace=True` switches the tracer on."""
    release = threading.Event()
    beside = threading.Thread(target=release.wait)
    beside.start()
    try:
        with operation("default", registry=registry) as default:
            pass
        with operation("asked", trace=True, registry=registry) as asked:
            pass
    finally:
        release.set()
        beside.join()

    assert default.cost.peak_traced_bytes is None
    assert asked.cost.peak_traced_bytes is not None


def test_several_threads(registry: Registry) -> None:
    """Eight threads that begin and end at random leave no tracer, no callback, and all counts."""
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        for _ in range(50):
            with operation("work", trace=True, registry=registry):
                [bytes(100) for _ in range(20)]

    threads = [threading.Thread(target=work) for _ in range(8)]
    before = list(gc.callbacks)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = registry.statistics()["work"]
    assert (400, 400, 0) == (found.count, found.traced, found.failed)
    assert (False, before) == (tracemalloc.is_tracing(), gc.callbacks)


def test_an_operation_knows_whether_it_was_alone(registry: Registry) -> None:
    """Two threads that overlap say that their memory is not theirs alone."""
    begun, release = threading.Event(), threading.Event()
    other = operation("other", trace=True, registry=registry)

    def work() -> None:
        with other:
            begun.set()
            release.wait()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    with operation("one", trace=True, registry=registry) as one:
        pass
    release.set()
    thread.join()

    assert (False, False) == (one.cost.alone, other.cost.alone)


def test_pauses_within_are_counted(registry: Registry) -> None:
    """A forced collection is a pause of the operation that it happens in, and of no other."""
    with operation("outer", registry=registry) as outer:
        with operation("quiet", registry=registry) as quiet:
            pass
        with operation("inner", registry=registry) as inner:
            gc.collect()

    assert (1, 0, 1) == (outer.cost.gc_pauses, quiet.cost.gc_pauses, inner.cost.gc_pauses)
    assert 0 < inner.cost.gc_pause_max_ns == inner.cost.gc_pause_ns < inner.cost.duration_ns


def test_an_exception_passes_and_is_counted(registry: Registry) -> None:
    """An operation that fails is measured as far as it came."""
    with pytest.raises(ZeroDivisionError), operation("one", registry=registry) as one:
        raise ZeroDivisionError

    assert one.cost.failed
    assert 1 == registry.statistics()["one"].failed


def test_an_operation_is_used_once_and_read_afterwards(registry: Registry) -> None:
    """Its cost cannot be read before its end, and it has no second one."""
    one = operation("one", registry=registry)
    with one, pytest.raises(MeasurementError, match="'one' has not ended"):
        _ = one.cost
    with pytest.raises(UsageError, match="'one' has been used"), one:
        pass


def test_decorators(registry: Registry) -> None:
    """A function, a method and an async function are measured, bare and with arguments."""

    @measured("add", registry=registry)
    def add(first: int, second: int = 1) -> int:
        """Add."""
        return first + second

    class Service:
        @measured("serve", trace=False, registry=registry)
        def serve(self, number: int) -> int:
            return -number

        @staticmethod
        @measured("static", registry=registry)
        def static() -> str:
            return "static"

    @measured("wait", registry=registry)
    async def wait() -> bytes:
        await asyncio.sleep(0)
        return bytes(2 * MB)

    async def both() -> tuple[bytes, bytes]:
        return await asyncio.gather(wait(), wait())

    @measured
    def bare() -> None: ...

    bare()

    assert (3, -4, "static") == (add(2), Service().serve(4), Service.static())
    assert 2 == len(asyncio.run(both()))
    assert ("add", "Add.") == (add.__name__, add.__doc__)
    found = registry.statistics()
    counts = {name: (each.count, each.traced) for name, each in found.items()}
    assert {"add": (1, 1), "serve": (1, 0), "static": (1, 1), "wait": (2, 2)} == counts
    assert 2 * MB <= (found["wait"].peak_max_bytes or 0) < 5 * MB


def generate() -> Iterator[int]:
    """Yield once."""
    yield 1


async def agenerate() -> AsyncIterator[int]:
    """Yield once."""
    yield 1


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (generate, "generate is a generator"),
        (agenerate, "agenerate is a generator"),
        (staticmethod(generate), "stands above @staticmethod"),
        (int, "for functions and methods, not for <class 'int'>"),
    ],
)
def test_what_cannot_be_decorated_is_refused(function: object, found: str) -> None:
    """What has no one call with one end is refused where it is written."""
    with pytest.raises(UsageError, match=found) as caught:
        measured()(function)  # type: ignore[arg-type] # refused: that is tested

    assert caught.value.hint


def test_a_forked_child_reads_itself(registry: Registry) -> None:
    """After a fork the page counters are the child's, and no lock is held for ever."""
    with operation("before", trace=False, registry=registry):
        pass
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with operation("child", trace=False, registry=registry) as one:
            pages = b"x" * (50 * MB)
        os.write(writing, str((one.cost.rss_bytes or 0) > len(pages) - MB).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert b"True" == os.read(reading, 10)
    os.close(reading)
    os.close(writing)


def test_a_finalizer_may_be_measured_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection in the middle of the bookkeeping that runs a measured finalizer ends."""

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            with operation("finalizer", registry=registry):
                pass

    read, before = WATCH._rss_bytes, list(gc.callbacks)

    def collecting() -> int | None:
        gc.collect()
        return read()

    Cycle()
    monkeypatch.setattr(WATCH, "_rss_bytes", collecting)
    with operation("one", registry=registry):
        Cycle()

    assert {"finalizer": 2, "one": 1} == {
        name: each.count for name, each in registry.statistics().items()
    }
    assert before == gc.callbacks


def test_a_subject_does_not_load_what_it_does_not_use() -> None:
    """The recorder of a subject comes without operations and the tracer."""
    script = (
        "import sys, memopt_cli.profiler.recorder as _\n"
        "print([name for name in ('tracemalloc', 'memopt_cli.profiler.operations', 'numpy')"
        " if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"[]\n" == done.stdout
