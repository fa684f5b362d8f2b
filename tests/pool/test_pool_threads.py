"""Pools hold their promises under threads, interrupts, re-entry and forks."""

from __future__ import annotations

import dis
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from random import Random
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import PoolError, PoolExhausted, StaleHandle
from memopt_cli.pool import BufferPool, ConnectionPool, ObjectPool, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

THREADS = 10
THOROUGH = os.environ.get("MEMOPT_HYPOTHESIS") == "thorough"
MAY_FORK = ("-W", "ignore:This process:DeprecationWarning")
"""From 3.12 on a fork beside a thread warns, which is what these tests do on purpose."""
ROUNDS = 100_000 if THOROUGH else 10_000
"""How often each of ten threads acquires and releases; see `tests/conftest.py`."""
CHANGES = 10_000 if THOROUGH else 300
"""How often bounds change while others acquire and release."""


class Box:
    """A pooled object that knows its holder."""

    def __init__(self) -> None:
        self.holder = 0

    def clear(self) -> None:
        """Forget the holder."""
        self.holder = 0


class Owner:
    """Somebody who may die."""


def run_in_threads(*works: Callable[[int], None]) -> None:
    """Run *works* in threads that start together and switch often; fail if one of them fails."""
    failures: list[BaseException] = []
    together = Barrier(len(works))

    def run(number: int) -> None:
        together.wait()
        try:
            works[number - 1](number)
        except BaseException as exc:  # noqa: BLE001 - reported in the main thread
            failures.append(exc)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        running = [Thread(target=run, args=(number,)) for number in range(1, len(works) + 1)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert failures == []


def hold(pool: ObjectPool[Box], handle: int, number: int) -> None:
    """Use the object of *handle*, and fail if somebody else uses it too."""
    box = pool[handle]
    assert box.holder == 0
    box.holder = number
    assert number == box.holder
    pool.release(handle)


def check(stats: PoolStats, max_size: int) -> None:
    """Fail unless the counters agree with each other."""
    assert stats.in_use + stats.available == stats.total
    assert stats.allocated - stats.dropped - stats.discarded == stats.total
    assert 0 <= stats.available <= max_size
    assert 0 <= stats.created <= stats.allocated
    assert stats.reused >= 0


def test_ten_threads_share_an_object_pool() -> None:
    """An object is never given to two of them, and no count is lost, singly or in batches."""
    pool = ObjectPool(Box, Box.clear, size=4, max_size=6)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            if turn % 10:
                hold(pool, pool.acquire(), number)
            else:
                taken = pool.acquire_many(3)
                boxes = [pool[handle] for handle in taken]
                assert [0, 0, 0] == [box.holder for box in boxes]
                for box in boxes:
                    box.holder = number
                pool.release_many(taken)
                check(pool.stats(), 6)

    run_in_threads(*[work] * THREADS)

    stats = pool.stats()
    assert (0, THREADS * ROUNDS * 12 // 10) == (stats.in_use, stats.created + stats.reused)
    check(stats, 6)


def test_ten_threads_share_a_connection_pool() -> None:
    """Owners that die in one thread are swept in another, each once."""
    pool = ConnectionPool(Box, Box.clear, size=4)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            if turn % 2:
                pool.acquire(Owner())
                pool.sweep()
            else:
                hold(pool, pool.acquire(), number)

    run_in_threads(*[work] * THREADS)
    pool.sweep()

    stats = pool.stats()
    total = THREADS * ROUNDS
    assert (0, total // 2, total) == (stats.in_use, stats.reclaimed, stats.created + stats.reused)
    assert stats.allocated == stats.total


def test_ten_threads_share_a_buffer_pool() -> None:
    """What a thread writes into its buffer is what it reads there."""
    pool = BufferPool(size=4, max_per_class=6)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            with pool.lease(100 + turn % 1000 * 20) as view:
                view[:] = bytes([number]) * len(view)
                assert view.tobytes().count(number) == len(view)

    run_in_threads(*[work] * THREADS)

    stats = pool.stats()
    assert (0, THREADS * ROUNDS) == (stats.in_use, stats.created + stats.reused)


def test_bounds_change_while_threads_work() -> None:
    """Each new bound holds at once, whatever others acquire and release meanwhile."""
    pool = ObjectPool(Box, Box.clear, size=4, max_size=6)

    def work(number: int) -> None:
        for _ in range(4 * CHANGES):
            with suppress(PoolExhausted):
                hold(pool, pool.acquire(), number)

    def configure(_: int) -> None:
        random = Random(1)
        for _ in range(CHANGES):
            size, more = random.randrange(6), random.randrange(6)
            pool.configure(size=size, max_size=size + more, limit=size + more + 3)
            check(pool.stats(), size + more)

    run_in_threads(*[work] * 4, configure)

    pool.configure(size=3, max_size=3, limit=3)
    stats = pool.stats()
    assert (0, 3) == (stats.in_use, stats.available)


def test_buffer_bounds_change_while_threads_work() -> None:
    """Buffers are cleared and bounded as configured, while others fill them."""
    pool = BufferPool(default_size=64, classes=(64,), zero=True)

    def work(number: int) -> None:
        for _ in range(4 * CHANGES):
            with pool.lease() as view:
                assert not any(view)
                view[:] = bytes([number]) * 64

    def configure(_: int) -> None:
        for turn in range(CHANGES):
            pool.configure(size=turn % 4, max_per_class=turn % 4)
            assert pool.info()[64].stats.available <= turn % 4

    run_in_threads(*[work] * 4, configure)


def test_one_release_of_many_at_once_succeeds() -> None:
    """When ten threads release the same handle together, nine are refused."""
    pool = ObjectPool(Box, Box.clear)
    released: Counter[int] = Counter()
    taken = [pool.acquire() for _ in range(200)]

    def work(_: int) -> None:
        for handle in taken:
            with suppress(StaleHandle):
                pool.release(handle)
                released[handle] += 1

    run_in_threads(*[work] * THREADS)

    assert dict.fromkeys(taken, 1) == released
    assert PoolStats(available=200, allocated=200, created=200) == pool.stats()


def test_a_slow_create_keeps_nobody_waiting() -> None:
    """While one thread makes an object, others release and acquire, and the limit counts it."""
    begun, finish = Event(), Event()

    def create() -> Box:
        if begun.is_set():
            return Box()
        begun.set()
        assert finish.wait(60)
        return Box()

    pool = ObjectPool(create, Box.clear, limit=2)
    slow = Thread(target=pool.acquire)
    slow.start()
    assert begun.wait(60)
    try:
        first = pool.acquire()
        with pytest.raises(PoolExhausted):
            pool.acquire()
        pool.release(first)
        assert PoolStats(available=1, allocated=1, created=1) == pool.stats()
    finally:
        finish.set()
        slow.join()
    assert PoolStats(in_use=1, available=1, allocated=2, created=2) == pool.stats()


SWITCHES = ("RESUME", "CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD")
"""After these the interpreter looks for signals, and runs finalisers from Python 3.12 on."""


def interrupted(
    action: Callable[[], object],
    step: int,
    intrusion: Callable[[], object],
    *,
    after: tuple[str, ...] = (),
) -> bool:
    """
    Run *action*, and *intrusion* before its bytecode number *step*; say if there was one.

    Only bytecodes that follow one of *after* are counted, or all if that is empty.
    """
    left = step
    last: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if not frame.f_globals["__name__"].startswith("memopt_cli.pool"):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if not after or last.get(frame) in after:
                left -= 1
                if left == 0:
                    intrusion()
            last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return trace

    before = sys.gettrace()
    # Said before: 3.12 heeds the first one to ask for bytecodes from the next trace on.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)  # type: ignore[arg-type] # typeshed wants its own recursive type
    try:
        action()
    finally:
        sys.settrace(before)
    return left <= 0


class Scene:
    """A pool of three boxes, two of them in use, and what may happen to it."""

    def __init__(self) -> None:
        self.pool = ObjectPool(Box, Box.clear, size=3, max_size=4, limit=9)
        self.held = self.pool.acquire_many(3)
        self.pool.release(self.held.pop())

    def acquire(self) -> None:
        """Take the idle box, or a new one."""
        self.held.append(self.pool.acquire())

    def create(self) -> None:
        """Take the idle box and new ones."""
        self.held += self.pool.acquire_many(3)

    def release(self) -> None:
        """Give one back."""
        self.pool.release(self.held.pop())

    def release_many(self) -> None:
        """Give all back but one."""
        taken = self.held[1:]
        del self.held[1:]
        self.pool.release_many(taken)

    def configure(self) -> None:
        """Make the pool smaller."""
        self.pool.configure(size=2, max_size=2)

    def stats(self) -> None:
        """Look at the counters, which must agree at any time."""
        check(self.pool.stats(), 4)

    def check_end(self) -> None:
        """Fail unless each box has one holder, and all can be given back."""
        boxes = [self.pool[handle] for handle in self.held]
        assert len(self.held) == len({id(box) for box in boxes}) == self.pool.stats().in_use
        self.stats()
        self.pool.release_many(self.held)
        self.held = self.pool.acquire_many(self.pool.stats().available)
        assert len(self.held) == len({id(self.pool[handle]) for handle in self.held})
        self.stats()


def check_every_step(act: str, intrude: str, *, after: tuple[str, ...] = ()) -> int:
    """Fail if *intrude* in the middle of *act* breaks a pool; return how many middles there are."""
    step = 0
    while True:
        scene = Scene()
        if not interrupted(getattr(scene, act), step + 1, getattr(scene, intrude), after=after):
            return step
        step += 1
        scene.check_end()


@pytest.mark.parametrize(
    ("act", "intrude"),
    [
        ("acquire", "acquire"),
        ("acquire", "create"),
        ("acquire", "release"),
        ("acquire", "release_many"),
        ("acquire", "configure"),
        ("acquire", "stats"),
        ("release", "acquire"),
        ("release_many", "acquire"),
        ("stats", "acquire"),
    ],
)
def test_threads_may_switch_at_any_bytecode(act: str, intrude: str) -> None:
    """Acquire and release are safe against what another thread can do without the lock."""
    assert check_every_step(act, intrude) > 20


@pytest.mark.parametrize("intrude", ["acquire", "create", "release", "configure", "stats"])
@pytest.mark.parametrize("act", ["acquire", "create", "release", "release_many", "configure"])
def test_a_finaliser_may_use_the_pool(act: str, intrude: str) -> None:
    """Wherever the interpreter may run a finaliser or a signal handler, it may call the pool."""
    assert check_every_step(act, intrude, after=SWITCHES) > 1


def release_elsewhere(pool: ObjectPool[Box], handle: int, done: list[int]) -> None:
    """Release *handle* in another thread, unless that would wait for the lock."""

    def run() -> None:
        if pool._lock.acquire(blocking=False):
            with pool._lock, suppress(StaleHandle):
                pool.release(handle)
                done.append(handle)
            pool._lock.release()

    thread = Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.parametrize("many", [False, True])
def test_a_handle_is_released_once_wherever_threads_switch(many: bool) -> None:
    """Of two threads that release the same handle one is refused, at any bytecode."""
    step, reached = 0, True
    while reached:
        step += 1
        pool = ObjectPool(Box, Box.clear, size=1)
        handle = pool.acquire()
        done: list[int] = []
        release = partial(pool.release_many, [handle]) if many else partial(pool.release, handle)
        intrusion = partial(release_elsewhere, pool, handle, done)
        try:
            reached = interrupted(release, step, intrusion)
        except StaleHandle:
            pass
        else:
            done.append(handle)
        assert [handle] == done
        assert PoolStats(available=1, allocated=1, created=1) == pool.stats()
    assert step > 20


def interrupt() -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def note_whether_free(pool: ObjectPool[Box], free: list[bool]) -> None:
    """Add to *free* whether this thread can have the pool's lock."""
    free.append(pool._lock.acquire(blocking=False))
    if free[-1]:
        pool._lock.release()


@pytest.mark.parametrize("act", ["acquire", "release", "get", "stale"])
def test_an_interrupt_leaves_the_lock_free(act: str) -> None:
    """Ctrl-C ends the call, wherever it is noticed, and blocks no other thread."""
    step, reached = 0, True
    while reached:
        step += 1
        pool = ObjectPool(Box, Box.clear, size=2)
        handle = pool.acquire()

        actions: dict[str, Callable[[], object]] = {
            "acquire": pool.acquire,
            "release": partial(pool.release, handle),
            "get": partial(pool.__getitem__, handle),
            "stale": partial(pool.release, handle + 1),
        }
        try:
            reached = interrupted(actions[act], step, interrupt, after=SWITCHES)
        except KeyboardInterrupt:
            reached = True
        except PoolError:
            reached = False
        free: list[bool] = []
        other = Thread(target=note_whether_free, args=(pool, free))
        other.start()
        other.join()
        assert free == [True]
        check(pool.stats(), 2)


FORK = """
import os, signal, sys, threading
from memopt_cli.errors import PoolExhausted, StaleHandle
from memopt_cli.pool import BufferPool, ConnectionPool, ObjectPool

signal.alarm(60)
inside, finish = threading.Event(), threading.Event()

class Box:
    pass

def slow(box):
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        finish.wait()

def slow_create():
    if threading.current_thread() is not threading.main_thread():
        making.set()
        finish.wait()
    return Box()

def use(pool):
    taken = [pool.acquire() for _ in range(5)]
    assert len({{id(pool[handle]) for handle in taken}}) == 5
    for handle in taken:
        pool.release(handle)
        try:
            pool.release(handle)
        except StaleHandle:
            continue
        raise AssertionError("released twice")
    stats = pool.stats()
    assert stats.allocated - stats.dropped - stats.discarded == stats.total
    return stats

pool = {kind}(Box, slow, size=3)
making = threading.Event()
bounded = ObjectPool(slow_create, limit=1)
buffers = BufferPool(size=2)
lent = buffers.acquire(10)
mine = pool.acquire()
threads = [
    threading.Thread(target=lambda: pool.release(pool.acquire())),
    threading.Thread(target=bounded.acquire),
]
for thread in threads:
    thread.start()
assert inside.wait() and making.wait()
# Another thread holds the pool's lock now, and one is making an object.
child = os.fork()
if child == 0:
    stats = use(pool)
    assert stats.in_use == 2, stats
    bounded.release(bounded.acquire())
    with buffers.lease(10) as view:
        view[:] = b"0123456789"
    buffers.release(lent)
    pool.release(mine)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
finish.set()
for thread in threads:
    thread.join()
assert bytes(10) == lent.view.tobytes()
pool.release(mine)
assert use(pool).in_use == 0
try:
    bounded.acquire()
except PoolExhausted:
    print("parent and child are well")
"""


@pytest.mark.parametrize("kind", ["ObjectPool", "ConnectionPool"])
def test_a_fork_leaves_parent_and_child_with_a_pool(kind: str) -> None:
    """A child does not wait for a lock that a thread of its parent held, and both go on."""
    done = subprocess.run(
        [sys.executable, *MAY_FORK, "-c", FORK.format(kind=kind)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("parent and child are well\n", "", 0)


FORK_WITHIN = """
import os, signal
from memopt_cli.pool import ObjectPool

signal.alarm(60)
children = []

def reset(box):
    children.append(os.fork())

pool = ObjectPool(list, reset)
pool.release(pool.acquire())
pool._reset = None
pool.release(pool.acquire())
stats = pool.stats()
assert (stats.in_use, stats.available, stats.reused) == (0, 1, 1), stats
if children[0]:
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    print("both are well")
"""


def test_a_fork_within_a_reset_keeps_the_lock_with_its_holder() -> None:
    """The thread that forks in the middle of a release finishes it, in both processes."""
    done = subprocess.run(
        [sys.executable, "-c", FORK_WITHIN],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("both are well\n", "", 0)
