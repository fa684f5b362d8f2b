"""Whatever comes in the middle of a call, a pool of states keeps its promises."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from random import Random
from threading import Barrier, Event, Thread, get_ident
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import PoolError, PoolExhausted, StaleHandle
from memopt_cli.optimizer import CapabilityStore, PayloadStore, Phase, StatePool, decode, encode
from memopt_cli.pool import PoolStats
from tests.optimizer.drawing import check_books, check_empty, seen
from tests.optimizer.intruding import SWITCHES, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

THOROUGH = os.environ.get("MEMOPT_HYPOTHESIS") == "thorough"
THREADS = 10
MAY_FORK = ("-W", "ignore:This process:DeprecationWarning")
"""From 3.12 on a fork beside a thread warns, which is what these tests do on purpose."""
ROUNDS = 10_000 if THOROUGH else 1000
"""How often each of ten threads does each of ten operations; see `tests/conftest.py`."""

MANY = 20_000
"""States in a batch; numpy lets other threads run while it copies more than 500."""

DOCUMENTS = (b"[1]", b'{"tools": [2]}')
LONG = bytes(range(256)) * 4


def fill(pool: StatePool, handle: int, number: int) -> None:
    """Write something of each kind, and of each kind of storage, into a state."""
    state = pool[handle]
    state.number, state.phase = number, Phase.READY
    if number % 2:
        state.metadata = {"user": f"user {number}", f"key {number % 3}": number}
        state.received_bytes = 2**40 + number
        state.pending = (f"request {number}", number)
    else:
        state.share_metadata({"topic": number % 4})
        state.pending = (number,)
    state.retain(LONG, window=3, compression=bool(number % 3))
    state.retain(b"short", window=3)
    state.capabilities = pool.capabilities.acquire(DOCUMENTS[number % 2])


class Party:
    """Somebody who uses a pool that others use too: their own states, and what they do."""

    def __init__(self, pool: StatePool, first: int) -> None:
        self.pool = pool
        self.held: dict[int, tuple[object, ...]] = {}
        self.number = first
        for _ in range(3):
            self.acquire()

    def keep(self, handle: int) -> None:
        """Fill a state, and note what it shows."""
        self.number += 1
        fill(self.pool, handle, self.number)
        self.held[handle] = seen(self.pool, handle)

    def acquire(self) -> None:
        """Acquire a state and fill it."""
        self.keep(self.pool.acquire())

    def acquire_many(self) -> None:
        """Acquire idle states and new ones."""
        for handle in self.pool.acquire_many(4).tolist():
            self.keep(handle)

    def copy(self) -> None:
        """Decode what the first state is."""
        handle = decode(encode(self.pool, self.first()), self.pool)
        self.held[handle] = seen(self.pool, handle)

    def release(self) -> None:
        """Give the latest back."""
        self.pool.release(self.held.popitem()[0])

    def release_many(self) -> None:
        """Give all back but one."""
        _, *handles = self.held
        self.held = {self.first(): self.held[self.first()]}
        self.pool.release_many(handles)

    def trim(self) -> None:
        """Give memory back."""
        self.pool.trim()

    def configure(self) -> None:
        """Make the pool smaller."""
        self.pool.configure(size=3, limit=30)

    def write(self) -> None:
        """Write metadata of another size and other keys into the first state."""
        self.pool[self.first()].metadata = {"user": "ada" * self.number, "new": self.number}
        self.held[self.first()] = seen(self.pool, self.first())

    def share(self) -> None:
        """Share metadata that others share."""
        self.pool[self.first()].share_metadata({"topic": 2})
        self.held[self.first()] = seen(self.pool, self.first())

    def clear(self) -> None:
        """Empty the first state, and fill it."""
        self.pool[self.first()].clear()
        self.keep(self.first())

    def messages(self) -> None:
        """Account for messages of all states, two of each."""
        handles = list(self.held) * 2
        self.pool.note_received_many(handles, [3] * len(handles), 2.5, [9] * len(handles))
        for handle in self.held:
            assert 2 == self.pool[handle].received
            self.pool[handle].received = 0
            self.held[handle] = seen(self.pool, handle)

    def stats(self) -> None:
        """Look at the counters, which agree at any time."""
        stats = self.pool.stats()
        assert stats.allocated - stats.dropped - stats.discarded == stats.total
        assert min(stats.in_use, stats.available, stats.created, stats.reused) >= 0

    def first(self) -> int:
        """Return the state that was acquired first."""
        return next(iter(self.held))


class Scene:
    """A pool with the states of two parties, and two idle ones between them."""

    def __init__(self) -> None:
        self.store, self.payloads = CapabilityStore(), PayloadStore()
        self.pool = StatePool(
            size=12, limit=40, capacity=50, capabilities=self.store, payloads=self.payloads
        )
        self.one = Party(self.pool, 0)
        idle = [self.pool.acquire() for _ in range(2)]
        self.other = Party(self.pool, 20)
        self.pool.release_many(idle)

    def check_end(self) -> None:
        """Fail unless each state is as it was left, and all can be given back."""
        held = self.one.held | self.other.held
        assert sorted(held, key=lambda handle: handle & 0xFF_FFFF) == self.pool.handles().tolist()
        for handle, content in held.items():
            assert content == seen(self.pool, handle)
        check_books(self.pool, self.store, self.payloads)
        self.one.stats()
        self.pool.release_many(list(held))
        check_empty(self.pool, self.store)
        assert 0 == len(self.payloads)
        rest = self.pool.acquire_many(self.pool.info().limit or 0).tolist()
        assert len(rest) == len({handle & 0xFF_FFFF for handle in rest})
        assert [0] * len(rest) == self.pool.column("number", rest).tolist()


ACTS = (
    "acquire",
    "acquire_many",
    "copy",
    "release",
    "release_many",
    "trim",
    "configure",
    "write",
    "share",
    "clear",
    "messages",
    "stats",
)
MORE = ("copy", "configure", "write", "messages", "stats") if THOROUGH else ()
INTRUSIONS = ("acquire_many", "release", "trim", *MORE)
STRIDE = 1 if THOROUGH else 17
"""Of the places where something may come in between, one in so many is tried."""


@pytest.mark.parametrize("intrude", INTRUSIONS)
@pytest.mark.parametrize("act", ACTS)
def test_a_finaliser_may_use_the_pool(act: str, intrude: str) -> None:
    """Wherever a finaliser or a signal handler may run, it may do anything to other states."""
    step = (ACTS.index(act) + INTRUSIONS.index(intrude)) % STRIDE + 1
    reached = True
    while reached:
        scene = Scene()
        reached = interrupted(getattr(scene.one, act), step, getattr(scene.other, intrude))
        scene.check_end()
        step += STRIDE


class Plain:
    """A pool of empty states, all in the hands of two parties, and what these do in batches."""

    def __init__(self) -> None:
        self.pool = StatePool(capacity=30)
        taken = self.pool.acquire_many(9).tolist()
        self.held, self.others = taken[:3], taken[3:6]
        self.pool.release_many(taken[6:])

    def acquire_many(self) -> None:
        """Take idle states and new ones."""
        self.held += self.pool.acquire_many(5).tolist()

    def release_many(self) -> None:
        """Give back all but one."""
        taken = self.held[1:]
        del self.held[1:]
        self.pool.release_many(taken)

    def trim(self) -> None:
        """Give memory back."""
        self.pool.trim()

    def acquire_one(self) -> None:
        """Take an idle state."""
        self.others.append(self.pool.acquire())

    def release_one(self) -> None:
        """Give one back."""
        self.pool.release(self.others.pop())

    def exchange(self) -> None:
        """Leave as many idle as before, but others."""
        self.acquire_one()
        self.pool.release(self.others.pop(0))

    def renew(self) -> None:
        """Leave as many states as before, but others at the end."""
        for _ in range(len(self.others)):
            self.release_one()
        self.pool.trim()
        self.others = self.pool.acquire_many(3).tolist()

    def check_end(self) -> None:
        """Fail unless each state has one holder, and all can be given back and had again."""
        held = self.held + self.others
        assert sorted(held) == sorted(self.pool.handles().tolist())
        assert len(held) == len({handle & 0xFF_FFFF for handle in held}) == len(self.pool)
        self.pool.release_many(held)
        rest = self.pool.acquire_many(30).tolist()
        assert 30 == len({handle & 0xFF_FFFF for handle in rest}) == len(self.pool)
        assert not set(rest) & set(held)


@pytest.mark.parametrize("intrude", ["acquire_one", "release_one", "exchange", "renew", "trim"])
@pytest.mark.parametrize("act", ["acquire_many", "release_many", "trim"])
def test_a_finaliser_may_come_anywhere_into_a_batch(act: str, intrude: str) -> None:
    """No slot is given out twice, lost, or returned while somebody has it."""
    step, reached = 0, True
    while reached:
        step += 1
        plain = Plain()
        reached = interrupted(getattr(plain, act), step, getattr(plain, intrude))
        plain.check_end()
    assert step > 9


def nothing() -> None:
    """Come in between without a trace."""


@pytest.mark.parametrize(("act", "places"), [("acquire", 0), ("acquire_filled", 1)])
def test_nothing_comes_in_between_finding_and_having_a_record(act: str, places: int) -> None:
    """What takes no lock has no place for others, but one when the record is complete."""
    pool = StatePool()
    actions: dict[str, Callable[[], object]] = {
        "acquire": pool.acquire,
        "acquire_filled": partial(pool.acquire_filled, 1, b"a"),
    }

    def passes(step: int) -> bool:
        """Say whether an acquire of an idle record has so many places, its begin not counted."""
        pool.release(pool.acquire())
        return interrupted(actions[act], step, nothing)

    assert [True] * places + [False] == [passes(step) for step in range(1, places + 2)]


def test_what_is_released_while_the_lock_is_waited_for_is_acquired() -> None:
    """A full pool is so no more when it is known that there are no new records."""
    pool = StatePool(capacity=1)
    handle = pool.acquire()

    assert interrupted(pool.acquire, 1, partial(pool.release, handle))

    assert PoolStats(in_use=1, allocated=1, created=1, reused=1) == pool.stats()


@pytest.mark.parametrize("idle", [False, True])
def test_nobody_sees_a_state_that_is_half_decoded(idle: bool) -> None:
    """Wherever somebody looks at the states in use, they are complete."""
    step, reached = 0, True
    while reached:
        step += 1
        pool = StatePool()
        handle, other = pool.acquire(), pool.acquire()
        if idle:
            pool.release(other)
        empty = encode(pool, handle)
        pool[handle].update(number=7, phase=Phase.READY, opened_at_s=2.5, checksum=9)
        data, found = encode(pool, handle), set[bytes]()

        def look() -> None:
            """Note what all states are."""
            found.update(encode(pool, each) for each in pool.handles().tolist())  # noqa: B023 - called at once

        reached = interrupted(partial(decode, data, pool), step, look)
        assert found <= {empty, data}
        look()
        assert data in found
    assert step > 3


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_of_two_releases_one_succeeds(filled: bool, batch: bool) -> None:
    """Also if a finaliser releases a handle in the middle of its release."""
    step, reached = 0, True
    while reached:
        step += 1
        store = CapabilityStore()
        pool = StatePool(capabilities=store)
        handle, other = pool.acquire(), pool.acquire()
        if filled:
            fill(pool, handle, 1)
        done: Counter[str] = Counter()

        def release(who: str, many: bool) -> None:
            """Release the handle, or be told that somebody has."""
            with suppress(StaleHandle):
                pool.release_many([handle]) if many else pool.release(handle)  # noqa: B023 - called at once
                done[who] += 1  # noqa: B023 - called at once

        reached = interrupted(
            partial(release, "one", batch), step, partial(release, "another", False)
        )
        assert 1 == done.total()
        assert [other] == pool.handles().tolist()
        pool.release(other)
        check_empty(pool, store)
        assert 2 == len({taken & 0xFF_FFFF for taken in pool.acquire_many(2).tolist()})


class Connection:
    """An object that releases its state when it is collected."""

    def __init__(self, pool: StatePool) -> None:
        self.pool = pool
        self.handle = pool.acquire()
        fill(pool, self.handle, self.handle & 0xFF_FFFF)
        self.itself = self

    def __del__(self) -> None:
        self.pool.release(self.handle)


def test_the_collector_may_release_states_at_any_time() -> None:
    """Connections that die in cycles, while others are acquired, filled and released."""
    store, random = CapabilityStore(), Random(1)
    pool = StatePool(capabilities=store, payloads=PayloadStore())
    party = Party(pool, 0)
    thresholds = gc.get_threshold()
    gc.set_threshold(20, 1, 1)
    try:
        for _ in range(300):
            Connection(pool)
            if len(party.held) > 8:
                party.release_many()
            getattr(party, random.choice([act for act in ACTS if act != "configure"]))()
            if not party.held:
                party.acquire()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()

    assert sorted(party.held) == sorted(pool.handles().tolist())
    for handle, content in party.held.items():
        assert content == seen(pool, handle)
    check_books(pool, store)
    pool.release_many(list(party.held))
    check_empty(pool, store)


def interrupt() -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def note_whether_free(pool: StatePool, free: list[bool]) -> None:
    """Add to *free* whether this thread can have the pool's lock."""
    free.append(pool._lock.acquire(blocking=False))
    if free[-1]:
        pool._lock.release()


