"""
The living processes of a target: itself, its descendants, and those that left the family.

All are read from ``/proc/PID/stat``, in one pass over the machine's processes: 15 us
for each. On a machine with thousands the pass is made less often, so that it takes
no more than a hundredth of the time; processes that are known are looked at every time.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PASSES_SHARE = 0.01
"""Of the time, for passes over all processes of the machine."""

LONGEST_COMMAND = 120
_DEAD_STATES = (b"Z", b"X")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

Identity = tuple[int, int]
"""A process number, and when it was given out: together they never come again."""


@dataclass(frozen=True, slots=True)
class Living:
    """A process that is alive; equal to another reading of the same one."""

    pid: int
    began_ticks: int
    """On the kernel's clock; with the pid it tells a process from a later one of that number."""

    parent_pid: int = field(compare=False)

    @property
    def identity(self) -> Identity:
        """The same for every reading of this process, and for no other process."""
        return self.pid, self.began_ticks

    @property
    def age_s(self) -> float:
        """Since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.began_ticks / _TICKS_PER_S


def living(pid: int) -> Living | None:
    """Return a process, or `None` if there is none; one that only waits to be reaped is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as opened:  # noqa: PTH123 - half the time
            text = opened.read(1024)
    except OSError:
        return None
    # The command's name may hold spaces and brackets; the fields start after the last one.
    fields = text.rpartition(b")")[2].split(None, 20)
    if not fields or fields[0] in _DEAD_STATES:
        return None
    return Living(pid, int(fields[19]), int(fields[1]))


def command_line(pid: int) -> str:
    """Return what a process was started as, shortened; its bare name if it hides that."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        text = " ".join(b" ".join(words).decode(errors="replace").split())
        text = text or Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if len(text) <= LONGEST_COMMAND else text[: LONGEST_COMMAND - 1] + "…"


class Tree:
    """
    Follows a target's processes; whoever once belonged belongs until it ends.

    A process whose parent has ended is given to another one, and is no descendant any
    more. Such a one is known from before, or from the session's folder, which its
    environment or one of its maps names.
    """

    def __init__(
        self,
        target: Living,
        *,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        Args:
            target: The first process.
            folder: Of the session that the target was started in; `None` if it was not.
            clock: Tells when a pass is due.
            cpu: Tells what one has cost.
        """
        self._members: dict[Identity, Living] = {target.identity: target}
        self._target = target
        self._folder = None if folder is None else str(folder).encode()
        self._clock, self._cpu = clock, cpu
        self._strangers: set[Identity] = set()
        self._next_pass_s = 0.0

    def look(self, *, thoroughly: bool = False) -> tuple[Living, ...]:
        """
        Return who is alive, in the order in which they were seen; the target first.

        Args:
            thoroughly: Make a pass over all processes even if its time has not come.
        """
        now_s = self._clock()
        if thoroughly or now_s >= self._next_pass_s:
            began_s = self._cpu()
            self._pass()
            self._next_pass_s = now_s + (self._cpu() - began_s) / PASSES_SHARE
        else:
            found_now = {identity: living(identity[0]) for identity in self._members}
            self._members = {
                identity: found
                for identity, found in found_now.items()
                if found is not None and found.identity == identity
            }
        return tuple(self._members.values())

    def _pass(self) -> None:
        everybody = {each.pid: each for each in map(living, _pids()) if each is not None}
        everybody.pop(os.getpid(), None)  # the watcher, and what it starts for itself
        self._members = {
            identity: everybody[identity[0]]
            for identity in self._members
            if identity[0] in everybody and everybody[identity[0]].identity == identity
        }
        self._add_descendants(everybody)
        before = len(self._members)
        for each in everybody.values():
            if self._came_from_here(each):
                self._members[each.identity] = each
        if len(self._members) > before:
            self._add_descendants(everybody)
        self._strangers = {each.identity for each in everybody.values()} - self._members.keys()

    def _add_descendants(self, everybody: Mapping[int, Living]) -> None:
        children = defaultdict[int, list[Living]](list)
        for each in everybody.values():
            children[each.parent_pid].append(each)
        waiting = [each.pid for each in self._members.values()]
        while waiting:
            for child in children.pop(waiting.pop(), ()):
                self._members.setdefault(child.identity, child)
                waiting.append(child.pid)

    def _came_from_here(self, each: Living) -> bool:
        """Return whether a process that nobody knows yet was led to the session's folder."""
        if self._folder is None or each.began_ticks < self._target.began_ticks:
            return False
        if each.identity in self._strangers or each.identity in self._members:
            return False
        return any(self._folder in _told(each.pid, name) for name in ("environ", "maps"))


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only


def _told(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
