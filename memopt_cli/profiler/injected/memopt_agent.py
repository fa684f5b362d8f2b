"""
The agent in a watched program: records collection pauses, and answers on request.

All it has to tell is in one file of shared memory per process, which the watcher
reads while the program runs and after it was killed. The agent keeps no
descriptor that the program could meet, prints nothing, and wakes once a second
to look for a request.

Layout: unsigned 64-bit words (the constants below), a ring of `RING` pauses of
two words (start in ns of CLOCK_MONOTONIC; duration in ns << 8 | generation), one
page for the text of a request, and the text of the reply.
"""

from __future__ import annotations

import _signal
import _thread
import gc
import mmap
import os
import sys
import time
from time import perf_counter_ns

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

MAGIC = 0x6D656D6F70743032
GENERATIONS = 3
RING = 2048
FIRST_PAUSE = 64
RECORDED_BYTES = 36864
"""Header and ring, in whole pages; resident from the start, so that they cannot seem to grow."""

REQUEST_AT, REQUEST_BYTES = RECORDED_BYTES, 4096
REPLY_AT, REPLY_BYTES = REQUEST_AT + REQUEST_BYTES, 1 << 18
SIZE_BYTES = REPLY_AT + REPLY_BYTES

IS_MAGIC, PID, INSTALLED_NS, WRITTEN, STARTED = range(5)
TOTALS = 8
"""Count, sum and maximum in ns, per generation: exact, whatever the ring has lost."""

REQUESTED, REQUEST_LENGTH, ANSWERED, REPLY_LENGTH, REPLY_STATUS, LISTENING = range(32, 38)
"""Numbers of the last request and reply, sizes of their texts, the status, 1 for a thread."""

REFUSED, FAILED = 1, 2

SPARE_BYTES = 16 << 20
"""With less room left in the folder's file system, nothing is written: it is shared memory."""

LOOK_EVERY_S = 1.0
HURRIED_US = 100
"""
The switch interval in microseconds while nobody but the agent waits for the interpreter's lock.

A thread that waits asks for the lock after one interval in which nobody let it go. A
program that lets it go for a microsecond every few milliseconds, as a quick system
call does, takes it back before the waiting thread has woken, and that thread never
asks: with the usual 5 ms the agent was kept waiting for longer than 30 s.
"""

_MICROSECOND = 1e-6
_ABOVE_PROGRAM = 200
_STACK_BYTES = 256 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__))


class Refused(Exception):
    """What was asked for is not done in this program; the text says why."""


