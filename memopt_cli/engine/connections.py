"""Runs one variant of a scenario of real connections: its service started, its stages walked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine.events import ConnectionsCounted, VariantEnded, VariantStarted
from memopt_cli.engine.walking import Walk
from memopt_cli.profiler import kernel
from memopt_cli.workloads import rates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.service import Services
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.loading import Cell
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.store.resuming import Begun

_LOOK_EVERY_S = 0.05
_CLOSED_WITHIN_S = 5.0


def expected_operations(scenario: Scenario) -> float:
    """Return about how many requests a scenario holds, for an estimate of the time it takes."""
    load, total = scenario.load, 1.0
    for stage in load.stages:
        units = stage.units or 0
        total += stage.rounds * units * stage.plateaus
        total += rates.message_rate_per_s(load, stage) * stage.duration_s * units
    return total


def connected_variant(
    cell: Cell,
    variant: Variant,
    services: Services,
    clock: Clock,
    stop: StopRequest,
    begun: Begun | None = None,
) -> Iterator[Event]:
    """
    Run one variant against its service; yields its events up to `VariantEnded`.

    Raises:
        TargetError: The service failed, or did not hold all connections.
        MeasurementError: A driver failed, or memory cannot be read.
        Stopped: A stop was asked for.
    """
    scenario = cell.scenario
    label = " ".join([variant.name, *(f"{key}={value}" for key, value in cell.label.items())])
    before_ = None if begun is None else begun.checkpoint
    yield VariantStarted(
        cell=cell.label,
        name=variant.name,
        unit=scenario.unit_word,
        has_pool=False,
        preallocated=0,
        expected_operations=expected_operations(scenario),
        kept_as=None if begun is None else begun.number,
        resumed_at_s=None if before_ is None else before_.at_s,
    )
    stop.check()
    with ExitStack() as opened:
        service = services.start(scenario, variant, label)
        opened.callback(service.close)
        ports = {port for _, port in service.speech.destinations}
        before = kernel.ends_on(ports)
        walk = opened.enter_context(Walk(scenario, service, clock, stop, begun))
        walk.books.found = replace(walk.books.found, sockets_before=before)
        yield from walk.events()
        # Those that were lost with their server remember nothing.
        digest = service.digest() if before_ is None else ""
    after = _left_open(ports, before, clock)
    yield ConnectionsCounted(replace(walk.books.found, sockets_after=after))
    yield VariantEnded(Outcome.FINISHED, digest=digest, transcript=walk.transcript)


def _left_open(ports: set[int], before: int | None, clock: Clock) -> int | None:
    """Return how many ends there are when all has ended; the kernel needs a moment for it."""
    until_s = clock.now() + _CLOSED_WITHIN_S
    while (found := kernel.ends_on(ports)) and found > (before or 0) and clock.now() < until_s:
        clock.sleep(_LOOK_EVERY_S)
    return found
