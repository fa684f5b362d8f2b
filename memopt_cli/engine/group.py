"""Reads all processes of a server as one: the sums of what each of them holds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.errors import MeasurementError, SubjectDied
from memopt_cli.profiler.process import ProcessReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from memopt_cli.profiler.process import Activity, Footprint, Residency
    from memopt_cli.profiler.tree import Identity, Living


@dataclass(frozen=True, slots=True)
class GroupReading:
    """The cheap reading of all processes."""

    rss_bytes: int
    """Pages that several of them share are counted in each."""

    anonymous_bytes: int
    cpu_s: float
    """Of those that have ended too, as far as it was seen."""

    threads: int
    fds: int


@dataclass(frozen=True, slots=True)
class GroupFootprint:
    """The exact reading of all processes, added up."""

    anonymous_bytes: int
    """
    Each page in each process that maps it.

    What a fork shares is counted twice, before and after it is written to: the figure does
    not change when a page is copied, as the proportional one would.
    """

    uss_bytes: int
    pss_bytes: int


class GroupReader:
    """Processes that come and go; close it to give back its descriptors."""

    def __init__(self, members: Callable[[], Sequence[Living]]) -> None:
        """
        Args:
            members: Returns who is alive; raises `TargetError` when that is nobody.
        """
        self._members = members
        self._readers: dict[Identity, ProcessReader] = {}
        self._cpu_s: dict[Identity, float] = {}

    def close(self) -> None:
        """Give back the descriptors."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    @property
    def processes(self) -> int:
        """How many there were at the last reading."""
        return len(self._readers)

    def read(self) -> GroupReading:
        """Return the cheap figures."""
        found: list[tuple[Residency, Activity]] = []
        for identity, reader in self._current():
            with suppress(SubjectDied):
                one = reader.residency(), reader.activity()
                self._cpu_s[identity] = one[1].cpu_s
                found.append(one)
        return GroupReading(
            rss_bytes=sum(memory.rss_bytes for memory, _ in found),
            anonymous_bytes=sum(memory.anonymous_bytes for memory, _ in found),
            cpu_s=sum(self._cpu_s.values()),
            threads=sum(activity.threads for _, activity in found),
            fds=sum(activity.fds for _, activity in found),
        )

    def footprint(self) -> GroupFootprint:
        """Return the exact figures."""
        found: list[Footprint] = []
        for _, reader in self._current():
            with suppress(SubjectDied):
                found.append(reader.footprint())
        return GroupFootprint(
            anonymous_bytes=sum(one.anonymous_bytes for one in found),
            uss_bytes=sum(one.uss_bytes for one in found),
            pss_bytes=sum(one.pss_bytes for one in found),
        )

    def _current(self) -> Iterator[tuple[Identity, ProcessReader]]:
        """Yield the processes that can be read; one that has just ended is left out."""
        alive = {each.identity: each for each in self._members()}
        for identity in self._readers.keys() - alive.keys():
            self._readers.pop(identity).close()
        for identity in alive.keys() - self._readers.keys():
            try:
                self._readers[identity] = ProcessReader(identity[0])
            except SubjectDied:
                continue
        if not self._readers:
            raise MeasurementError("no process of the server could be read")
        yield from list(self._readers.items())
