"""
The pytest plugin ``memopt``: a fixture of this name, and an ini option.

pytest imports this module whenever it starts in an environment that has memopt: it loads
nothing of memopt before a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.profiler import Budget, Operation
    from memopt_cli.testing import LeakTest
    from memopt_cli.testing.leaks import Inconclusive

_OPTION = "memopt_inconclusive"


class Memopt:
    """What the fixture gives; the functions of `memopt_cli.testing`, which fail the test."""

    def __init__(self, inconclusive: Inconclusive) -> None:
        self._inconclusive = inconclusive

    def assert_no_leak(self, function: Callable[[], Any], **settings: Any) -> LeakTest:
        """Fail the test if *function* leaks; as `memopt_cli.testing.assert_no_leak`."""
        __tracebackhide__ = True
        from memopt_cli.testing import assert_no_leak

        return assert_no_leak(function, **{"inconclusive": self._inconclusive, **settings})

    def cycle_test(
        self, *steps: Any, inconclusive: Inconclusive | None = None, **settings: Any
    ) -> LeakTest:
        """Fail the test if destroyed units leak; as `memopt_cli.testing.cycle_test`."""
        __tracebackhide__ = True
        from memopt_cli.testing import cycle_test

        found = cycle_test(*steps, **settings)
        found.check(inconclusive=inconclusive or self._inconclusive)
        return found

    def operation(
        self, name: str, *, budget: str | Budget | None = None, trace: bool | None = None
    ) -> Operation:
        """Measure a block; as `memopt_cli.profiler.operation`, in no registry but its own."""
        from memopt_cli.profiler import Registry, operation

        return operation(name, budget=budget, trace=trace, registry=Registry(limit=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini option."""
    parser.addini(
        _OPTION, "what becomes of a leak test that could not tell: fail or warn", default="fail"
    )


@pytest.fixture
def memopt(request: pytest.FixtureRequest) -> Memopt:
    """Leak tests, cycle tests and measured operations."""
    inconclusive = request.config.getini(_OPTION)
    if inconclusive not in ("fail", "warn"):
        raise pytest.UsageError(f"{_OPTION} is fail or warn, not {inconclusive!r}")
    return Memopt(inconclusive)
