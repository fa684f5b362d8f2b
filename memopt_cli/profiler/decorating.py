"""The decorator that measures each call of a function."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from memopt_cli.errors import UsageError
from memopt_cli.profiler.budgets import Budget
from memopt_cli.profiler.operations import operation
from memopt_cli.profiler.registry import OPERATIONS, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


@overload
def measured(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def measured(
    name: str | None = None,
    /,
    *,
    budget: str | Budget | None = None,
    trace: bool | None = None,
    registry: Registry = OPERATIONS,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def measured(
    what: Callable[..., Any] | str | None = None,
    /,
    *,
    budget: str | Budget | None = None,
    trace: bool | None = None,
    registry: Registry = OPERATIONS,
) -> Callable[..., Any]:
    """
    Measure each call as an `operation`: ``@measured``, or ``@measured("name", budget="10MiB")``.

    For functions, methods and async functions; an async function is measured from its first
    step to its end, whatever else the loop runs meanwhile. Without a name, a call is counted
    under the function's module and qualified name.

    Raises:
        UsageError: What it decorates is not one call with one end, or the budget is no size.
    """
    limit = None if budget is None else Budget.of(budget)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        _refuse(function)
        name = what if isinstance(what, str) else f"{function.__module__}.{function.__qualname__}"
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with operation(name, budget=limit, trace=trace, registry=registry):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with operation(name, budget=limit, trace=trace, registry=registry):
                return function(*args, **kwargs)

        return called

    return decorate(what) if callable(what) else decorate


def _refuse(function: object) -> None:
    """Refuse what a decorator cannot measure, each with what to do instead."""
    if isinstance(function, staticmethod | classmethod):
        raise UsageError(
            f"@measured stands above @{type(function).__name__}",
            hint="Write it below, next to the function.",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{function.__qualname__} is a generator: it runs in pieces, and its caller between",
            hint="Measure what consumes it: with operation('name'): ...",
        )
    if not inspect.isfunction(function):
        raise UsageError(
            f"@measured is for functions and methods, not for {function!r}",
            hint="Measure the call: with operation('name'): ...",
        )
