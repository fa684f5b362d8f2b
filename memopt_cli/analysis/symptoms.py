"""Why connections failed, told from what was seen of them: error counts, connect times, ages."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from memopt_cli.units import format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Histogram = Sequence[tuple[float, int]]
    """Seconds, and how many; in any order."""

ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "ECONNREFUSED": (
        "nobody listens at that address and port, or the server has ended",
        "Look whether the server is up and listens there: `ss -ltn`.",
    ),
    "ECONNRESET": (
        "the server, or something between, closed what it had not finished",
        "Read the server's log: it crashed, or it has a limit of its own on connections.",
    ),
    "EMFILE": (
        "the process has as many descriptors as it may",
        "`ulimit -n` higher in the shell that starts it, or more processes: memopt doctor.",
    ),
    "ENFILE": (
        "the machine has as many open files as it may",
        "`sysctl -w fs.file-max=` higher; /proc/sys/fs/file-nr has what is in use.",
    ),
    "EADDRNOTAVAIL": (
        "no port is left from this source address to that destination",
        "Connect from more addresses (127.0.0.2, ...), or widen net.ipv4.ip_local_port_range.",
    ),
    "ETIMEDOUT": (
        "nothing answered: packets are dropped, or the backlog stayed full until connect gave up",
        "Connect slower than the server accepts, raise its backlog, look for a firewall.",
    ),
    "ENOBUFS": (
        "the kernel has no memory for more socket buffers",
        "Raise net.ipv4.tcp_mem, or let what is unread be read: `cat /proc/net/sockstat`.",
    ),
    "ENOMEM": (
        "the kernel has no memory for more sockets",
        "Raise net.ipv4.tcp_mem and the container's memory limit, or hold fewer.",
    ),
}
"""What each error of a socket means, and its remedy."""

_STEP_WIDTH_S: Final = 0.25
_LATE_S: Final = 0.95
_ON_STEPS: Final = 0.8
_FEWEST_LATE: Final = 3
_FEWEST_CLOSED: Final = 10
_SAME_AGE_S: Final = 0.5
_SAME_AGE_SHARE: Final = 0.05
_IN_THE_MIDDLE: Final = 0.9
_KNOWN_AGES: Final = {
    5: "the keep-alive time-out of uvicorn and node",
    10: "the time-out of the Python websockets library for the handshake",
    40: "a ping after 20 s that had no pong for 20 s (uvicorn, websockets)",
    75: "the keep-alive time-out of nginx and aiohttp",
}


@dataclass(frozen=True, slots=True)
class Symptoms:
    """What a driver saw."""

    errors: Mapping[str, int] = field(default_factory=dict)
    """How often, by the name of the error: ``EMFILE``."""

    connected: int = 0
    accepted: int | None = None
    """
    As the server has it: by the growth of its descriptors, or by its replies.

    `None` if it was not looked at.
    """

    connect_times_s: Histogram = ()
    closing_ages_s: Histogram = ()
    """How old connections were when the other side closed them."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A sign, what it means, and what to do."""

    sign: str
    count: int
    meaning: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sign} ({format_count(self.count)}): {self.meaning}. {self.remedy}"


def diagnose(symptoms: Symptoms) -> tuple[Diagnosis, ...]:
    """Return what explains the symptoms, the most frequent first; empty if nothing was wrong."""
    found = [
        *_of_errors(symptoms.errors),
        *_not_accepted(symptoms),
        *_connect_steps(symptoms.connect_times_s),
        *_same_age(symptoms.closing_ages_s),
    ]
    return tuple(sorted(found, key=lambda one: -one.count))


def _of_errors(errors: Mapping[str, int]) -> list[Diagnosis]:
    unknown = "an error that memopt has no explanation for", "See errno(3)."
    return [
        Diagnosis(name, count, *ERRORS.get(name, unknown))
        for name, count in errors.items()
        if count
    ]


def _not_accepted(symptoms: Symptoms) -> list[Diagnosis]:
    """The kernel completes a connection before the server knows of it."""
    if symptoms.accepted is None or symptoms.accepted >= symptoms.connected:
        return []
    return [
        Diagnosis(
            "connected but never accepted",
            symptoms.connected - symptoms.accepted,
            "the kernel answers for the server; these wait in its backlog and it does not hold "
            "them, often because it has no descriptors left",
            "Look at the server's own limit: `grep files /proc/PID/limits`.",
        )
    ]


def _connect_steps(times_s: Histogram) -> list[Diagnosis]:
    """
    Find a backlog that overflows: the kernel drops, and the client asks again after whole seconds.

    1 s and 3 s with doubling; kernels since 6.5 ask after 1, 2, 3 and 4 s first.
    """
    late = [(at_s, count) for at_s, count in times_s if at_s >= _LATE_S]
    many = sum(count for _, count in late)
    if many < _FEWEST_LATE:
        return []
    slack = 1 - _LATE_S
    stepped = sum(count for at_s, count in late if (at_s + slack) % 1 <= slack + _STEP_WIDTH_S)
    if stepped >= _ON_STEPS * many:
        return [
            Diagnosis(
                "connects that took whole seconds",
                stepped,
                "the server's backlog overflowed, and the kernel asked again after 1, 3 or 7 s",
                "Connect slower than it accepts, or raise net.core.somaxconn and the backlog in "
                "its listen().",
            )
        ]
    return [
        Diagnosis(
            "slow connects",
            many,
            "they took a second and more, but not in whole seconds: the machine was busy, or the "
            "network is slow",
            "Look at the load of the machine: `uptime`.",
        )
    ]


def _same_age(ages_s: Histogram) -> list[Diagnosis]:
    ages = sorted(age for age, count in ages_s for _ in range(count))
    if len(ages) < _FEWEST_CLOSED:
        return []
    middle_s = statistics.median(ages)
    width_s = max(_SAME_AGE_S, _SAME_AGE_SHARE * middle_s)
    same = sum(abs(age - middle_s) <= width_s for age in ages)
    if same < _IN_THE_MIDDLE * len(ages):
        return []
    near = [age for age in _KNOWN_AGES if math.isclose(age, middle_s, abs_tol=width_s)]
    known = f", {_KNOWN_AGES[near[0]]}" if near else ""
    return [
        Diagnosis(
            f"closed at the same age, {format_duration(middle_s)}",
            same,
            f"the server ends what is idle for so long{known}",
            "Send something more often than that, or raise the server's time-out.",
        )
    ]
