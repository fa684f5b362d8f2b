"""Has agents made, used and ended after a run, and reads what each round took and left."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.analysis.operation_profile import PARTS, KeptLine, OperationProfile, PartCost

if TYPE_CHECKING:
    from memopt_cli.engine.launcher import Subject
    from memopt_cli.engine.sampler import Sampler
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario

ROUNDS: Final = 6
"""The first is not measured: it makes what all agents share."""

_LEAST_SEEN_BYTES: Final = 1024**2
"""Less growth of pages than this is a matter of single arenas."""

_SHARE_KEPT: Final = 0.01
"""Of what agents created; more is looked for by line."""


class Profiler:
    """Rounds of agents in one subject."""

    def __init__(self, subject: Subject, sampler: Sampler, stop: StopRequest) -> None:
        self._subject, self._sampler, self._stop = subject, sampler, stop
        self._created: list[tuple[int, int]] = []
        self._left: list[tuple[int, int]] = []
        self._took_ns: list[dict[str, int]] = []
        self._steps = 0

    def profile(self, scenario: Scenario) -> OperationProfile | None:
        """Return the profile of a variant; `None` if none was asked for, or no slot is free."""
        if not scenario.agents.profile:
            return None
        at_s = scenario.load.duration_s
        agents = self._ask("open", agents=scenario.agents.profile, at_s=at_s)["agents"]
        if not agents:
            return None
        for _ in range(ROUNDS):
            self._round()
        traced = self._ask("trace")
        created, retained = self._cleanup(agents)
        lines = self._ask("lines")["lines"] if retained > _SHARE_KEPT * created else []
        return OperationProfile(
            agents=agents,
            rounds=ROUNDS - 1,
            steps=self._steps * (ROUNDS - 1),
            parts=tuple(self._part(name, traced) for name in PARTS),
            created_bytes=created,
            retained_bytes=retained,
            lines=tuple(KeptLine(place, size) for place, size in lines),
        )

    def _round(self) -> None:
        before = self._held()
        self._ask("grow")
        used = self._ask("use")
        after = self._held()
        self._ask("shrink")
        self._created.append((after[0] - before[0], after[1] - before[1]))
        self._left.append(self._held())
        self._took_ns.append(used["ns"])
        self._steps = used["steps"]

    def _held(self) -> tuple[int, int]:
        """Return the heap in use and the anonymous bytes, now."""
        self._stop.check()
        return self._subject.heap()["in_use"] or 0, self._sampler.anonymous_bytes()

    def _cleanup(self, agents: int) -> tuple[float, float]:
        """
        Return the bytes that an agent created, and those that stayed.

        Of heap in use, which is exact, or of pages where agents have memory that the heap does
        not count, and it is enough to be told from arenas.
        """
        heap, pages = (statistics.median(each) for each in zip(*self._created[1:], strict=True))
        (heap_first, pages_first), (heap_last, pages_last) = self._left[0], self._left[-1]
        kept_heap, kept_pages = heap_last - heap_first, pages_last - pages_first
        kept = max(kept_heap, kept_pages if kept_pages >= _LEAST_SEEN_BYTES else 0)
        return max(heap, pages) / agents, kept / ((ROUNDS - 1) * agents)

    def _part(self, name: str, traced: dict[str, Any]) -> PartCost:
        took_ns = statistics.median(each[name] for each in self._took_ns[1:])
        return PartCost(
            name=name,
            s_per_step=took_ns * 1e-9 / self._steps,
            peak_bytes=traced["peak"][name],
            kept_bytes_per_step=traced["kept"][name] / self._steps,
        )

    def _ask(self, what: str, **more: Any) -> dict[str, Any]:
        answer, _ = self._subject.exchange(
            {"do": "probe", "probe": "profile", "what": what, **more}
        )
        return answer
