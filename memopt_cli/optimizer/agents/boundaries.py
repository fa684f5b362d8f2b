"""
The collector between the steps of agents, and never within one.

It helps where much is alive beside the agents, and as long as full collections stay rare. With
500,000 other objects, 1,000 steps of 75 agents whose callers make 1,500 objects in each take
0.61 (0.56 to 0.65) of the time, and no step waits for the collector, where one in free use
waits up to 0.23 s; with everything collected at each hundredth step instead of each thousandth
it took 1.35 (1.24 to 1.47) (`python -m tests.benchmarks.bench_agent_tuning collector`).
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.gc_tuning import Collector, GcProfile, GcTuning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

YOUNG, OLD = 0, 2
EVERY: Final = 10
FULL_EVERY: Final = 1000


class StepBoundaries:
    """
    A context manager that keeps the collector out of steps, and runs it between them.

        with StepBoundaries() as boundaries:
            for seen in observations:
                with boundaries.step():
                    population.step(seen)

    What is young is collected at every tenth boundary, everything at every thousandth, unless
    told otherwise. The collector is as it was found afterwards, also after an error. Nothing
    is frozen: `gc.freeze` with agents alive would keep the cycles of those who end for ever.
    Who had switched the collector off meant it: then nothing is collected here either.
    """

    __slots__ = ("_collector", "_every", "_full_every", "_steps", "_tuning", "_wanted")

    def __init__(
        self, *, every: int = EVERY, full_every: int = FULL_EVERY, collector: Collector = gc
    ) -> None:
        """
        Args:
            every: Boundaries from one collection of what is young to the next.
            full_every: Boundaries from one collection of everything to the next.
            collector: The `gc` module, or what stands for it.

        Raises:
            AgentError: One of the two is below 1.
        """
        if min(every, full_every) < 1:
            raise AgentError(
                f"collections every {every} and {full_every} steps", hint="Give 1 or more."
            )
        self._every, self._full_every, self._collector = every, full_every, collector
        self._tuning = GcTuning(GcProfile.OFF, count_pauses=False, collector=collector)
        self._steps, self._wanted = 0, False

    def __enter__(self) -> Self:
        self._wanted = self._collector.isenabled() and self._collector.get_threshold()[0] > 0
        self._tuning.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tuning.__exit__(exc_type, exc, traceback)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do one step, and collect behind it if its turn has come; not behind an error."""
        yield
        self._steps += 1
        if not self._wanted:
            return
        if self._steps % self._full_every == 0:
            self._collector.collect(OLD)
        elif self._steps % self._every == 0:
            self._collector.collect(YOUNG)
