"""
Leak tests for test suites: run an operation often, and tell whether it keeps memory.

Usable from any code; under pytest, the fixture ``memopt`` offers the same.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memopt_cli.testing.cycles import cycle_test
    from memopt_cli.testing.leaks import LeakTest, assert_no_leak, find_leak

__all__ = ["LeakTest", "assert_no_leak", "cycle_test", "find_leak"]

_HOMES = {
    "cycles": ("cycle_test",),
    "leaks": ("LeakTest", "assert_no_leak", "find_leak"),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: pytest imports this package at its start, with the plugin."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
