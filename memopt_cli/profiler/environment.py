"""The machine and the runtime that a figure was measured on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import psutil

from memopt_cli import __version__
from memopt_cli.profiler import control_groups
from memopt_cli.profiler.proc_tree import UNLIMITED, ProcTree

SUBJECT_SETTINGS = {
    # Equal hashes make equal dictionaries: one variant's memory can be repeated.
    "PYTHONHASHSEED": "0",
    # malloc's cache per thread counts as in use what is free, up to seven blocks of each
    # size: with it, the first units of a small population seem to cost nothing.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
    # One core does the work of one: threads of a linear-algebra library would be in no figure.
    "OPENBLAS_NUM_THREADS": "1",
}
"""What subjects of our own are started with, so that their heaps can be compared."""

_ALLOCATOR_SETTINGS = ("MALLOC_", "PYTHONMALLOC", "GLIBC_TUNABLES", "LD_PRELOAD")


def describe(root: Path = Path("/")) -> dict[str, str | int | float]:
    """
    Return what a reader needs to repeat a run; sizes in bytes.

    Args:
        root: Where the control groups are shown, whose limit on memory is told if any has one.
    """
    memory = psutil.virtual_memory()
    found: dict[str, str | int | float] = {
        "memopt": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": " ".join(platform.python_build()),
        "libc": " ".join(platform.libc_ver()),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "load_average": round(os.getloadavg()[0], 2),
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "transparent_hugepages": _hugepages(),
        "allocator_settings": _allocator_settings(),
        "subject_settings": " ".join(f"{key}={value}" for key, value in SUBJECT_SETTINGS.items()),
    }
    limit = control_groups.memory(ProcTree(root)).limit
    if limit is not None and limit < UNLIMITED:
        found["memory_limit_bytes"] = int(limit)
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        found["gil"] = "off"
    return found


def available_memory_bytes() -> int:
    """Return what new processes can use before the machine swaps."""
    return int(psutil.virtual_memory().available)


def oom_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes this control group lost to its memory limit, if it counts."""
    groups = root / "sys/fs/cgroup"
    try:
        own = (root / "proc/self/cgroup").read_text(encoding="ascii").rpartition("::")[2].strip()
        events = (groups / own.lstrip("/") / "memory.events").read_text("ascii")
    except OSError:
        return None
    counts = dict(line.split() for line in events.splitlines())
    return int(counts.get("oom_kill", 0))


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return "unknown"
    return platform.processor() or "unknown"


def _hugepages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0]


def _allocator_settings() -> str:
    found = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith(_ALLOCATOR_SETTINGS)
    )
    return " ".join(found) or "default"