class Ring:
    """One process's shared memory, created and filled with zeros."""

    def __init__(self, folder: str) -> None:
        now = time.monotonic_ns()
        path = f"{folder}/{os.getpid()}-{now}.ring"
        self._folder = folder
        if not self.has_room():
            raise OSError("there is no room for another ring")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, SIZE_BYTES)
            # In a full file system, the first touch of a page would end the program.
            os.posix_fallocate(descriptor, 0, REPLY_AT)
            self.area, self.kept = _mapped(descriptor)
            self.inode = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        self.area[:RECORDED_BYTES] = bytes(RECORDED_BYTES)
        self.words = memoryview(self.area).cast("Q")
        self.words[PID], self.words[INSTALLED_NS] = os.getpid(), now

    def has_room(self) -> bool:
        """Return whether the file system of the folder may be written to."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize >= SPARE_BYTES


def _mapped(descriptor: int) -> tuple[mmap.mmap, int]:
    """
    Map the file without taking one of the low descriptors, which programs count on.

    Returns the map, and the descriptor that it keeps, or -1.

    Before 3.13 a map keeps a copy of its descriptor, at the lowest free number;
    the numbers below `_ABOVE_PROGRAM` are therefore taken while it is made.
    """
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, SIZE_BYTES, trackfd=False), -1
    taken: list[int] = []
    try:
        while not taken or taken[-1] < _ABOVE_PROGRAM:
            taken.append(os.dup(descriptor))
        kept = os.dup(descriptor)
        os.close(kept)
        return mmap.mmap(descriptor, SIZE_BYTES), kept
    finally:
        for each in taken:
            os.close(each)


def pause_callback(words: memoryview) -> Callable[[str, dict[str, Any]], None]:
    """Return the callback for `gc.callbacks`; all it needs is bound as defaults."""

    def on_collection(
        phase: str,
        info: dict[str, Any],
        words: memoryview = words,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        if phase == "start":
            words[STARTED] = clock()
            return
        started = words[STARTED]
        if not started:
            return
        took = clock() - started
        generation = info["generation"]
        written = words[WRITTEN]
        at = FIRST_PAUSE + 2 * (written % RING)
        words[at] = started
        words[at + 1] = took << 8 | generation
        totals = TOTALS + 3 * generation
        words[totals] += 1
        words[totals + 1] += took
        words[totals + 2] = max(words[totals + 2], took)
        # Last, so that a reader never counts a pause that is half written.
        words[WRITTEN] = written + 1

    return on_collection


class Agent:
    """What is installed in one process: a ring, a callback, and a thread that listens."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.ring = Ring(folder)
        self.callback = pause_callback(self.ring.words)
        gc.callbacks.append(self.callback)
        self.busy = _thread.allocate_lock()
        """Held while the agent works on an answer: a fork must not happen then."""

        self.leave = _thread.allocate_lock()
        """Held while the thread shall stay."""

        self.left = _thread.allocate_lock()
        self.collects = True
        self.was_free = False
        self.stopped = False
        """Whether the thread was ended for a fork and has to be started again."""

        self._interval_s = 0.0
        self.listen()
        self.ring.words[IS_MAGIC] = MAGIC

    def listen(self) -> None:
        """Start the thread; it takes no signal, and is unknown to `threading`."""
        self.leave.acquire(False)
        self.left.acquire(False)
        if not _thread._count():  # noqa: SLF001 - threads besides the first
            self._hurry()  # here already: the thread itself may be kept waiting for its first look
        self.ring.words[LISTENING] = self._begin_thread(0)

    def _begin_thread(self, seen: int) -> bool:
        kept = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        size = _thread.stack_size(_STACK_BYTES)
        try:
            _thread.start_new_thread(self._serve, (seen,))
        except RuntimeError:
            return False
        else:
            return True
        finally:
            _thread.stack_size(size)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, kept)

    def _serve(self, seen: int) -> None:
        # Bound here: at the interpreter's end, module globals are gone before this thread is.
        ring, leave, answer = self.ring, self.leave, self._answer
        threads, hurry, be_patient = _thread._count, self._hurry, self.be_patient  # noqa: SLF001 - as in `listen`
        # At once: the thread is begun anew with each fork of 3.12, which may come oftener.
        look_in_s = 0.0
        while not leave.acquire(True, look_in_s):
            look_in_s = LOOK_EVERY_S
            number = ring.words[REQUESTED]
            if number != seen:
                seen = number
                if number != ring.words[ANSWERED]:
                    hurry()
                    # Malloc keeps 3 KB per window for a thread, as if they were in use.
                    if answer(number) and self._begin_thread(number):
                        return
            # Where the program has threads, the interval is theirs.
            (hurry if threads() == 1 else be_patient)()
        be_patient()
        self.left.release()

    def _hurry(self) -> None:
        interval_s = sys.getswitchinterval()
        if round(interval_s / _MICROSECOND) > HURRIED_US:
            self._interval_s = interval_s
            # A little more, so that it is not cut to one less.
            sys.setswitchinterval((HURRIED_US + 0.5) * _MICROSECOND)

    def be_patient(self) -> None:
        """Return to the program's own interval, unless it has set another one since."""
        if self._interval_s and round(sys.getswitchinterval() / _MICROSECOND) == HURRIED_US:
            sys.setswitchinterval(self._interval_s)

    def _answer(self, number: int) -> bool:
        """Answer a request; return whether it was a large one."""
        try:
            with self.busy:  # no fork in the middle of an import
                respond = _loaded("memopt_answers").respond
            return bool(respond(self, number))
        except Exception:  # noqa: BLE001 - the watcher gets no answer; the program runs on
            return False

    def work(self) -> None:
        """Hold off forks, and collections, which would run finalisers in a strange thread."""
        self.busy.acquire()
        self.collects = gc.isenabled()
        gc.disable()

    def rest(self) -> None:
        """Let the program fork and collect again."""
        if self.collects:
            gc.enable()
        self.busy.release()


_agent: Agent | None = None
_folder = ""


def install(folder: str) -> None:
    """Begin in this process, and in each that it forks; does nothing without a folder."""
    global _agent, _folder
    if _agent is not None or not folder:
        return
    _folder = folder
    _agent = Agent(folder)
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )


def _before_fork() -> None:
    # What a fork needs is loaded with the first of them: most programs never fork.
    if _agent is not None:
        try:
            _loaded("memopt_forks").before(_agent)
        except Exception:  # noqa: BLE001, S110 - the child has no agent then, see below
            pass


def _after_fork_in_parent() -> None:
    if _agent is not None and "memopt_forks" in sys.modules:
        sys.modules["memopt_forks"].after_in_parent(_agent)


def _after_fork() -> None:
    global _agent
    left, _agent = _agent, None
    try:
        if left is not None:
            gc.callbacks.remove(left.callback)
            sys.modules["memopt_forks"].abandon(left)
        _agent = Agent(_folder)
    except Exception:  # noqa: BLE001, S110 - without a ring the child is "not measured"
        pass


def _loaded(name: str) -> ModuleType:
    """Return a module of this folder, which is not on the program's path."""
    if name not in sys.modules:
        # What importlib.util leads to, which would have to be loaded first.
        from _frozen_importlib import module_from_spec
        from _frozen_importlib_external import spec_from_file_location

        spec = spec_from_file_location(name, f"{_HERE}/{name}.py")
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
