"""
What the parts of a step take, told apart from outside: the agents' own code knows nothing of it.

While it is measured, the functions that a step consists of are replaced by ones that note when
they begin and end. So a step that is not measured takes nothing for it.
"""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack, contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.optimizer.agents import learning
from memopt_cli.optimizer.agents import minds as rows
from memopt_cli.optimizer.agents.planning import Workspace
from memopt_cli.workloads.agents import rungs
from memopt_cli.workloads.agents.naive import NaiveAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memopt_cli.workloads.agents.minds import Minds

ELSEWHERE: Final = ""
PERCEIVE, UPDATE, PLAN = "perceive", "update", "plan"

_FUNCTIONS: Final[tuple[tuple[Any, str, str], ...]] = (
    (NaiveAgent, "infer_states", PERCEIVE),
    (NaiveAgent, "infer_policies", PLAN),
    (NaiveAgent, "_select", PLAN),
    (rungs, "perceive", PERCEIVE),
    (rungs, "choose", PLAN),
    (rows, "perceive", PERCEIVE),
    (rows, "choose", PLAN),
    (Workspace, "values", PLAN),
    (learning.Learner, "_perceive", PERCEIVE),
    (learning.Learner, "model", PLAN),
    (learning, "SharedModel", PLAN),
    (learning, "Workspace", PLAN),
    (learning, "choose", PLAN),
)
"""Where a part is another's than the step's rest, which is the update."""


class Meter:
    """Adds up time, or under tracemalloc memory, of the part that runs."""

    __slots__ = ("_began", "_now", "kept_bytes", "peak_bytes", "took_ns")

    def __init__(self) -> None:
        self.took_ns = dict.fromkeys((ELSEWHERE, PERCEIVE, UPDATE, PLAN), 0)
        self.kept_bytes, self.peak_bytes = dict(self.took_ns), dict(self.took_ns)
        self._now, self._began = ELSEWHERE, (perf_counter_ns(), 0)

    def switch(self, part: str) -> str:
        """Say that another part runs from now on; return the one that ran."""
        before, (began_ns, held) = self._now, self._began
        self.took_ns[before] += perf_counter_ns() - began_ns
        current, peak = tracemalloc.get_traced_memory()
        self.kept_bytes[before] += current - held
        self.peak_bytes[before] = max(self.peak_bytes[before], peak - held)
        if peak:
            tracemalloc.reset_peak()
        self._now, self._began = part, (perf_counter_ns(), current)
        return before


@contextmanager
def told_apart(minds: Minds) -> Iterator[Meter]:
    """Give a meter of what *minds* do until the end of the block; one at a time in a process."""
    meter = Meter()
    with ExitStack() as restored:
        for owner, name, part in _FUNCTIONS:
            original = getattr(owner, name)
            restored.callback(setattr, owner, name, original)
            setattr(owner, name, _noted(original, part, meter))
        step = minds.step
        restored.callback(delattr, minds, "step")
        minds.step = _noted(step, UPDATE, meter)  # type: ignore[method-assign] # until the end
        yield meter


def _noted(function: Callable[..., Any], part: str, meter: Meter) -> Callable[..., Any]:
    def noted(*arguments: Any, **named: Any) -> Any:
        before = meter.switch(part)
        try:
            return function(*arguments, **named)
        finally:
            meter.switch(before)

    return noted
