"""
What is read from a process: memory, heap, collection pauses, latency. It never decides.

In a program of one's own::

    from memopt_cli.profiler import measured, operation

    with operation("load", budget="100MiB") as load:
        ...
    print(load.cost)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memopt_cli.profiler.budgets import Budget, MemoryBudgetAlert, MemoryBudgetWarning
    from memopt_cli.profiler.decorating import measured
    from memopt_cli.profiler.operations import Operation, OperationCost, operation
    from memopt_cli.profiler.registry import OPERATIONS, OperationStatistics, Registry
    from memopt_cli.profiler.snapshots import Snapshots

__all__ = [
    "OPERATIONS",
    "Budget",
    "MemoryBudgetAlert",
    "MemoryBudgetWarning",
    "Operation",
    "OperationCost",
    "OperationStatistics",
    "Registry",
    "Snapshots",
    "measured",
    "operation",
]

_HOMES = {
    "budgets": ("Budget", "MemoryBudgetAlert", "MemoryBudgetWarning"),
    "decorating": ("measured",),
    "operations": ("Operation", "OperationCost", "operation"),
    "registry": ("OPERATIONS", "OperationStatistics", "Registry"),
    "snapshots": ("Snapshots",),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: a subject that only records must not hold the rest in memory."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
