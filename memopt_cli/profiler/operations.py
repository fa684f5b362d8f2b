"""What one operation of this process costs in memory and time, measured by its own code."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from memopt_cli.errors import MeasurementError, MemoryBudgetExceeded, UsageError
from memopt_cli.profiler.budgets import Budget
from memopt_cli.profiler.histogram import NANOSECONDS
from memopt_cli.profiler.registry import OPERATIONS, Registry
from memopt_cli.profiler.watch import WATCH
from memopt_cli.units import format_duration, format_size

if TYPE_CHECKING:
    from types import TracebackType

_CURRENT: ContextVar[Operation | None] = ContextVar("memopt_operation", default=None)
"""The innermost operation; each thread and each task has its own."""


@dataclass(frozen=True, slots=True)
class OperationCost:
    """
    What one operation cost. Memory is that of the process from its begin to its end.

    Where `alone` is false, other threads or tasks were measured meanwhile, and their
    memory is in these figures too; threads that nobody measures are never known.
    """

    name: str
    duration_ns: int
    """Traced code runs slower, often several times: compare only times of the same tracing."""

    net_traced_bytes: int | None
    """
    What is left of what it allocated, minus what it freed; `None` unless it was traced.

    Where the tracer was switched on for it, the freeing of older memory is not seen.
    """

    peak_traced_bytes: int | None
    """The most that was allocated at one time within it, above its begin."""

    allocated_blocks: int
    """Difference of `sys.getallocatedblocks`: Python's small objects, of the whole process."""

    rss_bytes: int | None
    """Growth of the resident set, with the tracer's own tables; `None` without ``/proc``."""

    gc_pauses: int
    gc_pause_ns: int
    gc_pause_max_ns: int
    """The longest one; 0 without any."""

    alone: bool
    """Whether no other operation that is neither around it nor within it was under way."""

    failed: bool
    """Whether it ended in an exception."""

    @property
    def duration_s(self) -> float:
        """The duration in seconds."""
        return self.duration_ns * NANOSECONDS

    @property
    def gc_pause_s(self) -> float:
        """All pauses together, in seconds."""
        return self.gc_pause_ns * NANOSECONDS

    def __str__(self) -> str:
        if self.peak_traced_bytes is None or self.net_traced_bytes is None:
            memory = f"{self.allocated_blocks:+,} blocks (not traced)"
        else:
            net, peak = format_size(self.net_traced_bytes), format_size(self.peak_traced_bytes)
            memory = f"{net} kept, {peak} at its peak, {self.allocated_blocks:+,} blocks"
        return f"{self.name}: {memory} in {format_duration(self.duration_s)}"


class Operation:
    """
    A span of code that is measured; used once, as a context manager.

    The fields without a docstring of their own are the readings that `Watch` keeps here.
    """

    __slots__ = (
        "_budget",
        "_cost",
        "_registry",
        "alone",
        "blocks",
        "duration_ns",
        "highest_traced_bytes",
        "name",
        "net_traced_bytes",
        "parent",
        "pause_max_ns",
        "pause_ns",
        "pauses",
        "peak_traced_bytes",
        "rss_bytes",
        "started_ns",
        "trace",
        "traced",
        "traced_bytes",
    )

    def __init__(
        self, name: str, *, budget: Budget | None, trace: bool | None, registry: Registry
    ) -> None:
        self.name = name
        self.trace = trace
        self._budget = budget
        self._registry = registry
        self._cost: OperationCost | None = None
        self.parent: Operation | None = None
        self.alone = True
        self.traced = False
        self.started_ns = self.duration_ns = 0
        self.traced_bytes = self.highest_traced_bytes = 0
        self.net_traced_bytes: int | None = None
        self.peak_traced_bytes: int | None = None
        self.blocks = 0
        self.rss_bytes: int | None = None
        self.pauses = self.pause_ns = self.pause_max_ns = 0

    @property
    def cost(self) -> OperationCost:
        """
        What it cost, once it has ended.

        Raises:
            MeasurementError: It has not.
        """
        if self._cost is None:
            raise MeasurementError(
                f"the operation {self.name!r} has not ended",
                hint="Read its cost after the with block.",
            )
        return self._cost

    def check(self) -> None:
        """
        Judge the budget in the middle of the operation, rather than only at its end.

        Raises:
            MemoryBudgetExceeded: More than the budget was used up to now.
            UsageError: It has no budget, or is not under way.
        """
        if self._budget is None or not self.started_ns or self._cost is not None:
            raise UsageError(f"the operation {self.name!r} has no budget, or is not under way")
        try:
            self._judge(*WATCH.used(self), stack=4)
        except MemoryBudgetExceeded:
            self._budget = None  # its end need not say so again
            raise

    def descends_from(self, other: Operation) -> bool:
        """Return whether *other* is around this one."""
        around = self.parent
        while around is not None and around is not other:
            around = around.parent
        return around is other

    def __enter__(self) -> Self:
        if self.started_ns:
            raise UsageError(
                f"the operation {self.name!r} has been used", hint="Make one for each with block."
            )
        self.parent = _CURRENT.get()
        _CURRENT.set(self)
        WATCH.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        WATCH.end(self)
        # Not by a token: an operation may end in another context than it began in.
        _CURRENT.set(self.parent)
        self.parent = None
        self._cost = self._ended(failed=error is not None)
        self._registry.add(self._cost)
        if self._budget is None:
            return
        used, basis = self._cost.peak_traced_bytes, "peak of traced memory"
        if used is None:
            used, basis = self._cost.rss_bytes, "growth of resident memory"
        try:
            self._judge(used, basis, stack=4)
        except (MemoryBudgetExceeded, MeasurementError) as exc:
            if error is None:
                raise
            # What went wrong first is what has to be seen, often a MemoryError.
            error.add_note(str(exc))

    def _judge(self, used_bytes: int | None, basis: str, *, stack: int) -> None:
        if self._budget is None:
            return
        if used_bytes is None:
            raise MeasurementError(
                f"the memory of {self.name!r} was not measured: its budget cannot be judged",
                hint="Pass trace=True.",
            )
        self._budget.judge(self.name, used_bytes, basis, stack=stack)

    def _ended(self, *, failed: bool) -> OperationCost:
        return OperationCost(
            name=self.name,
            duration_ns=self.duration_ns,
            net_traced_bytes=self.net_traced_bytes,
            peak_traced_bytes=self.peak_traced_bytes,
            allocated_blocks=self.blocks,
            rss_bytes=self.rss_bytes,
            gc_pauses=self.pauses,
            gc_pause_ns=self.pause_ns,
            gc_pause_max_ns=self.pause_max_ns,
            alone=self.alone,
            failed=failed,
        )


def operation(
    name: str,
    *,
    budget: str | Budget | None = None,
    trace: bool | None = None,
    registry: Registry = OPERATIONS,
) -> Operation:
    """
    Return a context manager that measures what happens in it; untraced it adds 14 us.

    Args:
        name: What it is counted as.
        budget: What it may take: a size such as ``"10MiB"``, or a `Budget`.
        trace: `True` switches tracemalloc on for as long as it lasts, `False` never uses
            it. By default it is switched on unless other threads run: with them, CPython
            may crash when it is switched off. Tracing slows the code down several times;
            who was tracing before goes on tracing.
        registry: Where it is counted.

    Raises:
        UsageError: The budget cannot be read.
    """
    limit = None if budget is None else Budget.of(budget)
    return Operation(name, budget=limit, trace=trace, registry=registry)
