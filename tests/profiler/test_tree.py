"""Who belongs to a target: children, their children, and those that left the family."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from memopt_cli.profiler.injection import Session
from memopt_cli.profiler.tree import LONGEST_COMMAND, Living, Tree, command_line, living

if TYPE_CHECKING:
    from tests.profiler.conftest import Start

FAMILY = """
import os, subprocess
sleep = [sys.executable, '-c', 'import time; time.sleep(60)']
child = subprocess.Popen(['sh', '-c', '"$@" & echo $!; wait', 'sh', *sleep],
    stdout=subprocess.PIPE, text=True)
grandchild = int(child.stdout.readline())
ready(f'{child.pid} {grandchild}')
child.kill(); child.wait()
ready()
os.kill(grandchild, 9)
ready()
"""

DAEMON = """
import os, time
down, up = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(up, str(os.getpid()).encode())
        os.close(up)
        for each in (0, 1, 2): os.close(each)
        time.sleep(60)
    os._exit(0)
os.wait()
ready(os.read(down, 20).decode())
"""


def _pids(tree: Tree) -> list[int]:
    return [each.pid for each in tree.look(thoroughly=True)]


def test_descendants_are_followed_and_stay_when_their_parent_ends(start: Start) -> None:
    """A grandchild that is given to another parent is known still; the dead are not."""
    child = start(FAMILY)
    first, second = map(int, child.said().split())
    target = living(child.pid)
    assert target is not None
    tree = Tree(target)
    assert [child.pid, first, second] == _pids(tree)

    child.step()
    assert [child.pid, second] == _pids(tree)

    child.step()
    until_s = time.monotonic() + 30
    while second in _pids(tree) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert [child.pid] == _pids(tree)


def test_a_daemon_is_known_by_the_sessions_folder(start: Start) -> None:
    """Forked twice before anybody looked, it is no descendant; its environment tells."""
    with Session() as session:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in session.environment(os.environ).items():
                patch.setenv(name, value)
            child = start(DAEMON)
        daemon = int(child.said())
        target = living(child.pid)
        assert target is not None

        assert [child.pid] == _pids(Tree(target))
        assert [child.pid, daemon] == _pids(Tree(target, folder=session.folder))
        os.kill(daemon, 9)


def test_a_number_that_is_used_again_is_another_process(start: Start) -> None:
    """The same pid with another start is not the target."""
    child = start("ready()")
    child.said()
    found = living(child.pid)
    assert found is not None

    assert () == Tree(Living(child.pid, found.began_ticks - 1, found.parent_pid)).look()


def test_passes_are_rare_where_they_are_dear_and_the_known_are_looked_at(start: Start) -> None:
    """After a pass of two seconds, none for 200; a target that ended is noticed all the same."""
    now_s, cpu_s = iter([0.0, 199.0, 199.5]), iter([5.0, 7.0])
    child = start(
        "import subprocess\nready()\nchild = subprocess.Popen(['sleep', '60'])\nready(child.pid)"
    )
    child.said()
    target = living(child.pid)
    assert target is not None
    tree = Tree(target, clock=lambda: next(now_s), cpu=lambda: next(cpu_s))
    assert 1 == len(tree.look())

    second = int(child.step())
    assert 1 == len(tree.look())
    child.process.kill()
    child.process.wait()
    assert () == tree.look()
    os.kill(second, 9)


def test_a_process_that_waits_to_be_reaped_is_gone(start: Start) -> None:
    """A zombie has a number, and nothing else."""
    child = start("import os\npid = os.fork()\nif not pid: os._exit(0)\nready(pid)")
    zombie = int(child.said())
    until_s = time.monotonic() + 30
    while living(zombie) is not None and time.monotonic() < until_s:
        time.sleep(0.01)

    assert living(zombie) is None


def test_a_command_line_is_shortened(start: Start) -> None:
    """It is one line, whatever a script holds."""
    child = start("ready()" + "\n" * 10 + "# " + "x" * 500)
    child.said()

    text = command_line(child.pid)

    assert LONGEST_COMMAND == len(text)
    assert text.startswith(f"{sys.executable} -c import sys def ready")
    assert "" == command_line(2**22 + 1)
