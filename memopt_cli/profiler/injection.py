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

from memopt_cli.profiler.agent import AgentReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

INJECTED = Path(__file__).with_name("injected")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
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

    def __init__(self) -> None:
        within = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="memopt-watch-", dir=within))

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
        found: dict[int, tuple[int, Path]] = {}
        for path in self.folder.glob("*.ring"):
            pid, made_ns = map(int, path.stem.split("-"))
            if pid not in found or made_ns > found[pid][0]:
                found[pid] = made_ns, path
        return {pid: path for pid, (_, path) in found.items()}

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
                agent = AgentReader(Path(line[line.index(str(self.folder)) :]))
                if agent.installed:
                    return agent
                agent.close()
                return NotReached(pid, "its agent is about to begin")
        return NotReached(pid, self._why(pid, maps))

    def forget(self, pid: int) -> None:
        """Remove the rings of a process that is dead and was read to its end."""
        for path in self.folder.glob(f"{pid}-*.ring"):
            path.unlink(missing_ok=True)

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
        return "its Python is older than 3.8 or not CPython, or it could not write its ring"


def _words(pid: int, name: str) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return []
    return text.decode(errors="replace").rstrip("\0").split("\0")
