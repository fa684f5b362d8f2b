"""
The commands that a driver is given, as messages, and what it does then.

========== ================================== ==============================================
command    what it is told                    what it does
========== ================================== ==============================================
connect    count, rate, start_ns, within_s    opens connections
roundtrip  rounds, in_flight, within_s        one request on each ready connection
load       rate, arrivals, start_ns,          requests by a schedule, or without a rate on
           duration_s                         each connection the next after the last
hold       duration_s                         watches
close      count, rate, start_ns, reset       closes connections
stats                                         tells the counts now
stop                                          ends the command that is under way
exit                                          closes everything
========== ================================== ==============================================

Rates are per second and of all drivers together, each of which takes its turns; times
are of the monotonic clock, which all processes share.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from memopt_cli.workloads.sockets.activities import (
    NS_PER_S,
    Activity,
    Closing,
    Holding,
    even,
    poisson,
)
from memopt_cli.workloads.sockets.connecting import Connecting
from memopt_cli.workloads.sockets.loading import EachAgain, Rounds, Scheduled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memopt_cli.workloads.sockets.crowd import Crowd
    from memopt_cli.workloads.sockets.settings import DriverSettings
    from memopt_cli.workloads.wire import Message


def commanded(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity | None:
    """Return what a command demands, or `None` for one that only asks."""
    make = _ACTIVITIES.get(message["do"])
    return None if make is None else make(message, crowd, settings)


def _connecting(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity:
    return Connecting(
        crowd,
        settings,
        message["count"],
        _times_ns(message, settings),
        scheduled=message["rate"] is not None,
        until_ns=_after(perf_counter_ns(), message["within_s"]),
    )


def _rounds(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity:  # noqa: ARG001 - as all are made
    return Rounds(
        crowd,
        rounds=message["rounds"],
        in_flight=message["in_flight"],
        until_ns=_after(perf_counter_ns(), message["within_s"]),
    )


def _load(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity:
    until_ns = _after(message["start_ns"], message["duration_s"])
    if message["rate"] is None:
        return EachAgain(crowd, until_ns=until_ns)
    return Scheduled(
        crowd,
        _times_ns(message, settings),
        until_ns=until_ns,
        patience_ns=int(settings.answer_within_s * NS_PER_S),
    )


def _holding(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity:  # noqa: ARG001 - as all are made
    return Holding(crowd, _after(perf_counter_ns(), message["duration_s"]))


def _closing(message: Message, crowd: Crowd, settings: DriverSettings) -> Activity:
    times_ns = _times_ns(message, settings)
    return Closing(crowd, message["count"], times_ns, reset=message["reset"])


_ACTIVITIES: dict[str, Callable[[Message, Crowd, DriverSettings], Activity]] = {
    "connect": _connecting,
    "roundtrip": _rounds,
    "load": _load,
    "hold": _holding,
    "close": _closing,
}


def _times_ns(message: Message, settings: DriverSettings) -> Iterator[int]:
    start_ns, rate = message["start_ns"], message["rate"]
    if message.get("arrivals") == "poisson":
        return poisson(start_ns, rate, index=settings.index, drivers=settings.drivers)
    return even(start_ns, rate, index=settings.index, drivers=settings.drivers)


def _after(start_ns: int, duration_s: float) -> int:
    return start_ns + int(duration_s * NS_PER_S)
