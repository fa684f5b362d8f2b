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

import _signal  # type: ignore[import-not-found, unused-ignore]
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
_FORK_WARNS_OF_THREADS = (3, 12)
_UNTRACKED_MAPS = (3, 13)
_ABOVE_PROGRAM = 200
_STACK_BYTES = 256 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


class Refused(Exception):
    """What was asked for is not done in this program; the text says why."""


class Ring:
    """One process's shared memory, created and filled with zeros."""

    def __init__(self, folder: str) -> None:
        now = time.monotonic_ns()
        path = "%s/%d-%d.ring" % (folder, os.getpid(), now)  # noqa: UP031 - the cheapest
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, SIZE_BYTES)
            self.area, self._kept = _mapped(descriptor)
            self._inode = os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)
        self.area[:RECORDED_BYTES] = bytes(RECORDED_BYTES)
        self.words = memoryview(self.area).cast("Q")
        self.words[PID], self.words[INSTALLED_NS] = os.getpid(), now

    def leave(self) -> None:
        """
        Unmap, unless the map's descriptor was closed and its number belongs to the program.

        The map would close that; it is then kept, which costs nothing but addresses.
        """
        try:
            own = self._kept < 0 or os.fstat(self._kept).st_ino == self._inode
        except OSError:
            own = False
        if own:
            self.words.release()
            self.area.close()
        else:
            _left.append(self.area)

    def reply(self, number: int, status: int, text: bytes) -> None:
        """Publish the answer to a request; the number last, so that none is read half written."""
        self.area[REPLY_AT : REPLY_AT + len(text)] = text
        self.words[REPLY_LENGTH], self.words[REPLY_STATUS] = len(text), status
        self.words[ANSWERED] = number

    def request(self) -> list[str]:
        """Return the words of the last request."""
        length = self.words[REQUEST_LENGTH]
        return self.area[REQUEST_AT : REQUEST_AT + length].decode().split()


_left: list[mmap.mmap] = []


