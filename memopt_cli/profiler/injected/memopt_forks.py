"""What an agent does about a fork of its program; loaded with the first one."""

from __future__ import annotations

import gc
import os
import sys
import time

TYPE_CHECKING = False  # type checkers take the name for typing's, which costs an import
if TYPE_CHECKING:
    import mmap

    from memopt_cli.profiler.injected import memopt_agent

# From 3.12 on a fork warns if there are threads. 3.12 counts them before the parent's hooks
# run, and 3.13 after them: there no thread that goes on listening escapes the count.
_STOPS = sys.version_info[:2] == (3, 12)
_STOP_WITHIN_S = 2.0


def before(agent: memopt_agent.Agent) -> None:
    """Let no fork happen inside an import or a half-done answer."""
    agent.was_free = agent.busy.acquire(True, 5.0)
    if _STOPS:
        if agent.was_free:
            agent.busy.release()
            agent.was_free = False
        _stop_listening(agent)


def after_in_parent(agent: memopt_agent.Agent) -> None:
    """Go on as before."""
    if agent.was_free:
        agent.was_free = False
        agent.busy.release()
    if agent.stopped:
        agent.stopped = False
        agent.listen()


def abandon(agent: memopt_agent.Agent) -> None:
    """Leave the ring, which belongs to the process that forked this one."""
    if agent.busy.locked() and not agent.was_free and agent.collects:
        gc.enable()
    if "memopt_tracing" in sys.modules:
        sys.modules["memopt_tracing"].end()
    agent.be_patient()
    _leave(agent.ring)


def _leave(ring: memopt_agent.Ring) -> None:
    """
    Unmap, unless the map's descriptor was closed and its number belongs to the program.

    The map would close that; it is then kept, which costs nothing but addresses.
    """
    try:
        own = ring.kept < 0 or os.fstat(ring.kept).st_ino == ring.inode
    except OSError:
        own = False
    if own:
        ring.words.release()
        ring.area.close()
    else:
        _left.append(ring.area)


_left: list[mmap.mmap] = []


def _stop_listening(agent: memopt_agent.Agent) -> None:
    """
    End the thread, and wait until the kernel has forgotten it, within limits.

    For the watcher it listens still: what is asked meanwhile is answered after the fork.
    """
    if not agent.ring.words[sys.modules["memopt_agent"].LISTENING]:
        return
    threads = _threads()
    agent.leave.release()
    agent.stopped = True
    agent.left.acquire(True, _STOP_WITHIN_S)
    for _ in range(200):
        if _threads() < threads:
            break
        time.sleep(50e-6)


def _threads() -> int:
    return os.stat("/proc/self/task").st_nlink
