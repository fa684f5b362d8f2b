"""
The readings of one process, a column for each figure.

A day at one per second is 86,400 of them for each process, and a report rests on all. As
columns they take 136 bytes each, as objects 570. Thinned instead, they would tell less: of
generated series medians of eight show 427 strong leaks where the whole ones show 441
(`python -m tests.benchmarks.bench_watch_report`).
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from itertools import compress
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.watching import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_FIELDS = dataclasses.fields(Reading)
_NUMBERS = {field.name: number for number, field in enumerate(_FIELDS)}
_MAY_LACK = tuple(field.default is None for field in _FIELDS)
_IS_WHOLE = tuple(str(field.type).startswith("int") for field in _FIELDS)
_NOT_READ = math.nan
"""In a column of floats, which hold whole bytes exactly up to 8 PiB."""


class Readings:
    """
    All readings of a process in their order; equal if all their figures are.

    Each is made as a `Reading` when it is asked for, which takes microseconds: what looks
    at all of them asks for a column.
    """

    __slots__ = ("_columns",)

    def __init__(self, readings: Iterable[Reading] = ()) -> None:
        self._columns: tuple[array[Any], ...] = tuple(
            array("q" if whole and not may_lack else "d")
            for whole, may_lack in zip(_IS_WHOLE, _MAY_LACK, strict=True)
        )
        for one in readings:
            self.add([getattr(one, name) for name in _NUMBERS])

    def add(self, figures: Sequence[float | None]) -> None:
        """
        Add a reading. Only what makes the readings does, before anybody looks at them.

        Args:
            figures: In the order of the fields of `Reading`.

        Raises:
            TypeError: One is no number, or is `None` where it is always read.
        """
        for column, may_lack, figure in zip(self._columns, _MAY_LACK, figures, strict=True):
            column.append(_NOT_READ if figure is None and may_lack else figure)

    def column(self, name: str) -> array[Any]:
        """Return a figure of each reading, NaN where it was not read; not to be changed."""
        return self._columns[_NUMBERS[name]]

    def series(self, name: str) -> tuple[array[Any], array[Any]]:
        """Return the times at which a figure was read, and its values; not to be changed."""
        at, values = self.column("at_s"), self.column(name)
        read = [not math.isnan(one) for one in values]
        if all(read):
            return at, values
        return array("d", compress(at, read)), array("d", compress(values, read))

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, number: int) -> Reading:
        return Reading(*map(_as_read, (one[number] for one in self._columns), _IS_WHOLE))

    def __iter__(self) -> Iterator[Reading]:
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Readings):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # it changes


def _as_read(figure: float, is_whole: bool) -> Any:
    if math.isnan(figure):
        return None
    return int(figure) if is_whole else figure
