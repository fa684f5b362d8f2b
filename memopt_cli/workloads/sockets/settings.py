"""What a driver process is told at its start, as plain values that travel as JSON."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from typing import Any

from memopt_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Lane:
    """Connections from one address to another: the ports between two are counted."""

    source: str | None
    """The address to connect from; `None` leaves it to the system."""

    host: str
    """The address to connect to, as a number."""

    port: int
    capacity: int
    """Most connections at a time."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How the server proves who it is."""

    server_name: str
    cafile: str | None = None
    """Certificates to trust instead of the system's."""

    verify: bool = True


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """Everything one driver is told."""

    protocol: str
    """A bundled protocol's name, or ``module:Class``."""

    options: dict[str, Any]
    authority: str
    """The server's name and port, as requests give it."""

    lanes: tuple[Lane, ...]
    index: int = 0
    """Which of the drivers this is, from 0."""

    drivers: int = 1
    tls: TlsSettings | None = None
    allow_remote: bool = False
    """Whether addresses that are not of this machine's loopback may be connected to."""

    window: int = 256
    """Most connections on the way at a time."""

    answer_within_s: float = 10.0
    """For a connection to be opened, and for a request to be answered."""

    watch_backlog: bool = True
    """
    Whether to connect no faster than the server accepts, where its queue can be seen.

    Without, a full queue shows as connections that take 1 s or 3 s longer, or never come.
    """

    search_path: tuple[str, ...] = ()
    """Where a user's own protocol is imported from."""

    def to_message(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_message(cls, values: dict[str, Any]) -> DriverSettings:
        """Return the settings that `to_message` wrote."""
        tls = values["tls"]
        return cls(
            **{
                **values,
                "lanes": tuple(Lane(**lane) for lane in values["lanes"]),
                "tls": None if tls is None else TlsSettings(**tls),
                "search_path": tuple(values["search_path"]),
            }
        )


def check_destination(host: str, *, allow_remote: bool) -> None:
    """
    Refuse an address that is not of this machine's loopback, unless it is allowed.

    Raises:
        UsageError: It is another machine's, or no address.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise UsageError(f"{host!r} is no IP address") from None
    if not (loopback or allow_remote):
        raise UsageError(
            f"{host} is not this machine",
            hint="Load another machine only if it is yours, and say so (allow_remote).",
        )
