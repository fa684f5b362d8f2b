"""
Memory of a process, read by pid from outside (Linux).

Two readings, each at its own price. `/proc/PID/statm` through a kept descriptor
costs about 2 us at any size. `/proc/PID/smaps_rollup` walks the page tables:
60 us for a small process, 20 ms at 1.8 GB, and it holds the target's memory map
lock meanwhile; it is the only exact source of anonymous memory.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from memopt_cli.errors import MeasurementError, SubjectDied

if TYPE_CHECKING:
    from types import TracebackType

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_DEAD_STATES = (b"Z", b"X")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IMAGE = slice(23, 26)
"""Of the fields of ``stat``: where a program's code lies, and its stack; exec changes both."""

_HIDDEN = {b"0", b"1"}
"""What stands there for one that is dead, is about to begin, or lets nobody look."""

_ROLLUP_FIELDS = {
    b"Rss": "rss_bytes",
    b"Pss": "pss_bytes",
    b"Private_Clean": "private_clean",
    b"Private_Dirty": "private_dirty",
    b"Anonymous": "anonymous_bytes",
    b"Swap": "swapped",
}


@dataclass(frozen=True, slots=True)
class Residency:
    """The cheap reading: page counters of the kernel."""

    rss_bytes: int
    """Resident set: every page in memory, shared ones included."""

    anonymous_bytes: int
    """Resident pages that no file backs (heap, stacks, private mappings)."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The exact reading of ``smaps_rollup``."""

    rss_bytes: int
    pss_bytes: int
    """Proportional set: shared pages divided among the processes that map them."""

    uss_bytes: int
    """Unique set: pages that only this process maps, swapped ones included."""

    anonymous_bytes: int
    """
    Pages that no file backs, in memory or swapped: memory per unit is fitted to them.

    Without the swapped ones, a process that is pushed out of memory would seem to shrink.
    """

    cost_s: float
    """Wall time of this reading, in the reader."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process has used and holds, besides memory."""

    cpu_s: float
    threads: int
    fds: int


class ProcessReader:
    """
    Reads one process until closed.

    The statm descriptor is kept open, so a pid that is used again by another
    process is noticed: the reads then fail instead of measuring a stranger. So do
    `footprint` and `activity` where the process has become another program (exec).

    Raises:
        MeasurementError: The system has no ``/proc``, or the process may not be read.
        SubjectDied: The process is gone.
    """

    def __init__(self, pid: int) -> None:
        if not sys.platform.startswith("linux"):
            raise MeasurementError(
                f"memory of a process is read from /proc, which {sys.platform} does not have",
                hint="Run memopt on Linux.",
            )
        self.pid = pid
        with ExitStack() as opened:
            self._statm = self._open("statm", opened)
            self._rollup = self._open("smaps_rollup", opened)
            self._stat = self._open("stat", opened)
            self._image = self._fields()[_IMAGE]
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the descriptors."""
        self._opened.close()

    def residency(self) -> Residency:
        """Return the page counters, about 2 us at any size."""
        fields = self._read(self._statm, 256).split()
        resident, shared = int(fields[1]), int(fields[2])
        if not resident:
            # Dead but not yet waited for: the kernel keeps the entry and shows zeros.
            raise self._gone()
        return Residency(resident * PAGE_BYTES, (resident - shared) * PAGE_BYTES)

    def footprint(self) -> Footprint:
        """Return the exact memory figures, with what this reading cost."""
        started = time.perf_counter()
        found: dict[str, int] = {}
        for line in self._read(self._rollup, 4096).splitlines():
            name, _, rest = line.partition(b":")
            if name in _ROLLUP_FIELDS:
                found[_ROLLUP_FIELDS[name]] = int(rest.split()[0]) * 1024
        if missing := set(_ROLLUP_FIELDS.values()) - found.keys():
            raise MeasurementError(
                f"the kernel does not tell {', '.join(sorted(missing))} of process {self.pid}"
            )
        return Footprint(
            rss_bytes=found["rss_bytes"],
            pss_bytes=found["pss_bytes"],
            uss_bytes=found["private_clean"] + found["private_dirty"] + found["swapped"],
            anonymous_bytes=found["anonymous_bytes"] + found["swapped"],
            cost_s=time.perf_counter() - started,
        )

    def activity(self) -> Activity:
        """Return CPU time, threads and open descriptors."""
        fields = self._fields()
        if fields[0] in _DEAD_STATES or self._is_another(fields[_IMAGE]):
            raise self._gone()
        return Activity(
            cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
            threads=int(fields[17]),
            # The size of the directory is the count of descriptors since Linux 6.2, without
            # listing them: a listing costs kernel memory per entry.
            fds=self._count_fds(),
        )

    def _fields(self) -> list[bytes]:
        # The command name may hold spaces and brackets; the fields start after the last one.
        return self._read(self._stat, 1024).rpartition(b")")[2].split()

    def _is_another(self, image: list[bytes]) -> bool:
        if self._image[0] in _HIDDEN:
            self._image = image
        return image[0] not in _HIDDEN and image != self._image

    def _count_fds(self) -> int:
        path = f"/proc/{self.pid}/fd"
        try:
            return os.stat(path).st_size or len(os.listdir(path))  # noqa: PTH116, PTH208 - no Path at each sample
        except (FileNotFoundError, ProcessLookupError):
            raise self._gone() from None
        except PermissionError:
            raise self._unreadable() from None

    def _open(self, name: str, opened: ExitStack) -> int:
        try:
            descriptor = os.open(f"/proc/{self.pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            raise SubjectDied(f"process {self.pid} does not exist") from None
        except PermissionError:
            raise MeasurementError(
                f"process {self.pid} belongs to another user",
                hint="Run memopt as that user, or as root.",
            ) from None
        opened.callback(os.close, descriptor)
        return descriptor

    def _read(self, descriptor: int, size: int) -> bytes:
        try:
            text = os.pread(descriptor, size, 0)
        except ProcessLookupError:
            text = b""
        except PermissionError:
            raise self._unreadable() from None
        if not text:
            raise self._gone()
        return text

    def _gone(self) -> SubjectDied:
        return SubjectDied(f"process {self.pid} is gone")

    def _unreadable(self) -> MeasurementError:
        return MeasurementError(
            f"process {self.pid} does not let its memory be read",
            hint="Run memopt as its user, or as root.",
        )
