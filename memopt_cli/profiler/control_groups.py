"""The control groups that a process is in, of both versions: their memory and their processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.profiler.proc_tree import ProcTree


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """The group with the least room left, of the process's own and all that it is within."""

    limit: float | None
    """`UNLIMITED` where no group has a limit; `None` where none tells."""

    used: float | None
    """In that group; of memory, without file pages that the kernel would drop first."""


@dataclass(frozen=True, slots=True)
class _Names:
    limit: str
    used: str
    stat: str = ""
    droppable: str = ""


_MEMORY_1 = _Names(
    "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"
)
_MEMORY_2 = _Names("memory.max", "memory.current", "memory.stat", "inactive_file")
_PROCESSES = _Names("pids.max", "pids.current")


def memory(tree: ProcTree) -> GroupLimit:
    """Return the limit on memory, in bytes."""
    return _tightest(tree, "memory", _MEMORY_1, _MEMORY_2)


def processes(tree: ProcTree) -> GroupLimit:
    """Return the limit on processes and threads."""
    return _tightest(tree, "pids", _PROCESSES, _PROCESSES)


def _tightest(tree: ProcTree, controller: str, first: _Names, second: _Names) -> GroupLimit:
    best = GroupLimit(None, None)
    least = None
    for folder, names in _folders(tree, controller, first, second):
        limit = tree.number(f"{folder}/{names.limit}")
        if limit is None:
            continue
        used = tree.number(f"{folder}/{names.used}")
        if used is not None and names.stat:
            used -= tree.after(f"{folder}/{names.stat}", names.droppable) or 0
        room = limit - (used or 0)
        if least is None or room < least:
            least, best = room, GroupLimit(limit, used)
    return best


def _folders(
    tree: ProcTree, controller: str, first: _Names, second: _Names
) -> Iterator[tuple[str, _Names]]:
    """Yield the folders of the process's groups, each before the one that it is within."""
    for line in (tree.text("proc/self/cgroup") or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controller in controllers.split(","):
            mounted, names = [f"sys/fs/cgroup/{controllers}", f"sys/fs/cgroup/{controller}"], first
        elif not controllers:
            mounted, names = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], second
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for mount in dict.fromkeys(mounted):
            # Within a container the path may be the host's: then only the mount itself exists.
            yield from ((f"{mount}/{one}", names) for one in (inner, *inner.parents))
