"""
The latest observations of many agents, in a file that is mapped: pages that can be given back.

Anonymous memory stays until it is freed; a page of a mapped file can go as soon as nobody
reads it, and comes back when somebody does. `give_back` lets all of them go at once.

The file is locked while its process lives, and so nothing but the lock decides whether it is
left over: a number of a process may be another's by now, or of another container. The kernel
gives the lock up with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import tempfile
import weakref
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from memopt_cli.errors import AgentError, StateError
from memopt_cli.units import format_size

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import ArrayLike, DTypeLike, NDArray

PREFIX: Final = "memopt-observations-"
SUFFIX: Final = ".ring"
COUNT_BYTES: Final = 8


class ObservationRings:
    """
    A ring of observations per agent, all of one shape and type.

    Agents are numbered from 0. Nothing of one agent's can be read or written as another's:
    numbers out of range, and negative ones, are refused. Not safe for threads.
    """

    def __init__(
        self,
        agents: int,
        length: int,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        *,
        folder: Path | None = None,
    ) -> None:
        """
        Args:
            agents: How many there are.
            length: How many observations of each are kept.
            shape: Of one observation.
            dtype: Of one observation; nothing that refers to Python objects.
            folder: Where the file is; the system's folder for temporary files if None.

        Raises:
            AgentError: A size is below 1, or the type refers to Python objects.
            OSError: The file cannot be made as large.
        """
        import numpy as np

        self.dtype, self.shape, self.length = np.dtype(dtype), tuple(shape), length
        if min((agents, length, *self.shape), default=0) < 1 or self.dtype.hasobject:
            raise AgentError(
                f"rings of {length} observations {self.shape} of {self.dtype} for {agents} agents",
                hint="Give sizes of 1 or more, and a type of plain values.",
            )
        counts_bytes = agents * COUNT_BYTES
        self.size_bytes = counts_bytes + prod((agents, length, *self.shape)) * self.dtype.itemsize
        """Of the file."""
        self.path, descriptor = _locked_file(folder, self.size_bytes)
        self._map = mmap.mmap(descriptor, self.size_bytes)
        self._counts: NDArray[Any] = np.ndarray(agents, np.int64, self._map)
        whole = (agents, length, *self.shape)
        self._items: NDArray[Any] = np.ndarray(whole, self.dtype, self._map, counts_bytes)
        self._remove = weakref.finalize(self, _remove, self.path, descriptor, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file, which also happens when the rings go, or the process ends."""
        import numpy as np

        self._remove()
        # A map that arrays refer to cannot be closed; what was read are copies.
        self._counts, self._items = np.zeros(0, np.int64), np.zeros(0, self.dtype)
        self._map.close()

    def append(self, agent: int, observation: ArrayLike) -> None:
        """
        Remember one more observation; the oldest goes if the ring is full.

        Raises:
            AgentError: There is no such agent, or the observation has another shape, or values
                that the type cannot hold exactly; nothing has changed.
            StateError: The rings are closed.
        """
        number = self._number(agent)
        checked = self._checked(observation)
        count = int(self._counts[number])
        self._items[number, count % self.length] = checked
        self._counts[number] = count + 1

    def read(self, agent: int) -> NDArray[Any]:
        """
        Return a copy of what is remembered, [observation, *shape], the oldest first.

        Raises:
            AgentError: There is no such agent.
            StateError: The rings are closed.
        """
        import numpy as np

        number = self._number(agent)
        count = int(self._counts[number])
        kept = min(count, self.length)
        found: NDArray[Any] = self._items[number, np.arange(count - kept, count) % self.length]
        return found

    def seen(self, agent: int) -> int:
        """
        Return how many observations an agent has had, those included that are forgotten.

        Raises:
            AgentError: There is no such agent.
            StateError: The rings are closed.
        """
        return int(self._counts[self._number(agent)])

    def clear(self, agent: int) -> None:
        """
        Forget what an agent has seen.

        Raises:
            AgentError: There is no such agent.
            StateError: The rings are closed.
        """
        import numpy as np

        number = self._number(agent)
        self._counts[number] = 0
        self._items[number] = np.zeros((), self.dtype)

    def give_back(self) -> None:
        """
        Let the pages go from this process's memory; their content stays in the file.

        On a file system in memory (tmpfs) it stays in the machine's.

        Raises:
            StateError: The rings are closed.
        """
        self._check_open()
        self._map.madvise(mmap.MADV_DONTNEED)

    def _checked(self, observation: ArrayLike) -> NDArray[Any]:
        """Return an observation as it is kept, if nothing of it is lost by that."""
        import numpy as np

        given = np.asarray(observation)
        if given.shape == self.shape:
            with np.errstate(all="ignore"), contextlib.suppress(TypeError, ValueError):
                cast = given.astype(self.dtype)
                floats = given.dtype.kind == cast.dtype.kind == "f"
                # Floats are rounded to fewer bits by whoever chose the type; the rest is exact.
                if floats or np.array_equal(cast, given):
                    return cast
        raise AgentError(
            f"an observation {given.shape} of {given.dtype} in a ring of {self.shape} of "
            f"{self.dtype}",
            hint="Give the ring's shape, and values that its type can hold.",
        )

    def _number(self, agent: int) -> int:
        self._check_open()
        if not 0 <= agent < len(self._counts):
            raise AgentError(f"agent {agent} of {len(self._counts)}", hint="Count agents from 0.")
        return agent

    def _check_open(self) -> None:
        if not self._remove.alive:
            raise StateError("these rings are closed", hint="Make others.")


def sweep(folder: Path | None = None) -> list[Path]:
    """
    Remove the files of processes that have ended without, and return which they were.

    To be called at the start of a service. Files whose process lives are left alone.
    """
    removed = []
    for path in sorted(_folder(folder).glob(f"{PREFIX}*{SUFFIX}")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed.append(path)
            finally:
                os.close(descriptor)
    return removed


def _locked_file(folder: Path | None, size_bytes: int) -> tuple[Path, int]:
    """Return a new file of zeros, locked before it has a name that `sweep` looks for."""
    descriptor, name = tempfile.mkstemp(dir=_folder(folder), prefix=f".{PREFIX}")
    hidden = Path(name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Now, so that a full disk is an error here and not the end of the process later.
        os.posix_fallocate(descriptor, 0, size_bytes)
        path = hidden.with_name(hidden.name.removeprefix(".") + SUFFIX)
        hidden.rename(path)
    except OSError as exc:
        os.close(descriptor)
        hidden.unlink(missing_ok=True)
        raise OSError(
            exc.errno, f"no room for observations of {format_size(size_bytes)}: {exc.strerror}"
        ) from exc
    return path, descriptor


def _remove(path: Path, descriptor: int, owner: int) -> None:
    """Remove a file; a forked child, that shares it, leaves it to the owner."""
    if os.getpid() == owner:
        path.unlink(missing_ok=True)
    os.close(descriptor)


def _folder(folder: Path | None) -> Path:
    return Path(tempfile.gettempdir()) if folder is None else folder
