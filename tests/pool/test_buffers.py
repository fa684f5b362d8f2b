"""Buffers come in size classes and go back to them."""

from __future__ import annotations

from contextlib import suppress

import pytest

from memopt_cli.errors import ForeignHandle, PoolError, StaleHandle
from memopt_cli.pool import Buffer, BufferPool, PoolStats

KIB = 1024


def test_a_buffer_returns_to_its_pool() -> None:
    """The memory that was released is the memory handed out next."""
    pool = BufferPool()
    first = pool.acquire()
    memory = first.view.obj
    pool.release(first)

    second = pool.acquire()

    assert memory is second.view.obj
    assert (pool.stats().created, pool.stats().reused) == (1, 1)


def test_the_default_is_64_kib() -> None:
    """Without a size the view has 64 KiB."""
    assert len(BufferPool().acquire().view) == 64 * KIB


@pytest.mark.parametrize(
    ("size", "capacity"),
    [
        (1, 4 * KIB),
        (4 * KIB, 4 * KIB),
        (4 * KIB + 1, 16 * KIB),
        (256 * KIB, 256 * KIB),
        (1024 * KIB, 1024 * KIB),
        (1024 * KIB + 1, 1024 * KIB + 1),
    ],
)
def test_a_request_gets_the_next_class(size: int, capacity: int) -> None:
    """The view is exactly as long as asked, the capacity that of its class."""
    buffer = BufferPool().acquire(size)

    assert (size, capacity) == (len(buffer.view), buffer.capacity_bytes)
    assert isinstance(buffer.view.obj, bytearray)
    assert capacity == len(buffer.view.obj)


def test_150_cycles_from_100_buffers_allocate_nothing() -> None:
    """What was preallocated is enough."""
    pool = BufferPool(size=100)

    for _ in range(150):
        pool.release(pool.acquire())

    stats = pool.stats()
    assert (
        stats.allocated,
        stats.available,
        stats.created,
        stats.reused,
    ) == (100, 100, 100, 50)


def test_an_oversize_request_destroys_no_pooled_buffer() -> None:
    """It gets a buffer of its own, which is let go on release."""
    pool = BufferPool(size=3)
    before = pool.info()

    buffer = pool.acquire(5 * 1024 * KIB)
    assert len(buffer.view) == 5 * 1024 * KIB
    pool.release(buffer)

    assert before == pool.info()
    assert PoolStats(allocated=1, created=1, dropped=1) == pool.oversize_stats()


def test_idle_buffers_are_bounded_per_class() -> None:
    """Each class keeps at most as many idle buffers as it may."""
    pool = BufferPool(max_per_class=2)

    for buffer in [pool.acquire(KIB) for _ in range(5)] + [pool.acquire() for _ in range(5)]:
        pool.release(buffer)

    idle = {capacity: info.stats.available for capacity, info in pool.info().items()}
    assert idle == {4 * KIB: 2, 16 * KIB: 0, 64 * KIB: 2, 256 * KIB: 0, 1024 * KIB: 0}


def test_the_view_is_invalid_after_the_release() -> None:
    """A holder that keeps the view cannot read the next one's bytes."""
    pool = BufferPool()
    buffer = pool.acquire()

    pool.release(buffer)

    with pytest.raises(ValueError, match="released memoryview"):
        buffer.view[0]


@pytest.mark.parametrize("size", [100, 3 * 1024 * KIB])
def test_a_second_release_is_stale(size: int) -> None:
    """Releasing twice is refused, pooled or oversize, and changes no counter."""
    pool = BufferPool()
    buffer = pool.acquire(size)
    pool.release(buffer)
    before = pool.stats()

    with pytest.raises(StaleHandle):
        pool.release(buffer)

    assert before == pool.stats()


@pytest.mark.parametrize("size", [100, 3 * 1024 * KIB])
def test_a_buffer_of_another_pool_is_foreign(size: int) -> None:
    """It is refused, and its view stays valid for its holder."""
    pool, other = BufferPool(), BufferPool()
    buffer = other.acquire(size)

    with pytest.raises(ForeignHandle):
        pool.release(buffer)

    assert size == len(buffer.view)
    assert PoolStats() == pool.stats()


def test_garbage_is_foreign() -> None:
    """What is no buffer is refused."""
    with pytest.raises(ForeignHandle, match="type int is no buffer"):
        BufferPool().release(7)  # type: ignore[arg-type] # refused: that is tested


def test_a_lease_ends_with_its_block() -> None:
    """The view has the size asked for, and is invalid when the `with` has ended."""
    pool = BufferPool()

    with suppress(ZeroDivisionError), pool.lease(10) as view:
        assert len(view) == 10
        raise ZeroDivisionError

    with pytest.raises(ValueError, match="released memoryview"):
        bytes(view)
    assert pool.stats().available == 1


def test_a_buffer_that_is_still_viewed_is_not_handed_out() -> None:
    """A part of the view that its holder kept stays the holder's."""
    pool = BufferPool()

    with pool.lease(10) as view:
        view[:5] = b"hello"
        part = view[:5]
    with pool.lease(10) as other:
        other[:5] = b"world"

    assert part.tobytes() == b"hello"
    assert (pool.stats().discarded, pool.stats().available, pool.stats().allocated) == (1, 1, 2)


def test_a_buffer_exported_elsewhere_is_not_handed_out() -> None:
    """A view that cannot be released because something reads from it discards the buffer."""
    pool = BufferPool()
    buffer = pool.acquire(8)
    exported = memoryview(buffer.view)

    pool.release(buffer)

    assert pool.stats().discarded == 1
    assert len(exported) == 8


