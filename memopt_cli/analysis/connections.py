"""What was recorded of real connections beside memory: how many, and the kernel's part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Look:
    """The connections at one plateau, when memory was read."""

    at_s: float
    """Since the variant began; that of the sample."""

    stage: int
    asked: int
    """How many there were to be."""

    ready: int
    """Open, and ready by their protocol, as the drivers have it."""

    accepted: int | None
    """By how many descriptors the server holds more than at its start."""

    answered: int | None
    """Of those ready, how many answered in each round before this plateau; `None` without one."""

    settled_s: float
    """For so long memory was waited for."""

    at_rest: bool
    """Whether it came to rest in that time."""

    slab_bytes: int | None
    """The kernel's objects for sockets, of both ends and of the whole machine."""

    buffers_bytes: int | None
    """Unread and unsent bytes in socket buffers, of the whole machine."""


@dataclass(frozen=True, slots=True)
class ConnectionsRecording:
    """All that was recorded of the connections of a variant."""

    servers: int = 0
    """Processes of the server, or of the target, when it was ready."""

    drivers: int = 0
    looks: tuple[Look, ...] = ()
    connect_s: float = 0.0
    """From asking for the first until the last was ready, of the first growth, without pauses."""

    connected: int = 0
    """Connections made in that time."""

    connect_others_s: float | None = 0.0
    """Processor time of other programs in that time; `None` if it was not told."""

    connect_available_s: float = 0.0
    """Processor time that there was, of all processors."""

    connect_p50_s: float | None = None
    connect_p99_s: float | None = None
    connect_max_s: float | None = None
    slow_connects: int = 0
    """Those whose first packet had to be sent again, of the whole variant."""

    attempted: int = 0
    closed: int = 0
    answered: int = 0
    not_answered: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """Connections lost or never made, by why."""

    limited_by: str = ""
    """Why a load by schedule was limited by the drivers; empty if it was not."""

    sockets_before: int | None = None
    """Ends of connections on the server's ports before the first one was asked for."""

    sockets_after: int | None = None
    """The same when all was closed, and what was started for it had ended."""

    @property
    def connect_others_share(self) -> float | None:
        """The share of all processors that worked for others while connections were made."""
        if self.connect_others_s is None or not self.connect_available_s:
            return None
        return min(1.0, self.connect_others_s / self.connect_available_s)

    def with_look(self, look: Look) -> ConnectionsRecording:
        """Return the recording with one plateau more."""
        return replace(self, looks=(*self.looks, look))

    def to_values(self) -> dict[str, Any]:
        """Return the recording as JSON has it."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> ConnectionsRecording:
        """Return the recording that `to_values` wrote."""
        looks = tuple(Look(**look) for look in values["looks"])
        return cls(**{**values, "looks": looks})
