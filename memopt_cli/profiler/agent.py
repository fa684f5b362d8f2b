"""The watcher's side of an agent: reads what it recorded, and asks it."""

from __future__ import annotations

import ast
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memopt_cli.errors import MeasurementError, SubjectDied, SubjectHung
from memopt_cli.profiler.histogram import NANOSECONDS
from memopt_cli.profiler.injected import memopt_agent as layout
from memopt_cli.profiler.recorder import Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANSWER_WITHIN_S = 30.0
_ASK_AGAIN_EVERY_S = 0.02


class NotTraceable(MeasurementError):
    """The agent does not do this in this program; the message says why."""


@dataclass(frozen=True, slots=True)
class PauseTotals:
    """All pauses of one generation since the start; exact, whatever the ring has lost."""

    count: int
    sum_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class InsideHeap:
    """The heap as the program's own allocators count it."""

    at_s: float
    """CLOCK_MONOTONIC."""

    blocks: int
    """`sys.getallocatedblocks`: blocks that Python has handed out, of any size."""

    malloc_in_use_bytes: int | None
    """
    Handed out by malloc: native memory and Python's objects above 512 bytes.

    Small objects are in arenas of Python's own, and not in it.
    """

    malloc_free_bytes: int | None
    """Held by malloc, ready for use."""

    cost_s: float


@dataclass(frozen=True, slots=True)
class ContainerLength:
    """One container of at least 64 entries."""

    ident: int
    """`id`; means a container only together with its type, and while it lives."""

    type_name: str
    entries: int


@dataclass(frozen=True, slots=True)
class Census:
    """How many objects of each type there are, and how long the long containers are."""

    at_s: float
    objects: int
    """Tracked by the garbage collector."""

    types: tuple[tuple[str, int], ...]
    """Name and count, the commonest first, of types with at least 64 objects."""

    containers: tuple[ContainerLength, ...]
    containers_left_out: int
    """Shorter ones than those listed, which did not fit."""

    longest_stop_s: float
    """For so long the program stood still at once."""

    cost_s: float


@dataclass(frozen=True, slots=True)
class LineShare:
    """What new members of a container, or new objects of a type, have from one line."""

    file: str
    line: int
    objects: int
    size_bytes: int
    """By `sys.getsizeof`, which leaves out attributes stored beside the object."""

    with_attributes: int
    """Objects whose attributes are stored so."""

    line_bytes: int
    """All that the line allocated in the window and that was alive at its end."""

    line_blocks: int


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the newest members of a container, or objects of a type, were allocated."""

    of: int | str
    """Id of the container, or name of the type."""

    new: int
    """Members that were allocated in the window, of those that were looked at."""

    lines: tuple[LineShare, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One burst of tracing."""

    at_s: float
    open_s: float
    """For so long allocations were traced and nothing else was done."""

    traced_s: float
    """With the reading at its end: the program was slowed down for so long."""

    interrupted: bool
    """By a fork, or by too many allocations: the window is shorter than was asked."""

    lines: tuple[tuple[str, int, int, int], ...]
    """File, line, bytes and blocks that were alive at the end; may be turnover."""

    origins: tuple[Origins, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps a container, or an object of a type."""

    of: int | str
    path: str
    """``app.SERVER.sessions``, or empty if none was found within the search's limits."""

    contents: str
    """``dict of 40,000 Session``; empty for a type."""


class AgentReader:
    """
    Reads one agent's shared memory, and asks it through the same; until closed.

    What was recorded is readable after the process was killed.

    Raises:
        MeasurementError: There is no such ring, or it is not one.
    """

    def __init__(self, path: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.path = path
        self.pid = int(path.stem.partition("-")[0])
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
        found = self._ask("heap", within_s=within_s)
        return InsideHeap(
            at_s=found["at_ns"] * NANOSECONDS,
            blocks=found["blocks"],
            malloc_in_use_bytes=found.get("malloc_in_use"),
            malloc_free_bytes=found.get("malloc_free"),
            cost_s=found["took_ns"] * NANOSECONDS,
        )

    def census(self, *, deep: bool = False, within_s: float = ANSWER_WITHIN_S) -> Census:
        """
        Return counts by type and lengths by container.

        Args:
            deep: Find dictionaries of texts and numbers in attributes too, which the
                collector does not track; done for at most 300,000 objects.
            within_s: To wait for the answer.
        """
        found = self._ask("census deep" if deep else "census", within_s=within_s)
        return Census(
            at_s=found["at_ns"] * NANOSECONDS,
            objects=found["objects"],
            types=tuple(found["types"]),
            containers=tuple(ContainerLength(*each) for each in found["containers"]),
            containers_left_out=found["containers_left_out"],
            longest_stop_s=found["stop_ns"] * NANOSECONDS,
            cost_s=found["took_ns"] * NANOSECONDS,
        )

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
        found = self._ask(request, within_s=within_s + seconds)
        origins = [*found["members"], *found["types"]]
        return Window(
            at_s=found["at_ns"] * NANOSECONDS,
            open_s=found["open_s"],
            traced_s=found["traced_s"],
            interrupted=found["interrupted"],
            lines=tuple(found["lines"]),
            origins=tuple(
                Origins(of, new, tuple(LineShare(*line) for line in lines))
                for of, new, lines in origins
            ),
        )

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

    def _ask(self, request: str, *, within_s: float) -> dict[str, Any]:
        text = request.encode()
        if len(text) > layout.REQUEST_BYTES:
            raise MeasurementError(f"the request has {len(text)} bytes", hint="Ask for fewer.")
        if not self.listening:
            raise MeasurementError(f"the agent in process {self.pid} records, but does not listen")
        number = self._words[layout.REQUESTED] + 1
        self._area[layout.REQUEST_AT : layout.REQUEST_AT + len(text)] = text
        self._words[layout.REQUEST_LENGTH] = len(text)
        self._words[layout.REQUESTED] = number
        until_s = time.monotonic() + within_s
        while self._words[layout.ANSWERED] != number:
            if not _alive(self.pid):
                raise SubjectDied(f"process {self.pid} is gone")
            if time.monotonic() > until_s:
                raise SubjectHung(f"the agent in process {self.pid} does not answer")
            self._sleep(_ASK_AGAIN_EVERY_S)
        length = self._words[layout.REPLY_LENGTH]
        reply = self._area[layout.REPLY_AT : layout.REPLY_AT + length].decode()
        if self._words[layout.REPLY_STATUS] == layout.REFUSED:
            raise NotTraceable(f"not measured: {reply}")
        if self._words[layout.REPLY_STATUS]:
            raise MeasurementError(f"process {self.pid} could not be asked: {reply}")
        found: dict[str, Any] = ast.literal_eval(reply)
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
