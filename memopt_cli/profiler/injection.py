"""
Watches the inside of Python programs that know nothing of memopt.

A program started with the environment of a `Session` finds our ``sitecustomize``
first: it installs the agent, then gives way to the program's own. Children by
fork and by spawn are agents too. Programs that take no environment (``-I``,
``-E``, ``-S``, ``env={}``) are not reached, and `Session.agent_of` says why.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from memopt_cli.errors import MeasurementError
from memopt_cli.profiler.agent import AgentReader
from memopt_cli.profiler.tree import living

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

INJECTED = Path(__file__).with_name("injected")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_BEGINS_WITHIN_S = 5.0
_REFUSING = {"I": "-I", "E": "-E", "S": "-S"}


@dataclass(frozen=True, slots=True)
class NotReached:
    """Why the inside of a process is not measured."""

    pid: int
    reason: str


class Session:
    """
    A folder that the agents write to, and the environment that leads them there.

    A context manager; at its end the folder is removed, and what is mapped of it
    stays valid for the programs that still run.
    """

    def __init__(self, *, operations: str = "") -> None:
        """
        Args:
            operations: Dotted path of a number, or of something that has a length, inside
                the programs; told with each heap and census.
        """
        self._operations = operations
        within = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else tempfile.gettempdir()
        own = _prefix()
        _remove_abandoned(Path(within), own)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{own}{os.getpid()}-", dir=within))

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
        """Remove the folder; processes that begin later are not watched."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return *base* with what leads a Python program to the agent."""
        path = [str(INJECTED)]
        if base.get("PYTHONPATH"):
            path.append(base["PYTHONPATH"])
        return {**base, "PYTHONPATH": os.pathsep.join(path), "MEMOPT_WATCH": str(self.folder)}

    def rings(self) -> dict[int, Path]:
        """Return the newest ring of each process that ever had one, dead ones included."""
        found: dict[int, tuple[int, str]] = {}
        for pid, made_ns, name in self._names():
            if pid not in found or made_ns > found[pid][0]:
                found[pid] = made_ns, name
        return {pid: self.folder / name for pid, (_, name) in found.items()}

    def sweep(self) -> None:
        """
        Remove the rings of processes that are dead, and what was before the newest of others.

        An `AgentReader` that is open keeps what it reads. A program that forks without
        end leaves about 40 KB of shared memory for each child until this is called.
        """
        newest = self.rings()
        alive = {pid for pid in newest if living(pid) is not None}
        for pid, _, name in self._names():
            # One that was made since is nobody's older ring.
            if pid in newest and (pid not in alive or name < newest[pid].name):
                (self.folder / name).unlink(missing_ok=True)

    def agent_of(self, pid: int) -> AgentReader | NotReached:
        """
        Return a reader of the agent that is installed in a running process now.

        A process that has just begun may not have come to it yet: ask again.
        """
        try:
            maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
        except OSError as exc:
            return NotReached(pid, f"its maps cannot be read: {exc.strerror}")
        for line in maps.splitlines():
            if line.endswith(".ring") and str(self.folder) in line:
                path = Path(line[line.index(str(self.folder)) :])
                try:
                    agent = AgentReader(path, operations=self._operations)
                except MeasurementError as exc:
                    return NotReached(pid, str(exc))
                if agent.installed:
                    return agent
                agent.close()
                return NotReached(pid, "its agent is about to begin")
        return NotReached(pid, self._why(pid, maps))

    def _names(self) -> list[tuple[int, int, str]]:
        found = []
        for name in os.listdir(self.folder):  # noqa: PTH208 - thousands of names, every second
            pid, _, made_ns = name.removesuffix(".ring").partition("-")
            found.append((int(pid), int(made_ns), name))
        return found

    def _why(self, pid: int, maps: str) -> str:
        arguments = _words(pid, "cmdline")
        if "python" not in maps:
            return f"it is not a Python program ({arguments[0] if arguments else 'unnamed'})"
        for argument in arguments[1:]:
            if not argument.startswith("-") or argument in ("-c", "-m", "-"):
                break
            for letter, option in _REFUSING.items():
                if letter in argument.lstrip("-") and not argument.startswith("--"):
                    return f"it was started with {option}, which leaves no way in"
        if f"MEMOPT_WATCH={self.folder}" not in _words(pid, "environ"):
            return "it was started with an environment of its own"
        if (begun := living(pid)) is not None and begun.age_s < _BEGINS_WITHIN_S:
            return "its agent has not begun yet"
        return "its Python is older than 3.8 or not CPython, or it could not write its ring"


def _prefix() -> str:
    """Return how our folders' names begin; numbers of processes mean something in one namespace."""
    return f"memopt-watch-{Path('/proc/self/ns/pid').stat().st_ino}-"


def _remove_abandoned(within: Path, prefix: str) -> None:
    """Remove the folders of watches that were killed: what is in them is held in memory."""
    for folder in within.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and living(int(pid)) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _words(pid: int, name: str) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return []
    return text.decode(errors="replace").rstrip("\0").split("\0")
