"""Whether a function leaks when it is called often."""

from __future__ import annotations

import inspect
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.errors import LeakFound, MeasurementError, UsageError
from memopt_cli.testing.caches import cache_sizes, still_filling
from memopt_cli.testing.lines import growing_lines
from memopt_cli.testing.rounds import watch
from memopt_cli.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memopt_cli.analysis.batches import Growth
    from memopt_cli.profiler.census import TypeGrowth
    from memopt_cli.testing.lines import LineGrowth
    from memopt_cli.testing.rounds import Batch

Inconclusive = Literal["fail", "warn"]
"""What becomes of a test that could not tell."""

BATCHES = 12
FEWEST_OPERATIONS = 20
PATIENCE = 8
TOLERANCE_BYTES = 1.0
"""Per operation, up to 1,000 operations; of more it is as much less as they are more."""

_TOLERANCE_OPERATIONS = 1000
_BURST_SHARE = 0.2
_MOST_TYPES = 5


class InconclusiveWarning(UserWarning):
    """A leak test could not tell whether there is a leak."""


@dataclass(frozen=True, slots=True)
class LeakTest:
    """Whether something leaks per operation, and what is known of the leak."""

    name: str
    unit: str
    """What leaks, if it does: an ``operation`` or a ``destroyed unit``."""

    growth: Growth
    retained: tuple[TypeGrowth, ...]
    """
    What the last round left at least one of per batch, by type.

    What holds no references (bytes, numbers, arrays) is not among them.
    """

    lines: tuple[LineGrowth, ...]
    """Where what is kept was allocated; looked for only if memory grows."""

    @property
    def verdict(self) -> LeakVerdict:
        """Leak, no leak, or inconclusive."""
        return self.growth.verdict

    def __str__(self) -> str:
        parts = [f"{self.name}: {self.growth.said_of(self.unit)}"]
        parts += [f"  {each}" for each in self.lines]
        if self.verdict is not LeakVerdict.NO_LEAK:
            after = f"after {self.growth.last_operations:,} {self.unit}s"
            kept = self.retained[:_MOST_TYPES]
            parts += [f"  {each.objects:+,} {each.type_name} {after}" for each in kept]
        return "\n".join(parts)

    def check(self, *, inconclusive: Inconclusive = "fail") -> None:
        """
        Do nothing if there is no leak.

        Raises:
            LeakFound: There is one.
            MeasurementError: It could not be told, and *inconclusive* is ``fail``.
        """
        if self.verdict is LeakVerdict.LEAK:
            raise LeakFound(str(self))
        if self.verdict is LeakVerdict.INCONCLUSIVE:
            if inconclusive == "fail":
                raise MeasurementError(str(self))
            warnings.warn(str(self), InconclusiveWarning, stacklevel=3)


def find_leak(
    function: Callable[[], Any],
    *,
    operations: int = 1000,
    tolerance: str | None = None,
    patience: int = PATIENCE,
) -> LeakTest:
    """
    Call *function* at least *operations* times and return whether the calls keep memory.

    Args:
        function: Without arguments; an async function is awaited in a loop of its own.
        operations: Of the first round, in 12 batches. A function that does not leak is
            mostly called so often; one that grows, up to *patience* times as often.
        tolerance: Growth per operation that is let pass, as a size; by default 1 byte, and
            1,000 bytes over the first round if that is longer than 1,000 operations. The
            growth of an idle measurement is always let pass, and told.
        patience: How long growth may go on, in first rounds, before it is a leak.

    Memory that is not from the allocators of Python and C (a file mapping) is not seen; that
    of other threads is. Each of the 16 readings of a round collects garbage first, which is
    most of what a test costs: 15 ms each where 100,000 objects are alive.

    Raises:
        UsageError: Too few operations, or the tolerance is no size.
        MeasurementError: This process does not tell its heap.
    """
    if operations < FEWEST_OPERATIONS or patience < 1:
        raise UsageError(
            f"a leak test needs {FEWEST_OPERATIONS} operations and a patience of 1, "
            f"not {operations} and {patience}"
        )
    bound = TOLERANCE_BYTES * min(1.0, _TOLERANCE_OPERATIONS / operations)
    name = getattr(function, "__qualname__", repr(function))
    with _calls(function) as batch:
        return examine(
            name,
            "operation",
            batch,
            size=operations // BATCHES,
            batches=BATCHES,
            tolerance_bytes=size_of(tolerance, bound),
            patience=patience,
        )


def assert_no_leak(
    function: Callable[[], Any],
    *,
    operations: int = 1000,
    tolerance: str | None = None,
    patience: int = PATIENCE,
    inconclusive: Inconclusive = "fail",
) -> LeakTest:
    """
    Do as `find_leak` does, and raise if *function* leaks.

    Raises:
        LeakFound: It leaks; an `AssertionError`.
        MeasurementError: It could not be told, and *inconclusive* is not ``warn``.
        UsageError: As `find_leak`.
    """
    found = find_leak(function, operations=operations, tolerance=tolerance, patience=patience)
    found.check(inconclusive=inconclusive)
    return found


def examine(
    name: str,
    unit: str,
    batch: Batch,
    *,
    size: int,
    batches: int,
    tolerance_bytes: float,
    patience: int,
) -> LeakTest:
    """Watch the growth of batches, and find what and where if there is a leak."""
    before = cache_sizes()
    seen = watch(
        batch, size=size, batches=batches, tolerance_bytes=tolerance_bytes, patience=patience
    )
    grown = seen.growth
    if grown.verdict is not LeakVerdict.LEAK:
        return LeakTest(name, unit, grown, seen.retained, ())
    filling = still_filling(before, cache_sizes())
    if filling:
        reason = f"a cache still fills: {', '.join(filling)}; raise operations, or clear it"
        grown = replace(grown, verdict=LeakVerdict.INCONCLUSIVE, reason=reason)
    lines = growing_lines(
        batch,
        warm_up=size * batches,
        operations=max(1, round(size * batches * _BURST_SHARE)),
        most_bytes=grown.per_operation.high,
    )
    return LeakTest(name, unit, grown, seen.retained, lines)


def size_of(tolerance: str | None, otherwise: float) -> float:
    """
    Return a tolerance in bytes.

    Raises:
        UsageError: It is no size.
    """
    if tolerance is None:
        return otherwise
    try:
        return parse_size(tolerance)
    except ValueError as exc:
        raise UsageError(f"the tolerance cannot be read: {exc}") from None


@contextmanager
def _calls(function: Callable[[], Any]) -> Iterator[Batch]:
    """Give what calls *function* so many times, and awaits it if it is async."""
    if inspect.iscoroutinefunction(function):
        import asyncio

        async def wait(count: int) -> None:
            for _ in range(count):
                await function()

        with asyncio.Runner() as runner:
            yield lambda count: runner.run(wait(count))
        return

    def call(count: int) -> None:
        for _ in range(count):
            function()

    yield call
