"""The test weight weighs what it says."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.population import Forgotten, occupied_bytes, payload_bytes
from memopt_cli.workloads.synthetic import Synthetic


def _made(**changes: Any) -> Synthetic:
    settings: dict[str, Any] = {
        "bytes_per_unit": 1024,
        "leak_bytes": 0,
        "leak_per_operation_bytes": 0,
        "imports": (),
        "capacity": 10,
        "latency": Histogram(),
    }
    return Synthetic(**{**settings, **changes})


def _owed(leak: Forgotten | None) -> int:
    assert leak is not None
    return sum(occupied_bytes(len(one)) for one in leak._kept) + leak._owed_bytes


@pytest.mark.parametrize("size", [64, 80, 512, 1024, 4096, 20_480])
def test_weight(size: int) -> None:
    """A thousand units allocate a thousand times their size, but for malloc's own header."""
    population = _made(bytes_per_unit=size, capacity=1000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        population.grow(range(1000), 0.0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    header = 8 if size > 512 else 0
    assert (after - before) / 1000 == pytest.approx(size - header, abs=1)


@pytest.mark.parametrize("size", range(48, 2000, 7))
def test_payload_occupies_no_more(size: int) -> None:
    """The largest object that fits is chosen: less than one alignment step is missing."""
    payload = payload_bytes(size)
    assert payload is not None
    assert 0 <= size - occupied_bytes(payload) < 16


def test_leaks_are_per_operation_and_per_message() -> None:
    """One leak counts arrivals, messages and departures, the other one messages."""
    population = _made(leak_bytes=100, leak_per_operation_bytes=64)
    population.grow([0, 1, 2], 0.0)
    population.drive([0, 1], b"\0\0", 0.0)
    population.shrink([0], 0.0)
    assert (_owed(population._message_leak), _owed(population._operation_leak)) == (200, 384)


def test_digest_tells_the_living() -> None:
    """Which units live shows in the digest, and so does their size."""
    populations = [_made(), _made(), _made(bytes_per_unit=2048), _made()]
    for population in populations:
        population.grow([0, 3], 0.0)
    populations[3].grow([4], 0.0)
    digests = [population.digest() for population in populations]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert populations[3].alive() == [0, 3, 4]


def test_message_to_nobody() -> None:
    """A message to a slot that nobody holds is a fault of the load."""
    with pytest.raises(LookupError, match="no unit in slot 7"):
        _made().drive([7], b"\0", 0.0)
