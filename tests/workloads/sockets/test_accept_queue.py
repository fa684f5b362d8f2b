"""The queues of connections that nobody has accepted are read from the kernel."""

from __future__ import annotations

import socket

from memopt_cli.workloads.sockets.accept_queue import AcceptQueues, Room
from tests.workloads.sockets.serving import listening


def test_a_queue_is_read() -> None:
    """Three connections wait in a queue of ten, among the queues of all programs."""
    with listening(10) as listener, AcceptQueues() as queues:
        ends = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
        found = [queue[1:] for queue in queues.read() if queue.port == listener.port]
        assert [(3, 10)] == found
        alone, one_of_five = Room({listener.port}, 1), Room({listener.port}, 5)
        assert (2, 0) == (alone.left(), one_of_five.left())
        listener.accept(3)
        assert (5, 1) == (alone.left(), one_of_five.left())
        for end in ends:
            end.close()
        alone.close()
        one_of_five.close()


def test_the_fullest_queue_decides() -> None:
    """Whom a connection comes to is the kernel's choice: two of five are left in each of two."""
    with listening(10) as one, listening(10) as other:
        ends = [socket.create_connection(("127.0.0.1", other.port)) for _ in range(3)]
        room = Room({one.port, other.port}, 1)
        assert 2 + 2 == room.left()
        room.close()
        for end in ends:
            end.close()


def test_the_smallest_backlog_lets_one_in() -> None:
    """Half of nothing would be a wait for ever; one that waits already is enough."""
    with listening(0) as listener:
        room = Room({listener.port}, 7)
        assert 1 == room.left()
        with socket.create_connection(("127.0.0.1", listener.port)):
            assert 0 == room.left()
        room.close()


def test_what_cannot_be_seen_is_not_guarded() -> None:
    """No such port on this machine, or none asked for: there is no figure."""
    with listening(1) as listener:
        port = listener.port
    rooms = Room({port}, 1), Room(set(), 1)
    assert [None, None] == [room.left() for room in rooms]
    for room in rooms:
        room.close()
