"""Runs one variant of a scenario of real connections: its service started, its stages walked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.engine.events import ConnectionsCounted, VariantEnded
from memopt_cli.engine.walking import Walk
from memopt_cli.profiler import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.events import Event
    from memopt_cli.engine.service import Services
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.store.resuming import Begun

_LOOK_EVERY_S = 0.05
_CLOSED_WITHIN_S = 5.0


def connected_variant(
    scenario: Scenario,
    variant: Variant,
    label: str,
    services: Services,
    clock: Clock,
    stop: StopRequest,
    begun: Begun | None = None,
) -> Iterator[Event]:
    """
    Run one variant against its service; yields its events to `VariantEnded`.

    Raises:
        TargetError: The service failed, or did not hold all connections.
        MeasurementError: A driver failed, or memory cannot be read.
        Stopped: A stop was asked for.
    """
    with ExitStack() as opened:
        service = services.start(scenario, variant, label)
        opened.callback(service.close)
        ports = {port for _, port in service.speech.destinations}
        before = kernel.ends_on(ports)
        walk = opened.enter_context(Walk(scenario, service, clock, stop, begun))
        walk.books.found = replace(walk.books.found, sockets_before=before)
        yield from walk.events()
        # Those that were lost with their server remember nothing.
        digest = service.digest() if begun is None or begun.checkpoint is None else ""
    after = _left_open(ports, before, clock)
    yield ConnectionsCounted(replace(walk.books.found, sockets_after=after))
    yield VariantEnded(Outcome.FINISHED, digest=digest, transcript=walk.transcript)


def _left_open(ports: set[int], before: int | None, clock: Clock) -> int | None:
    """Return how many ends there are when all has ended; the kernel needs a moment for it."""
    until_s = clock.now() + _CLOSED_WITHIN_S
    while (found := kernel.ends_on(ports)) and found > (before or 0) and clock.now() < until_s:
        clock.sleep(_LOOK_EVERY_S)
    return found