@pytest.mark.parametrize(
    "act", ["acquire", "new", "release", "filled", "stale", "decode", "many", "trim", "clear"]
)
def test_an_interrupt_leaves_lock_and_books_in_order(act: str) -> None:
    """Ctrl-C ends the call where it is noticed, blocks no thread, gives no record away twice."""
    step, reached = 0, True
    while reached:
        step += 1
        pool = StatePool(capacity=20)
        idle, plain, filled = (pool.acquire() for _ in range(3))
        fill(pool, filled, 1)
        data = encode(pool, filled)
        if act != "new":
            pool.release(idle)
        actions: dict[str, Callable[[], object]] = {
            "acquire": pool.acquire,
            "new": pool.acquire,
            "release": partial(pool.release, plain),
            "filled": partial(pool.release, filled),
            "stale": partial(pool.release, idle),
            "decode": partial(decode, data, pool),
            "many": partial(pool.acquire_many, 3),
            "trim": pool.trim,
            "clear": pool[filled].clear,
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
        assert [True] == free
        assert len(pool) == len(pool.handles())
        pool.release_many(pool.handles())
        taken = pool.acquire_many(20).tolist()
        assert 20 == len({handle & 0xFF_FFFF for handle in taken})
        empty = StatePool().lease()
        with empty as state:
            assert all(pool[handle] == state for handle in taken)


@pytest.mark.parametrize("act", ["acquire", "release", "acquire_filled"])
def test_an_interrupt_while_waiting_for_the_lock_is_an_interrupt(act: str) -> None:
    """It is not hidden by an error of a lock that was never had."""
    pool = StatePool()
    handle = pool.acquire()
    data = encode(pool, handle)
    held, main = Event(), get_ident()
    waits = StatePool.release if act == "release" else StatePool._use_new
    code = waits.__code__

    def hold() -> None:
        """Hold the lock, and interrupt the main thread when it waits for it."""
        with pool._lock:
            held.set()
            while sys._current_frames()[main].f_code is not code:
                pass
            # More than once: the first may come just before the main thread waits.
            while not released.wait(0.01):
                signal.pthread_kill(main, signal.SIGUSR1)

    def interrupt_once(*_: object) -> None:
        """Do what the first Ctrl-C does."""
        if not noticed.is_set():
            noticed.set()
            interrupt()

    released, noticed = Event(), Event()
    before = signal.signal(signal.SIGUSR1, interrupt_once)
    other = Thread(target=hold)
    other.start()
    try:
        assert held.wait(60)
        actions: dict[str, Callable[[], object]] = {
            "acquire": pool.acquire,
            "release": partial(pool.release, handle),
            "acquire_filled": partial(decode, data, pool),
        }
        with pytest.raises(KeyboardInterrupt):
            actions[act]()
    finally:
        released.set()
        other.join()
        signal.signal(signal.SIGUSR1, before)
    assert PoolStats(in_use=1, allocated=1, created=1) == pool.stats()


def run_in_threads(*works: Callable[[int], None]) -> None:
    """Run *works* in threads that start together and switch often; fail if one of them fails."""
    failures: list[BaseException] = []
    together = Barrier(len(works))

    def run(number: int) -> None:
        together.wait()
        try:
            works[number](number)
        except BaseException as exc:  # noqa: BLE001 - reported in the main thread
            failures.append(exc)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        running = [Thread(target=run, args=(number,)) for number in range(len(works))]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert [] == failures


def use_one(pool: StatePool, number: int, turn: int) -> None:
    """Do ten operations with a state of one's own, and fail if anybody else uses it too."""
    handle = pool.acquire()
    state = pool[handle]
    assert (0, 0, ()) == (state.number, state.received, state.pending)
    assert {} == state.metadata
    state.number = number * 2**20 + turn
    state.note_received(turn, float(turn), number)
    state.add_pending(f"{number} {turn}")
    if turn % 3:
        state.metadata["thread"] = number
    else:
        state.share_metadata({"thread": turn % 7})
    state.received_bytes = 2**40 + turn
    state.capabilities = pool.capabilities.acquire(DOCUMENTS[turn % 2])
    state.retain(LONG, window=2, compression=turn % 2 == 0)
    try:
        copy = decode(encode(pool, handle), pool)
    finally:
        pool.release(handle)
    state = pool[copy]
    assert number * 2**20 + turn == state.number
    assert (1, 2**40 + turn, number) == (state.received, state.received_bytes, state.checksum)
    assert (f"{number} {turn}",) == state.pending
    assert {"thread": number if turn % 3 else turn % 7} == state.metadata
    assert (LONG,) == state.retained_payloads()
    pool.release(copy)


def use_many(pool: StatePool, number: int) -> None:
    """Do with a batch what `use_one` does with a state."""
    handles = pool.acquire_many(7)
    assert [0] * 7 == pool.column("checksum", handles).tolist()
    pool.note_received_many(handles, [number] * 7, 1.5, [number] * 7)
    assert [number] * 7 == pool.column("checksum", handles).tolist()
    assert [number] * 7 == pool.column("received_bytes", handles).tolist()
    pool.release_many(handles)


def test_ten_threads_share_a_pool() -> None:
    """No state is given to two of them, no count is lost, and nothing is left in any table."""
    store, payloads = CapabilityStore(), PayloadStore()
    pool = StatePool(size=4, capabilities=store, payloads=payloads)

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            if turn % 10:
                use_one(pool, number, turn)
            else:
                use_many(pool, number)

    run_in_threads(*[work] * THREADS)

    stats = pool.stats()
    singles, batches = THREADS * ROUNDS * 9 // 10, THREADS * ROUNDS // 10
    assert (0, 2 * singles + 7 * batches) == (stats.in_use, stats.created + stats.reused)
    check_empty(pool, store)
    assert (0, 0) == (len(payloads), payloads.references())


def test_threads_acquire_while_batches_change_the_stack() -> None:
    """Numpy lets other threads run while it copies; no state is given to two of them even then."""
    pool = StatePool()
    pool.release_many(pool.acquire_many(MANY))
    done, counts = Event(), Counter[int]()

    def singles(number: int) -> None:
        while not done.is_set():
            handles = [pool.acquire() for _ in range(40)]
            counts[number] += len(handles)
            assert [0] * 40 == [pool[handle].number for handle in handles]
            for turn, handle in enumerate(handles):
                pool[handle].number = number * 1000 + turn
            for turn, handle in enumerate(handles):
                assert number * 1000 + turn == pool[handle].number
                pool.release(handle)

    def batches(number: int) -> None:
        try:
            for _ in range(ROUNDS // 100):
                handles = pool.acquire_many(MANY)
                counts[number] += MANY
                pool.release_many(handles[1:])
                pool.trim()
                pool.release(int(handles[0]))
        finally:
            done.set()

    run_in_threads(batches, singles, singles, singles)

    stats = pool.stats()
    assert (MANY + counts.total(), 0) == (stats.created + stats.reused, stats.in_use)
    assert 2 * MANY == len({handle & 0xFF_FFFF for handle in pool.acquire_many(2 * MANY).tolist()})


def test_an_acquire_waits_for_nobody_if_a_record_is_idle() -> None:
    """Whatever another thread does with the pool, and for how long."""
    pool = StatePool()
    handle = pool.acquire()
    data = encode(pool, handle)
    pool.release_many([handle, pool.acquire()])
    taken: list[int] = []
    other = Thread(target=lambda: taken.extend([pool.acquire(), decode(data, pool)]))

    with pool._lock:
        other.start()
        other.join(60)
        assert taken == pool.handles().tolist()[::-1]


def test_bounds_change_and_memory_is_returned_while_threads_work() -> None:
    """Whoever has a state goes on with it, whatever is configured and trimmed meanwhile."""
    pool = StatePool(capacity=1000)

    def work(number: int) -> None:
        for turn in range(ROUNDS // 2):
            with suppress(PoolExhausted):
                use_one(pool, number, turn) if turn % 4 else use_many(pool, number)

    def configure(_: int) -> None:
        random = Random(1)
        for _ in range(ROUNDS // 2):
            size = random.randrange(30)
            pool.configure(size=size, limit=size + random.randrange(30))
            pool.trim()
            stats = pool.stats()
            assert stats.allocated - stats.dropped - stats.discarded == stats.total
            pool.column("received")

    run_in_threads(*[work] * 4, configure)

    check_empty(pool, pool.capabilities)
    pool.configure(limit=1000)
    assert 1000 == len(set(pool.acquire_many(1000).tolist()))


FORK = """
import os, signal, sys, threading
from memopt_cli.optimizer import CapabilityStore, PayloadStore, StatePool, decode, encode

signal.alarm(60)
store, payloads = CapabilityStore(), PayloadStore()
pool = StatePool(capabilities=store, payloads=payloads)
LONG = bytes(1000)

def use():
    handle = pool.acquire()
    state = pool[handle]
    state.update(metadata={"a": 1}, received_bytes=2**50, pending=["x"], number=7)
    state.capabilities = store.acquire(b"[1]")
    state.retain(LONG, window=2)
    copy = decode(encode(pool, handle), pool)
    assert pool[copy] == state
    pool.release(handle)
    return copy

mine = use()
pool.release_many(pool.acquire_many(3))
before = encode(pool, mine)
inside, finish = threading.Event(), threading.Event()

def hold():
    with pool._lock, store._lock, payloads._lock:
        inside.set()
        finish.wait()

thread = threading.Thread(target=hold)
thread.start()
assert inside.wait()
# Another thread has every lock now.
read, write = os.pipe()
child = os.fork()
if child == 0:
    assert encode(pool, mine) == before
    pool[mine].number = 8
    pool[mine].metadata["a"] = 2
    pool.release(use())
    pool.note_received_many([mine], [1], 1.0)
    assert pool.column("number", [mine]).tolist() == [8]
    os.read(read, 1)
    # The parent has released and written by now.
    assert (pool[mine].number, pool[mine].received) == (8, 1)
    assert (pool[mine].metadata["a"], pool[mine].retained_payloads()) == (2, (LONG,))
    pool.trim()
    pool.release(mine)
    assert (len(pool), store.stats().references, len(payloads)) == (0, 0, 0)
    os._exit(0)
finish.set()
thread.join()
assert encode(pool, mine) == before
pool.release(mine)
other = use()
assert pool[other].number == 7
os.write(write, b"x")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert pool[other].number == 7
pool.release(other)
assert (len(pool), store.stats().references, len(payloads)) == (0, 0, 0)
print("parent and child are well")
"""


def test_a_fork_leaves_parent_and_child_with_a_pool() -> None:
    """A child waits for no thread it does not have, and neither sees what the other writes."""
    done = subprocess.run(
        [sys.executable, *MAY_FORK, "-c", FORK],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ("parent and child are well\n", "", 0) == (done.stdout, done.stderr, done.returncode)


FORK_WITHIN = """
import os, signal
from memopt_cli.optimizer import StatePool

signal.alarm(60)
pool = StatePool()
with pool._lock:
    child = os.fork()
    handle = pool.acquire()
pool.release(handle)
assert len(pool) == 0
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print("both are well")
"""


def test_a_fork_within_the_lock_keeps_it_with_its_holder() -> None:
    """The thread that forks in the middle of something finishes it, in both processes."""
    done = subprocess.run(
        [sys.executable, "-c", FORK_WITHIN],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ("both are well\n", "", 0) == (done.stdout, done.stderr, done.returncode)
