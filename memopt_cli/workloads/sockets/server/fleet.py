"""Starts the bundled server in as many processes as its connections need, and ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from memopt_cli.errors import UsageError
from memopt_cli.workloads.sockets.child import Child, Children, nothing
from memopt_cli.workloads.sockets.server.books import digests_summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memopt_cli.workloads.sockets.plan import Destination

VARIANTS = ("naive", "optimized")

_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What all processes of a server have seen."""

    digest: str
    """Of what the connections remember, the ended ones included; equal for equal traffic."""

    connections: int
    """Now."""

    accepted: int
    requests: int
    """Answered, and notifications."""


@dataclass(frozen=True, slots=True)
class ServerHeap:
    """The heaps of all processes of a server together; `None` where one does not tell."""

    in_use_bytes: int | None
    free_bytes: int | None
    blocks: int | None


class Fleet(Children):
    """Processes of one variant; a context manager that ends them."""

    def __init__(
        self,
        variant: str,
        *,
        processes: int = 1,
        host: str = "127.0.0.1",
        reuse_port: bool = False,
        receive_buffer_bytes: int = 4096,
        log: IO[bytes] | None = None,
        check: Callable[[], None] = nothing,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            variant: ``naive`` or ``optimized``.
            processes: How many.
            host: The address to listen on.
            reuse_port: One port for all, among which the kernel shares the connections at
                random (SO_REUSEPORT); otherwise each has its own, and clients share exactly.
            receive_buffer_bytes: Of each connection of the naive variant.
            log: Where the output goes.
            check: Called while answers are waited for; what it raises ends the wait.
            environment: Variables of the processes; `None` for those of this one.

        Raises:
            UsageError: There is no such variant, or it cannot listen there.
        """
        if variant not in VARIANTS:
            raise UsageError(f"unknown variant {variant!r}", hint=f"{' or '.join(VARIANTS)}.")
        super().__init__()
        self.destinations: list[Destination] = []
        port = 0
        with self._all_or_none():
            for _ in range(processes):
                child = Child(
                    "memopt_cli.workloads.sockets.server",
                    "server",
                    log,
                    check=check,
                    environment=environment,
                )
                self._children.append(child)
                child.tell(
                    {
                        "variant": variant,
                        "host": host,
                        "port": port,
                        "reuse_port": reuse_port,
                        "receive_buffer_bytes": receive_buffer_bytes,
                    }
                )
                bound = child.answer(_WITHIN_S)[0]["port"]
                if (host, bound) not in self.destinations:
                    self.destinations.append((host, bound))
                port = bound if reuse_port else 0

    def report(self) -> ServerReport:
        """Return what was seen so far; raises `MeasurementError` when a process is gone."""
        for child in self._children:
            child.tell({"do": "digest"})
        found = [child.answer(_WITHIN_S)[0] for child in self._children]
        counts = {
            name: sum(each[name] for each in found)
            for name in ("connections", "accepted", "requests")
        }
        return ServerReport(digest=digests_summed([each["digest"] for each in found]), **counts)

    def heap(self) -> ServerHeap:
        """Return the heaps of all processes, as they count them themselves."""
        for child in self._children:
            child.tell({"do": "heap"})
        found = [child.answer(_WITHIN_S)[0] for child in self._children]
        return ServerHeap(*(_added(found, name) for name in ("in_use", "free", "blocks")))


def _added(answers: list[dict[str, Any]], name: str) -> int | None:
    values = [answer[name] for answer in answers]
    return None if None in values else sum(values)
