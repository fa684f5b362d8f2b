"""Starts as many drivers as a load needs, tells them what to do, and adds up what they say."""

from __future__ import annotations

import socket
from dataclasses import replace
from time import perf_counter_ns
from typing import IO, TYPE_CHECKING

from memopt_cli.errors import UsageError
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads.sockets.child import Child, Children, nothing
from memopt_cli.workloads.sockets.plan import Share, split
from memopt_cli.workloads.sockets.settings import DriverSettings, check_destination
from memopt_cli.workloads.sockets.tally import Report, Tally, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.workloads.sockets.plan import Destination
    from memopt_cli.workloads.wire import Message

START_IN_NS = 50_000_000
"""Drivers begin a schedule this much after they are told, so that all begin together."""

_GRACE_S = 30.0
"""How much longer than it may take a driver may need to say that it is done."""


def resolved(host: str, port: int, *, allow_remote: bool = False) -> Destination:
    """
    Return the address of a server, the one of IPv4 if it has both.

    Raises:
        UsageError: The name is unknown, or not this machine's and that is not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise UsageError(f"{host!r} is not known: {exc.strerror}") from exc
    addresses = sorted((family != socket.AF_INET, str(where[0])) for family, *_, where in found)
    address = addresses[0][1]
    check_destination(address, allow_remote=allow_remote)
    return address, port


class Shards(Children):
    """
    The drivers of one load; a context manager that ends them, and the kernel then resets
    their connections.

    Every method waits until all drivers are done and returns what they counted since
    their start. Raises `MeasurementError` when a driver dies or gives no answer: then nothing
    is known of the load.
    """

    def __init__(
        self,
        settings: DriverSettings,
        shares: Sequence[Share],
        *,
        log: IO[bytes] | None = None,
        check: Callable[[], None] = nothing,
    ) -> None:
        """
        Args:
            settings: What all drivers have in common.
            shares: What each has to hold.
            log: Where their output goes; `None` throws it away.
            check: Called while answers are waited for; what it raises ends the wait.

        Raises:
            UsageError: A driver refuses its settings.
        """
        super().__init__()
        self._capacities = [share.capacity for share in shares]
        self._open = [0] * len(shares)
        with self._all_or_none():
            for index, share in enumerate(shares):
                driver = Child("memopt_cli.workloads.sockets.driver", "driver", log, check=check)
                self._children.append(driver)
                told = replace(settings, lanes=share.lanes, index=index, drivers=len(shares))
                driver.tell(told.to_message())
            for driver in self._children:
                driver.answer(_GRACE_S)

    def connect(
        self, count: int, *, rate_per_s: float | None = None, within_s: float = 60.0
    ) -> Report:
        """
        Open *count* connections more; each driver gets as many as the others.

        Args:
            count: How many.
            rate_per_s: By a schedule that does not wait for the server; `None` is as fast as
                it accepts them.
            within_s: When to give up those that are not ready.
        """
        start_ns = perf_counter_ns() + START_IN_NS * (rate_per_s is not None)
        told = {"rate": rate_per_s, "start_ns": start_ns, "within_s": within_s}
        if count > sum(self._capacities):
            raise UsageError(
                f"{count:,} connections are more than the {sum(self._capacities):,} planned for",
                hint="Plan for the most there will be at a time.",
            )
        counts = self._shared_out(count)
        messages = [{"do": "connect", "count": part, **told} for part in counts]
        return self._ask(messages, within_s)

    def roundtrip(self, *, rounds: int = 1, in_flight: int = 96, within_s: float = 60.0) -> Report:
        """Send a request on each ready connection, *in_flight* of all drivers at a time."""
        told = {"do": "roundtrip", "rounds": rounds, "within_s": within_s}
        shares = split(max(in_flight, len(self._children)), len(self._children))
        return self._ask([{**told, "in_flight": share} for share in shares], within_s)

    def load(
        self, duration_s: float, *, rate_per_s: float | None = None, arrivals: str = "even"
    ) -> Report:
        """
        Send requests for a time.

        Args:
            duration_s: How long.
            rate_per_s: By a schedule that does not wait for the server; `None` sends on each
                connection the next as soon as the last is answered.
            arrivals: ``even`` or ``poisson``, with a rate.
        """
        told = {
            "do": "load",
            "rate": rate_per_s,
            "arrivals": arrivals,
            "start_ns": perf_counter_ns() + START_IN_NS,
            "duration_s": duration_s,
        }
        return self._ask([told] * len(self._children), duration_s)

    def hold(self, duration_s: float) -> Report:
        """Do nothing but watch, and answer what servers ask of their own accord."""
        return self._ask(
            [{"do": "hold", "duration_s": duration_s}] * len(self._children), duration_s
        )

    def drop(
        self,
        count: int | None = None,
        *,
        rate_per_s: float | None = None,
        reset: bool = True,
    ) -> Report:
        """Close *count* connections, or all: by a reset, or in order, which leaves TIME_WAIT."""
        parts = [None] * len(self._children) if count is None else self._shared_out(-count)
        told = {"rate": rate_per_s, "start_ns": perf_counter_ns(), "reset": reset}
        takes_s = 0.0 if rate_per_s is None else (count or sum(self._capacities)) / rate_per_s
        return self._ask([{"do": "close", "count": part, **told} for part in parts], takes_s)

    def stats(self) -> Report:
        """Return what was counted so far."""
        return self._ask([{"do": "stats"}] * len(self._children), 0.0)

    def _shared_out(self, change: int) -> list[int]:
        """
        Return each driver's part of a change, after which all have equally many if they can.

        Equal parts would not add up to that: the first drivers would get one more each time,
        and in the end more than was planned for them.
        """
        after = split(max(0, sum(self._open) + change), len(self._children))
        parts = [one - other for one, other in zip(after, self._open, strict=True)]
        if any(part * change < 0 for part in parts):
            return split(abs(change), len(self._children))
        return [abs(part) for part in parts]

    def _ask(self, messages: Sequence[Message], within_s: float) -> Report:
        for driver, message in zip(self._children, messages, strict=True):
            driver.tell(message)
        answers = [driver.answer(within_s + _GRACE_S) for driver in self._children]
        self._open = [message["tally"]["open"] for message, _ in answers]
        return joined(
            (Tally.from_message(message["tally"]), [Histogram.from_bytes(each) for each in blocks])
            for message, blocks in answers
        )
