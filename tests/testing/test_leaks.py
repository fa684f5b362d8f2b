"""Real functions that leak, and their twins that only fill up what is bounded."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import tracemalloc
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.errors import LeakFound, MeasurementError, UsageError
from memopt_cli.exit_codes import ExitCode
from memopt_cli.testing import assert_no_leak, find_leak
from memopt_cli.testing.leaks import InconclusiveWarning

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = 400


class Session:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def fill(bound: int) -> Callable[[], object]:
    """Return a function that fills a cache of *bound* entries."""
    numbers = itertools.count()
    cached = functools.lru_cache(maxsize=bound)(str)
    return lambda: cached(next(numbers))


def fill_and(leak: Callable[[], object]) -> Callable[[], object]:
    """Return a function that fills a cache of 150 entries and leaks too."""
    also = fill(150)
    return lambda: (also(), leak())


def ring() -> Callable[[], object]:
    """Return a function that appends to a ring of 500 lists."""
    kept: deque[list[int]] = deque(maxlen=500)
    return lambda: kept.append([1])


def thread() -> None:
    """Start a thread and wait for it."""
    one = threading.Thread(target=int)
    one.start()
    one.join()


CLEAN: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "cycles": Session,
    "parsing": lambda: json.loads('{"a": [1, 2, {"b": null}]}'),
    "a cache of 128": fill(128),
    "a cache of 1000": fill(1000),
    "a ring": ring(),
    "threads": thread,
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_does_not_leak_passes(name: str) -> None:
    """Garbage, cycles and bounded structures are no leak, also while they fill up."""
    found = assert_no_leak(CLEAN[name], operations=OPERATIONS)

    assert (LeakVerdict.NO_LEAK, ()) == (found.verdict, found.lines)


def leaking(kind: str, kept: Any) -> Callable[[], object]:
    """Return a function that leaks in a way of its own."""
    numbers = itertools.count()
    table: dict[int, list[int]] = {}
    ways: dict[str, Callable[[], object]] = {
        "an object of 16 bytes": lambda: kept.append(object()),
        "10 kB": lambda: kept.append(bytes(10_000)),
        "dictionary entries": lambda: table.setdefault(next(numbers), []),
        "one object in ten": lambda: next(numbers) % 10 or kept.append(bytes(50)),
        "cycles": lambda: kept.append(Session()),
        "beside a filling cache": fill_and(lambda: kept.append(bytes(20))),
    }
    return ways[kind]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("an object of 16 bytes", 16, 16 + 24),
        ("10 kB", 10_033, 10_100),
        ("dictionary entries", 72 + 32, 72 + 32 + 80),
        ("one object in ten", 8, 13),
        ("cycles", 72 + 16, 130),
        ("beside a filling cache", 64, 64 + 24),
    ],
)
def test_what_leaks_is_found_with_its_size(kind: str, low: float, high: float) -> None:
    """The error says how much leaks per operation, its list included, and names this file first."""
    found = find_leak(leaking(kind, []), operations=OPERATIONS, patience=2)

    with pytest.raises(LeakFound, match=r"each operation leaks .*\n  .*test_leaks.py:\d+ keeps"):
        found.check()
    assert low <= found.growth.per_operation.value <= high
    assert not tracemalloc.is_tracing()


def test_the_types_are_named() -> None:
    """A leak of instances names their class, about one for each operation."""
    kept: list[Session] = []
    found = find_leak(lambda: kept.append(Session()), operations=OPERATIONS)

    sessions = [each for each in found.retained if each.type_name.endswith("Session")]
    assert found.growth.last_operations == pytest.approx(sessions[0].objects, rel=0.02)
    assert f"{sessions[0].type_name} after {found.growth.last_operations:,} operations" in str(
        found
    )


def test_memory_that_a_library_allocates_is_charged_to_its_caller() -> None:
    """The line of the user's code is named, and where in the library it was allocated."""
    kept: list[object] = []

    def remember() -> None:
        kept.append(json.loads('{"a": [1, 2, 3], "b": {"c": "text"}}'))

    first = find_leak(remember, operations=OPERATIONS).lines[0]

    assert (__file__, remember.__code__.co_firstlineno + 1) == (first.file, first.line)
    assert "json" in first.allocated_at


def test_a_cache_that_turns_over_is_not_named() -> None:
    """What only replaces what was there before the tracer does not stand beside the leak."""
    kept: list[bytes] = []
    cached = fill(200)

    def leak() -> None:
        cached()
        kept.append(bytes(100))

    found = find_leak(leak, operations=OPERATIONS, patience=2)

    assert [leak.__code__.co_firstlineno + 2] == [each.line for each in found.lines]


def test_async_functions() -> None:
    """An async function is awaited; its leak is found too."""
    kept: list[bytes] = []

    async def clean() -> None:
        bytes(50)

    async def leak() -> None:
        kept.append(bytes(50))

    assert_no_leak(clean, operations=OPERATIONS)
    with pytest.raises(LeakFound, match="leak"):
        assert_no_leak(leak, operations=OPERATIONS)


def test_while_somebody_traces() -> None:
    """Under tracemalloc the traced bytes are read instead of the heap's."""
    kept: list[bytes] = []
    tracemalloc.start()
    try:
        assert_no_leak(lambda: bytes(50), operations=OPERATIONS)
        found = find_leak(lambda: kept.append(bytes(50)), operations=OPERATIONS)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()

    assert LeakVerdict.LEAK is found.verdict
    assert 83 + 8 == pytest.approx(found.growth.per_operation.value, abs=10)


def test_a_cache_that_is_not_full_yet_is_not_called_a_leak() -> None:
    """It is inconclusive, and the cache is named with how full it is."""
    filling = fill(100_000)
    with pytest.raises(
        MeasurementError, match=r"a cache still fills: builtins.str holds [\d,]+ of"
    ):
        assert_no_leak(filling, operations=100)
    with pytest.warns(InconclusiveWarning, match="a cache still fills"):
        assert_no_leak(filling, operations=100, inconclusive="warn")


def test_a_tolerance_lets_growth_pass() -> None:
    """A leak below what the user allows passes, and its bound is told."""
    kept: list[bytes] = []
    found = assert_no_leak(lambda: kept.append(bytes(20)), operations=OPERATIONS, tolerance="1KiB")

    assert 1024 == found.growth.tolerance_bytes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operations": 19}, "needs 20 operations"),
        ({"patience": 0}, "a patience of 1"),
        ({"tolerance": "10"}, "'10' has no unit"),
    ],
)
def test_what_cannot_be_asked(settings: dict[str, Any], message: str) -> None:
    """What cannot give a verdict is refused before anything is called."""
    with pytest.raises(UsageError, match=message):
        find_leak(pytest.fail, **settings)


def test_the_error_is_an_assertion_with_an_exit_code() -> None:
    """Test runners count it as a failure, the command line as a crossed threshold."""
    assert issubclass(LeakFound, AssertionError)
    assert ExitCode.THRESHOLDS_CROSSED is LeakFound.exit_code