def _mapped(descriptor: int) -> tuple[mmap.mmap, int]:
    """
    Map the file without taking one of the low descriptors, which programs count on.

    Returns the map, and the descriptor that it keeps, or -1.

    Before 3.13 a map keeps a copy of its descriptor, at the lowest free number;
    the numbers below `_ABOVE_PROGRAM` are therefore taken while it is made.
    """
    if sys.version_info >= _UNTRACKED_MAPS:
        return mmap.mmap(descriptor, SIZE_BYTES, trackfd=False), -1  # type: ignore[call-arg, unused-ignore]
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
        self._callback = pause_callback(self.ring.words)
        gc.callbacks.append(self._callback)
        self.busy = _thread.allocate_lock()
        """Held while the agent works on an answer: a fork must not happen then."""

        self.leave = _thread.allocate_lock()
        """Held while the thread shall stay."""

        self._left = _thread.allocate_lock()
        self._collects = True
        self._was_free = False
        self._interval_s = 0.0
        self.listen()
        self.ring.words[IS_MAGIC] = MAGIC

    def listen(self) -> None:
        """Start the thread; it takes no signal, and is unknown to `threading`."""
        self.leave.acquire(False)
        self._left.acquire(False)
        kept = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        size = _thread.stack_size(_STACK_BYTES)
        try:
            _thread.start_new_thread(self._serve, ())
            self.ring.words[LISTENING] = 1
        except RuntimeError:
            self.ring.words[LISTENING] = 0
        finally:
            _thread.stack_size(size)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, kept)

    def stop_listening(self, within_s: float = 2.0) -> None:
        """End the thread, and wait until the kernel has forgotten it, within limits."""
        if not self.ring.words[LISTENING]:
            return
        threads = _threads()
        self.leave.release()
        self._left.acquire(True, within_s)
        self.ring.words[LISTENING] = 0
        for _ in range(200):
            if _threads() < threads:
                break
            time.sleep(50e-6)

    def _serve(self) -> None:
        # Bound here: at the interpreter's end, module globals are gone before this thread is.
        ring, leave, answer = self.ring, self.leave, self._answer
        threads, hurry, be_patient = _thread._count, self._hurry, self._be_patient  # noqa: SLF001
        seen = 0
        while not leave.acquire(True, LOOK_EVERY_S):
            number = ring.words[REQUESTED]
            if number != seen:
                seen = number
                if number != ring.words[ANSWERED]:
                    hurry()
                    ring.reply(number, *answer(ring.request()))
            # Where the program has threads, the interval is theirs.
            (hurry if threads() == 1 else be_patient)()
        be_patient()
        self._left.release()

    def _hurry(self) -> None:
        interval_s = sys.getswitchinterval()
        if round(interval_s / _MICROSECOND) > HURRIED_US:
            self._interval_s = interval_s
            # A little more, so that it is not cut to one less.
            sys.setswitchinterval((HURRIED_US + 0.5) * _MICROSECOND)

    def _be_patient(self) -> None:
        """Return to the program's own interval, unless it has set another one since."""
        if self._interval_s and round(sys.getswitchinterval() / _MICROSECOND) == HURRIED_US:
            sys.setswitchinterval(self._interval_s)

    def _answer(self, request: list[str]) -> tuple[int, bytes]:
        try:
            self.work()
            try:
                text = repr(_loaded("memopt_answers").answer(self, request)).encode()
            finally:
                self.rest()
        except Refused as exc:
            return REFUSED, str(exc).encode()
        except Exception as exc:  # noqa: BLE001 - it is told to the watcher, not to the program
            return FAILED, repr(exc).encode()[:REPLY_BYTES]
        if len(text) > REPLY_BYTES:
            return FAILED, b"the answer is too long"
        return 0, text

    def work(self) -> None:
        """
        Hold off forks, and collections: a collection here would run the program's finalisers.

        They would run in a thread that the program does not know.
        """
        self.busy.acquire()
        self._collects = gc.isenabled()
        gc.disable()

    def rest(self) -> None:
        """Let the program fork and collect again."""
        if self._collects:
            gc.enable()
        self.busy.release()

    def before_fork(self) -> None:
        """Let no fork happen inside an import or a half-done answer."""
        self._was_free = self.busy.acquire(True, 5.0)
        if sys.version_info >= _FORK_WARNS_OF_THREADS:
            if self._was_free:
                self.busy.release()
                self._was_free = False
            self.stop_listening()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        if self._was_free:
            self.busy.release()
        if sys.version_info >= _FORK_WARNS_OF_THREADS and not self.ring.words[LISTENING]:
            self.listen()

    def abandon(self) -> None:
        """Leave the ring, which belongs to the process that forked this one."""
        if self.busy.locked() and not self._was_free and self._collects:
            gc.enable()
        gc.callbacks.remove(self._callback)
        if "memopt_tracing" in sys.modules:
            sys.modules["memopt_tracing"].end()
        self._be_patient()
        self.ring.leave()


def _threads() -> int:
    return os.stat("/proc/self/task").st_nlink  # noqa: PTH116 - pathlib is not loaded


_agent: Agent | None = None
_folder = ""


def install(folder: str) -> None:
    """Begin in this process, and in each that it forks; does nothing without a folder."""
    global _agent, _folder  # noqa: PLW0603
    if _agent is not None or not folder:
        return
    _folder = folder
    _agent = Agent(folder)
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )


def _before_fork() -> None:
    if _agent is not None:
        _agent.before_fork()


def _after_fork_in_parent() -> None:
    if _agent is not None:
        _agent.after_fork_in_parent()


def _after_fork() -> None:
    global _agent  # noqa: PLW0603
    left, _agent = _agent, None
    try:
        if left is not None:
            left.abandon()
        _agent = Agent(_folder)
    except Exception:  # noqa: BLE001, S110 - without a ring the child is "not measured"
        pass


def _loaded(name: str) -> ModuleType:
    """Return a module of this folder, which is not on the program's path."""
    if name not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location(name, "%s/%s.py" % (_HERE, name))  # noqa: UP031
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