@pytest.mark.parametrize(("zero", "expected"), [(False, b"secret"), (True, bytes(6))])
def test_zero_clears_what_the_last_holder_wrote(zero: bool, expected: bytes) -> None:
    """Without it the old bytes are still there, as documented."""
    pool = BufferPool(zero=zero)
    with pool.lease(6) as view:
        view[:] = b"secret"

    with pool.lease(6) as view:
        assert expected == view.tobytes()


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_of_nothing_is_refused(size: int) -> None:
    """A size below one byte is an error with a hint."""
    with pytest.raises(PoolError, match="a buffer of") as caught:
        BufferPool().acquire(size)

    assert caught.value.hint == "Ask for 1 B or more."


def test_classes_that_fit_nothing_are_refused() -> None:
    """The default size must be in a class, and classes must hold something."""
    with pytest.raises(PoolError, match="in no class"):
        BufferPool(classes=(4 * KIB,))
    with pytest.raises(PoolError, match="size classes are"):
        BufferPool(classes=(0, 4 * KIB))


def test_bounds_change_in_all_classes_at_once() -> None:
    """A smaller maximum drops idle buffers of every class, and is visible."""
    pool = BufferPool()
    for size in (KIB, 64 * KIB):
        for buffer in [pool.acquire(size) for _ in range(5)]:
            pool.release(buffer)

    pool.configure(max_per_class=2)

    info = pool.info()
    assert {2} == {each.max_size for each in info.values()}
    assert (2, 2) == (info[4 * KIB].stats.available, info[64 * KIB].stats.available)


def test_a_size_is_reached_in_the_default_class() -> None:
    """Growing makes buffers, shrinking drops them, and only where the default is."""
    pool = BufferPool(size=2)
    lent = pool.acquire()

    pool.configure(size=5)
    assert (5, 5, 4) == totals(pool)
    pool.configure(size=1)
    assert (1, 1, 0) == totals(pool)

    assert len(lent.view) == 64 * KIB
    assert pool.stats().total == 1


def totals(pool: BufferPool) -> tuple[int, int, int]:
    """Return size, live and idle buffers of the default class."""
    info = pool.info()[64 * KIB]
    return info.size, info.stats.total, info.stats.available


def test_zero_holds_from_the_moment_it_is_set() -> None:
    """Idle buffers that nobody cleared are let go, one in use is cleared when it comes back."""
    pool = BufferPool(default_size=6, classes=(6,), size=2)
    idle, lent = pool.acquire(), pool.acquire()
    idle.view[:] = lent.view[:] = b"secret"
    pool.release(idle)

    pool.configure(zero=True)
    pool.release(lent)

    assert PoolStats(available=2, allocated=3, created=2, dropped=1) == pool.stats()
    assert [bytes(6)] * 2 == [pool.acquire().view.tobytes() for _ in range(2)]


def test_zero_can_be_switched_off() -> None:
    """From then on the old bytes stay, as documented, and no buffer is let go."""
    pool = BufferPool(default_size=6, classes=(6,), zero=True)
    pool.release(pool.acquire())

    pool.configure(zero=False)
    with pool.lease(6) as view:
        view[:] = b"secret"

    with pool.lease(6) as view:
        assert view.tobytes() == b"secret"
    assert pool.stats().allocated == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 9}, "size 9 is above max_per_class 8"),
        ({"max_per_class": 3}, "size 4 is above max_per_class 3"),
        ({"size": -1}, "size is -1"),
        ({"max_per_class": -1, "zero": True}, "max_per_class is -1"),
    ],
)
def test_impossible_settings_change_nothing(change: dict[str, int], message: str) -> None:
    """Bounds that contradict each other are refused with a hint, in the words of this pool."""
    pool = BufferPool(size=4, max_per_class=8)
    before = pool.info()

    with pytest.raises(PoolError, match=message) as caught:
        pool.configure(**change)  # type: ignore[arg-type] # of the test's own

    assert caught.value.hint
    assert before == pool.info()
    assert not pool._zero


def test_an_unknown_setting_is_an_error() -> None:
    """A misspelled setting is refused, not ignored."""
    with pytest.raises(TypeError, match="max_size"):
        BufferPool().configure(max_size=3)  # type: ignore[call-arg] # refused: that is tested


def test_a_forged_buffer_is_foreign() -> None:
    """One that was put together by hand is refused, and changes nothing."""
    pool = BufferPool()
    lent = pool.acquire()
    before = pool.stats()

    for handle in (lent.handle + 1, -1, "x"):
        with pytest.raises(ForeignHandle):
            pool.release(Buffer(handle, lent.capacity_bytes, lent.view))  # type: ignore[arg-type] # refused: that is tested

    assert before == pool.stats()
    assert len(lent.view) == 64 * KIB


def test_a_buffer_equals_itself_only() -> None:
    """Equal bytes do not make two buffers one, and each can be the key of a dict."""
    pool = BufferPool()
    first, second = pool.acquire(), pool.acquire()

    assert first == first  # noqa: PLR0124 - that is the question
    assert first != second
    assert {first: 1, second: 2} == {second: 2, first: 1}


def test_a_buffer_is_a_plain_value() -> None:
    """Nothing of a buffer in use can be changed by accident."""
    buffer = BufferPool().acquire()

    with pytest.raises(AttributeError):
        buffer.handle = 3  # type: ignore[misc] # read-only: that is tested
    assert isinstance(buffer, Buffer)
