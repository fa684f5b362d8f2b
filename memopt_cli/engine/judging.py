"""Judges how a subject's agents think: leads them through the naive trace, then lets them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from memopt_cli.analysis.fidelity import Tally

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Fidelity
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.workloads.agents.kinds import Kind
    from memopt_cli.workloads.agents.trace import Trace
    from memopt_cli.workloads.settings import AgentsSettings
    from memopt_cli.workloads.wire import Message


class Probed(Protocol):
    """A subject whose agents can be led."""

    def exchange(self, message: Message, *blocks: bytes) -> tuple[Message, list[bytes]]:
        """Send a command and return its answer, and the blocks that came with it."""


class Judge:
    """The traces of a run, each made when it is first needed, and what they say of variants."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._traces: dict[tuple[Kind, int, int, int], tuple[Trace, Trace]] = {}

    def judge(
        self, subject: Probed, scenario: Scenario, variant: Variant, settings: AgentsSettings
    ) -> Fidelity | None:
        """
        Return how a variant's agents think against naive ones; `None` if that is not asked for.

        Variants without `agents` are not judged: theirs would be compared with themselves.
        """
        from memopt_cli.workloads.agents.kinds import kinds_of

        section = scenario.agents
        if variant.agents is None or not section.probes:
            return None
        tally = Tally()
        for kind, _ in kinds_of(settings):
            trace, twin = self._trace(kind, section.probes, section.probe_steps, settings)
            self._led(subject, trace, tally)
            self._free(subject, trace, settings.seed, tally)
            if not kind.learns:
                self._twins(subject, trace, twin, tally)
        return tally.result()

    def _trace(
        self, kind: Kind, probes: int, steps: int, settings: AgentsSettings
    ) -> tuple[Trace, Trace]:
        from memopt_cli.workloads.agents.trace import naive_trace, twin_trace

        key = kind, probes, steps, settings.seed
        if key not in self._traces:
            trace = naive_trace(kind, count=probes, steps=steps, seed=settings.seed)
            self._traces[key] = trace, twin_trace(trace, kind.twin(settings.distinct_models))
        return self._traces[key]

    def _led(self, subject: Probed, trace: Trace, tally: Tally) -> None:
        """Have agents see and do what the naive ones saw and did."""
        group = Group(subject, trace.kind, trace.count)
        for step, (seen, expected) in enumerate(zip(trace.seen, trace.codes, strict=True)):
            self._stop.check()
            codes, beliefs = group.step(seen, expected, restart=trace.restarts(step))
            tally.add_led(trace.beliefs[step], beliefs, expected == codes)
        group.end()

    def _free(self, subject: Probed, trace: Trace, seed: int, tally: Tally) -> None:
        """Have agents act in worlds like those of the naive ones."""
        from memopt_cli.workloads.agents.trace import Wild

        group, wild = Group(subject, trace.kind, trace.count), Wild(trace.kind, trace.count, seed)
        for step, expected in enumerate(trace.codes):
            self._stop.check()
            restart = trace.restarts(step)
            codes, _ = group.step(wild.seen(step, restart=restart), None, restart=restart)
            wild.act(codes)
            tally.add_free(expected == codes)
        group.end()

    def _twins(self, subject: Probed, trace: Trace, twin: Trace, tally: Tally) -> None:
        """Have agents of two models of one shape see the same: what they believe must differ."""
        groups = [Group(subject, one.kind, one.count) for one in (trace, twin)]
        for step, seen in enumerate(twin.seen):
            self._stop.check()
            told = [
                group.step(seen, trace.codes[step], restart=trace.restarts(step))[1]
                for group in groups
            ]
            tally.add_twins((trace.beliefs[step], twin.beliefs[step]), (told[0], told[1]))
        for group in groups:
            group.end()


class Group:
    """Agents of one kind in a subject."""

    def __init__(self, subject: Probed, kind: Kind, count: int) -> None:
        self._subject, self._count = subject, count
        told, _ = subject.exchange(
            {
                "do": "probe",
                "probe": "begin",
                "name": kind.name,
                "seed": kind.seed,
                "learns": kind.learns,
                "count": count,
            }
        )
        self._group = told["group"]

    def step(self, seen: Ints, led: Ints | None, *, restart: bool) -> tuple[Ints, Floats]:
        """Return what the agents do, and believe: [agent, state], or nothing."""
        import numpy as np

        message: dict[str, Any] = {
            "do": "probe",
            "probe": "step",
            "group": self._group,
            "count": self._count,
            "restart": restart,
        }
        told = b"" if led is None else led.astype(np.int32).tobytes()
        _, (codes, beliefs) = self._subject.exchange(message, seen.astype(np.int32).tobytes(), told)
        found = np.frombuffer(beliefs, np.float64)
        if found.size:
            found = found.reshape(self._count, -1)
        return np.frombuffer(codes, np.int32).astype(np.intp), found

    def end(self) -> None:
        """End the agents."""
        self._subject.exchange({"do": "probe", "probe": "end", "group": self._group})
