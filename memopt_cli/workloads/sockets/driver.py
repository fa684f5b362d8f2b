"""
A driver: a process that opens, holds and uses connections as it is told.

Started as ``python -m memopt_cli.workloads.sockets.driver COMMANDS REPLIES PARENT`` with
two inherited descriptors. First it is told its settings; then each command is answered
when it is done, with what was counted since the start and three histograms. ``stats``
and ``stop`` may be sent in between. It ends when its controller does. The commands are those
of `memopt_cli.workloads.sockets.commands`.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from collections import deque
from time import perf_counter_ns, process_time
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import MemoptError
from memopt_cli.profiler.histogram import Histogram
from memopt_cli.workloads import wire
from memopt_cli.workloads.lifeline import allow_most_files, die_with
from memopt_cli.workloads.sockets.activities import NS_PER_S, Activity, Holding
from memopt_cli.workloads.sockets.commands import commanded
from memopt_cli.workloads.sockets.crowd import Crowd
from memopt_cli.workloads.sockets.protocols.choosing import protocol
from memopt_cli.workloads.sockets.settings import DriverSettings, check_destination

if TYPE_CHECKING:
    from memopt_cli.workloads.sockets.tls import Tls

_READ_BYTES = 1 << 16
_LONGEST_LOOK_NS = NS_PER_S
_FOREVER_NS = 1 << 62


class Driver:
    """Connections, and the pipe that says what to do with them."""

    def __init__(self, settings: DriverSettings, commands: int, replies: int) -> None:
        """
        Raises:
            UsageError: The settings name what may not be connected to, or what does not exist.
        """
        for lane in settings.lanes:
            check_destination(lane.host, allow_remote=settings.allow_remote)
        sys.path[:0] = settings.search_path
        self._settings = settings
        spoken = protocol(settings.protocol, settings.authority, settings.options)
        self._crowd = Crowd(spoken, _tls(settings), lanes=len(settings.lanes))
        self._commands, self._replies = commands, replies
        self._received = bytearray()
        self._waiting: deque[wire.Message] = deque()
        self._within_ns = int(settings.answer_within_s * NS_PER_S)
        self._connected_to = True
        self._stopped = False
        os.set_blocking(commands, False)
        self._crowd.epoll.register(commands, select.EPOLLIN)

    def serve(self) -> None:
        """Do what is told, and watch the connections between two commands."""
        while self._connected_to:
            if not self._waiting:
                self._do(Holding(self._crowd, _FOREVER_NS), until_called=True)
                continue
            message = self._waiting.popleft()
            if message["do"] == "exit":
                break
            self._obey(message)
        self._crowd.close()

    def _obey(self, message: wire.Message) -> None:
        crowd = self._crowd
        self._stopped = False
        if message["do"] in ("roundtrip", "load"):
            crowd.latency, crowd.lateness = Histogram(), Histogram()
        began_ns, began_cpu_s, waited_ns = perf_counter_ns(), process_time(), crowd.waited_ns
        activity = commanded(message, crowd, self._settings)
        if activity is not None:
            self._do(activity, until_called=False)
            took_ns = perf_counter_ns() - began_ns
            crowd.tally.took_s = took_ns / NS_PER_S
            crowd.tally.busy_s = (took_ns - (crowd.waited_ns - waited_ns)) / NS_PER_S
            crowd.tally.cpu_s = process_time() - began_cpu_s
        self._reply(message["do"])

    def _do(self, activity: Activity, *, until_called: bool) -> None:
        """Go on until *activity* is over, or a command is there where that is waited for."""
        crowd = self._crowd
        look_every_ns = min(_LONGEST_LOOK_NS, self._within_ns // 4)
        look_ns = perf_counter_ns() + look_every_ns
        crowd.work(activity)
        while not activity.over(now_ns := perf_counter_ns()):
            if now_ns >= look_ns:
                crowd.expire(now_ns - self._within_ns)
                look_ns = now_ns + look_every_ns
            events = crowd.wait(min(activity.step(now_ns), look_every_ns))
            activity.handle(events)
            crowd.settle()
            if crowd.called:
                self._listen()
            if self._stopped or not self._connected_to or (until_called and self._waiting):
                break
        activity.end(perf_counter_ns())

    def _listen(self) -> None:
        """Read commands; answer at once what can be."""
        self._crowd.called = False
        try:
            received = os.read(self._commands, _READ_BYTES)
        except BlockingIOError:
            return
        self._connected_to = bool(received)
        self._received += received
        while (found := wire.taken_from(self._received)) is not None:
            message = found[0]
            if message["do"] == "stop":
                self._stopped = True
            elif message["do"] == "stats":
                self._reply("stats")
            else:
                self._waiting.append(message)

    def _reply(self, about: str) -> None:
        crowd = self._crowd
        crowd.settle()
        histograms = (crowd.connecting, crowd.latency, crowd.lateness)
        answer = wire.encoded(
            {"re": about, "tally": crowd.tally.to_message()},
            *(histogram.to_bytes() for histogram in histograms),
        )
        with os.fdopen(self._replies, "wb", closefd=False) as replies:
            replies.write(answer)


def _tls(settings: DriverSettings) -> Tls | None:
    if settings.tls is None:
        return None
    # OpenSSL is half of a driver's memory; most runs do without.
    from memopt_cli.workloads.sockets.tls import Tls

    return Tls(settings.tls)


def _first(commands: int) -> dict[str, Any] | None:
    """Return the settings, which are the first message; `None` if the controller is gone."""
    received = bytearray()
    while (found := wire.taken_from(received)) is None:
        some = os.read(commands, _READ_BYTES)
        if not some:
            return None
        received += some
    return found[0]


def main(arguments: list[str]) -> None:
    """Run the driver that the command line describes."""
    commands, replies, parent = map(int, arguments)
    die_with(parent)
    # The terminal's Ctrl-C is for the controller, which stops its drivers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    values = _first(commands)
    if values is None:
        return
    allow_most_files()
    try:
        driver = Driver(DriverSettings.from_message(values), commands, replies)
    except MemoptError as exc:
        os.write(replies, wire.encoded({"error": str(exc), "hint": exc.hint}))
        return
    os.write(replies, wire.encoded({}))
    # What imports made is never garbage.
    gc.collect()
    gc.freeze()
    driver.serve()


if __name__ == "__main__":
    main(sys.argv[1:])
