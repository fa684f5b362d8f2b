"""Locks that a forked child can take, whoever held them in the parent."""

from __future__ import annotations

import os
import sys
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
Owner = TypeVar("Owner", bound="Locked")


class Locked:
    """
    Base of what threads share: one re-entrant lock, free in a child after a fork.

    The thread that held it in the parent does not exist in the child, which would wait for
    ever. What that thread was doing is left as it was. So a change under this lock is made of
    plain stores, with no call and no allocation between the first and the last that belong
    together: Python switches threads, runs signal handlers, raises Ctrl-C and calls finalisers
    only there. Whoever comes in between, also the same thread by its finaliser, finds things
    as they were before or as they are after.

    A method that is such a change from its first line on need not take the lock: the other
    threads of an interpreter that runs one at a time come in between nowhere else either. See
    `one_at_a_time`.

    Nobody waits for the lock of one of these while holding that of another: a finaliser may
    run under any of them, and take any.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._renew_lock()
        _OWNERS.add(self)

    def _renew_lock(self) -> None:
        self._lock = RLock()

    def _free_lock(self) -> None:
        """Make a new lock if a thread that was left behind has this one."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._renew_lock()


def one_at_a_time(method: Callable[Concatenate[Owner, P], T]) -> Callable[Concatenate[Owner, P], T]:
    """
    Return *method* as it is, which takes no lock, where one thread runs at a time.

    In a free-threaded interpreter, return one that calls it within the lock.
    """
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return method

    @wraps(method)
    def locked(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


_OWNERS: Final[WeakSet[Locked]] = WeakSet()


def _free_locks() -> None:
    """Let nothing in the child wait for a thread that it does not have."""
    for owner in list(_OWNERS):
        owner._free_lock()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_free_locks)
