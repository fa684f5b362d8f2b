"""The line that leaks is named before lines that grew once."""

from __future__ import annotations

import itertools

from memopt_cli.testing.lines import growing_lines


def test_what_grows_always_goes_before_what_grew_more_once() -> None:
    """A megabyte that is allocated once, late, stands behind 50 bytes per operation."""
    places: list[bytes] = [b""] * 1000
    numbers, intervals = itertools.count(), itertools.count()

    def batch(count: int) -> None:
        if next(intervals) == 3:
            places[-1] = bytes(1_000_000)
        for _ in range(count):
            places[next(numbers)] = bytes(17)

    first = growing_lines(batch, warm_up=10, operations=100, most_bytes=1e6)[0]

    assert (__file__, batch.__code__.co_firstlineno + 4) == (first.file, first.line)
    assert 50 == round(first.bytes_per_operation)
