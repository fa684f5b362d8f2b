"""The watcher's side of an agent: reads what it recorded, and asks it."""

from __future__ import annotations

import ast
import mmap
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import MeasurementError, SubjectDied, SubjectHung
from memopt_cli.profiler.answers import (
    Census,
    ContainerLength,
    Holder,
    InsideHeap,
    LineShare,
    NotTraceable,
    Origins,
    PauseTotals,
    Window,
    census_of,
    heap_of,
    window_of,
)
from memopt_cli.profiler.histogram import NANOSECONDS
from memopt_cli.profiler.injected import memopt_agent as layout
from memopt_cli.profiler.recorder import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "AgentReader",
    "Census",
    "ContainerLength",
    "Holder",
    "InsideHeap",
    "LineShare",
    "NotTraceable",
    "Origins",
    "PauseTotals",
    "Window",
]

ANSWER_WITHIN_S = 30.0
_ASK_AGAIN_EVERY_S = 0.02


class AgentReader:
    """
    Reads one agent's shared memory, and asks it through the same; until closed.

    What was recorded is readable after the process was killed. There is room for one
    request at a time: two threads may share a reader, and wait for each other; only
    `ask_heap` and `answered_heap` never wait, and belong to one thread.

    Raises:
        MeasurementError: There is no such ring, or it is not one.
    """

    def __init__(
        self, path: Path, *, operations: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """
        Args:
            path: The agent's file.
            operations: Dotted path of a number, or of something that has a length, inside
                the program; told with each heap and census as of the same moment.
            sleep: To wait between two looks for an answer.
        """
        self.path = path
        self.pid = int(path.stem.partition("-")[0])
        self._operations = operations
        self._sleep = sleep
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            raise MeasurementError(f"{path} cannot be read: {exc.strerror}") from exc
        try:
            self._area = mmap.mmap(descriptor, layout.SIZE_BYTES)
        except ValueError as exc:
            raise MeasurementError(f"{path} is not a ring of an agent") from exc
        finally:
            os.close(descriptor)
        self._words = memoryview(self._area).cast("Q")
        self._seen = 0
        self.lost = 0
        """Pauses that were overwritten before they were read; the totals hold them."""

        self.worked_s = 0.0
        """
        For so long the agent worked on what it answered to this reader.

        The program's threads lost this time at most: a window counts from its begin to
        its end, and the program runs meanwhile, though slower.
        """

        self._asking = threading.Lock()
        self._waiting = 0
        self._asked: int | None = None
        self._asked_s = 0.0
        self.given_up = False
        """Set to let a thread that waits for an answer wait no more, and none ask."""

    def close(self) -> None:
        """Unmap the shared memory."""
        self._words.release()
        self._area.close()

    @property
    def installed(self) -> bool:
        """Whether the agent has begun."""
        return self._words[layout.IS_MAGIC] == layout.MAGIC

    @property
    def listening(self) -> bool:
        """Whether the agent could start its thread: without it, only pauses are recorded."""
        return bool(self._words[layout.LISTENING])

    def pauses(self) -> list[Pause]:
        """Return the pauses since the last call, oldest first."""
        written = self._words[layout.WRITTEN]
        first = max(self._seen, written - layout.RING)
        self.lost += first - self._seen
        self._seen = written
        return [self._pause(number) for number in range(first, written)]

    def pause_totals(self) -> tuple[PauseTotals, ...]:
        """Return the sums over all pauses, by generation."""
        at = layout.TOTALS
        words = self._words[at : at + 3 * layout.GENERATIONS].tolist()
        return tuple(
            PauseTotals(words[i], words[i + 1] * NANOSECONDS, words[i + 2] * NANOSECONDS)
            for i in range(0, len(words), 3)
        )

    def heap(self, *, within_s: float = ANSWER_WITHIN_S) -> InsideHeap:
        """Return the heap now; up to a second late, the agent looks no oftener."""
        return heap_of(self._ask(self._heap_request, within_s=within_s))

    def ask_heap(self) -> bool:
        """
        Ask for the heap without waiting, if nothing else is asked; return whether it was.

        Gives way to another thread that waits for its turn, so that neither starves.
        """
        if not self.listening or self.given_up:
            return False
        now_s = time.monotonic()
        if self._asked is not None:
            # An agent that had no room to answer does not look at that request again.
            if now_s - self._asked_s < ANSWER_WITHIN_S:
                return False
        elif self._waiting or not self._asking.acquire(blocking=False):
            return False
        self._asked, self._asked_s = self._request(self._heap_request), now_s
        return True

    def answered_heap(self) -> InsideHeap | None:
        """Return the heap if `ask_heap` was answered; `None` as long as it was not."""
        if self._asked is None or self._words[layout.ANSWERED] != self._asked:
            return None
        self._asked = None
        try:
            return heap_of(self._reply())
        except MeasurementError:
            return None
        finally:
            self._asking.release()

    def census(self, *, deep: bool = False, within_s: float = ANSWER_WITHIN_S) -> Census:
        """
        Return counts by type and lengths by container.

        Args:
            deep: Find dictionaries of texts and numbers in attributes too, which the
                collector does not track; done for at most 300,000 objects.
            within_s: To wait for the answer.
        """
        request = f"census {'deep' if deep else '-'} {self._operations}"
        return census_of(self._ask(request, within_s=within_s))

    def window(
        self,
        seconds: float,
        *,
        containers: Sequence[int] = (),
        types: Sequence[str] = (),
        within_s: float = ANSWER_WITHIN_S,
    ) -> Window:
        """
        Trace allocations for *seconds*, and tell where newest members came from.

        The program runs 3 to 8 times slower meanwhile; see `analysis.attribution`
        for how often that may be.
        """
        request = f"window {seconds} {_joined(containers)} {_joined(types)}"
        return window_of(self._ask(request, within_s=within_s + seconds))

    def holders(
        self,
        *,
        containers: Sequence[int] = (),
        types: Sequence[str] = (),
        within_s: float = ANSWER_WITHIN_S,
    ) -> tuple[Holder, ...]:
        """Return what keeps these containers, and a newest object of these types."""
        request = f"holders {_joined(containers)} {_joined(types)}"
        return tuple(Holder(*each) for each in self._ask(request, within_s=within_s)["holders"])

    @property
    def _heap_request(self) -> str:
        return f"heap {self._operations}"

    def _ask(self, request: str, *, within_s: float) -> dict[str, Any]:
        if len(request.encode()) > layout.REQUEST_BYTES:
            raise MeasurementError(f"the request has {len(request)} bytes", hint="Ask for fewer.")
        if not self.listening:
            raise MeasurementError(f"the agent in process {self.pid} records, but does not listen")
        until_s = time.monotonic() + within_s
        self._waiting += 1
        try:
            while not self._asking.acquire(blocking=False):
                self._wait(until_s)
        finally:
            self._waiting -= 1
        try:
            number = self._request(request)
            while self._words[layout.ANSWERED] != number:
                self._wait(until_s)
            return self._reply()
        finally:
            self._asking.release()

    def _wait(self, until_s: float) -> None:
        if not _alive(self.pid):
            raise SubjectDied(f"process {self.pid} is gone")
        if time.monotonic() > until_s:
            raise SubjectHung(f"the agent in process {self.pid} does not answer")
        if self.given_up:
            raise MeasurementError(f"the agent in process {self.pid} is asked no more")
        self._sleep(_ASK_AGAIN_EVERY_S)

    def _request(self, request: str) -> int:
        text = request.encode()
        number = self._words[layout.REQUESTED] + 1
        self._area[layout.REQUEST_AT : layout.REQUEST_AT + len(text)] = text
        self._words[layout.REQUEST_LENGTH] = len(text)
        self._words[layout.REQUESTED] = number
        return int(number)

    def _reply(self) -> dict[str, Any]:
        length = self._words[layout.REPLY_LENGTH]
        reply = self._area[layout.REPLY_AT : layout.REPLY_AT + length].decode()
        if self._words[layout.REPLY_STATUS] == layout.REFUSED:
            raise NotTraceable(f"not measured: {reply}")
        if self._words[layout.REPLY_STATUS]:
            raise MeasurementError(f"process {self.pid} could not be asked: {reply}")
        found: dict[str, Any] = ast.literal_eval(reply)
        self.worked_s += found["cpu_ns"] * NANOSECONDS
        return found

    def _pause(self, number: int) -> Pause:
        at = layout.FIRST_PAUSE + 2 * (number % layout.RING)
        started, packed = self._words[at], self._words[at + 1]
        return Pause(started * NANOSECONDS, packed >> 8, packed & 0xFF)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def _joined(each: Sequence[object]) -> str:
    return ",".join(map(str, each)) or "-"
