"""What serves the real connections of a variant: the bundled server, or a target."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from memopt_cli.engine.launcher import environment_of_subjects
from memopt_cli.errors import SubjectDied
from memopt_cli.profiler.tree import living
from memopt_cli.workloads.sockets.plan import most_per_driver
from memopt_cli.workloads.sockets.server.fleet import Fleet, ServerHeap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memopt_cli.profiler.tree import Living
    from memopt_cli.scenario.model import Scenario, Variant
    from memopt_cli.workloads.sockets.plan import Destination
    from memopt_cli.workloads.sockets.settings import TlsSettings


@dataclass(frozen=True, slots=True)
class Speech:
    """Where a service is, and how it is spoken to."""

    protocol: str
    options: dict[str, Any]
    authority: str
    destinations: tuple[Destination, ...]
    tls: TlsSettings | None = None
    sources: tuple[str, ...] = ()
    """Addresses to connect from; none for as many as are needed."""

    search_path: tuple[str, ...] = ()
    allow_remote: bool = False
    reset: bool = True
    """Whether connections are closed without a word."""

    window: int = 256
    """Most connections on the way of each driver."""


class Service(Protocol):
    """Processes that accept connections."""

    speech: Speech
    note: str
    """What to say of it in errors."""

    def members(self) -> tuple[Living, ...]:
        """Return its processes; raises `TargetError` when it has ended."""

    def collect(self) -> None:
        """Have it collect its garbage, where it was said how; raises `TargetError`."""

    def heap(self) -> ServerHeap | None:
        """Return its heap as it counts it itself; `None` if it does not."""

    def digest(self) -> str:
        """Return what its connections remembered; empty if it does not tell."""

    def close(self) -> None:
        """End what was started for it; may be called again."""


class Services(Protocol):
    """Where services come from."""

    def start(self, scenario: Scenario, variant: Variant, label: str) -> Service:
        """Return a service that answers; raises `TargetError` when none comes up."""


@dataclass(slots=True)
class BundledService:
    """The server that comes with memopt."""

    fleet: Fleet
    speech: Speech
    note: str = "Its output is in target.log."
    _closing: ExitStack = field(default_factory=ExitStack)

    def members(self) -> tuple[Living, ...]:
        """Return its processes; all of them must be there."""
        found = [(pid, living(pid)) for pid in self.fleet.pids]
        for pid, each in found:
            if each is None:
                raise SubjectDied(f"a process of the server ({pid}) has ended", hint=self.note)
        return tuple(each for _, each in found if each is not None)

    def collect(self) -> None:
        """Do nothing: what its connections leave behind is no garbage that waits."""

    def heap(self) -> ServerHeap:
        """Return the heaps of all processes."""
        return self.fleet.heap()

    def digest(self) -> str:
        """Return the digest of all processes."""
        return self.fleet.report().digest

    def close(self) -> None:
        """End all processes."""
        self.fleet.close()
        self._closing.close()


def bundled(
    scenario: Scenario, variant: Variant, *, log: Path, check: Callable[[], None]
) -> BundledService:
    """Start the bundled server for a variant."""
    section = scenario.sockets
    peak = scenario.load.peak_units or 1
    with ExitStack() as opened:
        fleet = Fleet(
            variant.server or "naive",
            processes=section.servers or -(-peak // most_per_driver()),
            receive_buffer_bytes=int(section.receive_buffer_bytes),
            log=opened.enter_context(log.open("ab")),
            check=check,
            environment=environment_of_subjects(),
        )
        host, port = fleet.destinations[0]
        options = {
            "handshake_bytes": int(section.handshake_bytes),
            "distinct_handshakes": section.distinct_handshakes,
            "seed": scenario.seed,
            "message_bytes": int(section.message_bytes),
        }
        speech = Speech(
            "jsonrpc+tcp", options, f"{host}:{port}", tuple(fleet.destinations), window=1024
        )
        return BundledService(fleet, speech, _closing=opened.pop_all())
