"""Whether units leak that are created, used and destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from memopt_cli.errors import UsageError
from memopt_cli.testing.leaks import TOLERANCE_BYTES, LeakTest, examine, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = TypeVar("Unit")

FEWEST_CYCLES = 10
PATIENCE = 4


def cycle_test(
    create: Callable[[], Unit],
    use: Callable[[Unit], object] | None = None,
    destroy: Callable[[Unit], object] | None = None,
    *,
    cycles: int = 10,
    objects: int = 20,
    tolerance: str | None = None,
    patience: int = PATIENCE,
) -> LeakTest:
    """
    Return whether units keep memory after they are destroyed; an operation is one unit.

    Each cycle creates *objects* units, uses all, destroys all and lets go of them. How many
    cycles are warm-up is measured: those before the growth falls to what later cycles show.

    Args:
        create: Returns one unit.
        use: Is given each unit once, after all of the cycle were created.
        destroy: Is given each unit once, after all of the cycle were used.
        cycles: Of the first round.
        objects: Alive at the same time.
        tolerance: Growth per destroyed unit that is let pass, as a size; 1 byte by default.
            The growth of an idle measurement is always let pass, and told.
        patience: How long growth may go on, in first rounds, before it is a leak.

    Raises:
        UsageError: Too few cycles or objects, or the tolerance is no size.
        MeasurementError: This process does not tell its heap.
    """
    if cycles < FEWEST_CYCLES or objects < 1 or patience < 1:
        raise UsageError(
            f"a cycle test needs {FEWEST_CYCLES} cycles, 1 object and a patience of 1, "
            f"not {cycles}, {objects} and {patience}"
        )

    def batch(count: int) -> None:
        for begun in range(0, count, objects):
            _cycle(create, use, destroy, min(objects, count - begun))

    return examine(
        getattr(create, "__qualname__", repr(create)),
        "destroyed unit",
        batch,
        size=objects,
        batches=cycles,
        tolerance_bytes=size_of(tolerance, TOLERANCE_BYTES),
        patience=patience,
    )


def _cycle(
    create: Callable[[], Unit],
    use: Callable[[Unit], object] | None,
    destroy: Callable[[Unit], object] | None,
    objects: int,
) -> None:
    units = [create() for _ in range(objects)]
    for step in (use, destroy):
        if step is not None:
            for unit in units:
                step(unit)
