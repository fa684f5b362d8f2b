"""Blocks of an arena keep what was stored, are used again, and cost what they say."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import PoolError
from memopt_cli.optimizer import arena
from memopt_cli.optimizer.arena import (
    CHUNK_BYTES,
    GRAIN_BYTES,
    LARGEST_BLOCK_BYTES,
    NO_BLOCK,
    Arena,
)
from tests.optimizer.intruding import interrupted

LENGTHS = st.integers(1, LARGEST_BLOCK_BYTES + 40) | st.sampled_from([1, 16, 17, 512, 513, 10**5])


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["store", "free", "overwrite"]), LENGTHS, st.integers(0, 99)),
        max_size=60,
    )
)
def test_an_arena_is_a_dict_of_bytes(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is stored, freed and overwritten, each block begins with its own content."""
    blocks, expected = Arena(), dict[int, bytes]()
    for number, (what, length, pick) in enumerate(steps):
        content = bytes([number + 1]) * length
        reference = list(expected)[pick % len(expected)] if expected else None
        if what == "store" or reference is None:
            reference = blocks.store(content)
            assert reference not in expected
            assert NO_BLOCK < reference < 1 << 32
            expected[reference] = content
        elif what == "free":
            blocks.free(reference)
            del expected[reference]
        elif blocks.overwrite(reference, content):
            expected[reference] = content

        assert len(expected) == blocks.blocks_in_use()
        for each, stored in expected.items():
            assert blocks.load(each).startswith(stored)


def test_a_block_is_overwritten_where_its_size_class_allows() -> None:
    """Another class, or no class, is refused and leaves the block as it was."""
    blocks = Arena()
    small, large = blocks.store(b"x" * 20), blocks.store(b"y" * 600)

    assert blocks.overwrite(small, b"z" * 32)
    assert (False, False) == (blocks.overwrite(small, b"z" * 33), blocks.overwrite(small, b"z"))
    assert (False, False) == (blocks.overwrite(large, b"z"), blocks.overwrite(large, b"z" * 600))

    assert (b"z" * 32, b"y" * 600) == (blocks.load(small), blocks.load(large))


def test_a_freed_block_is_the_next_of_its_size() -> None:
    """The latest first, and only for what has the same size class."""
    blocks = Arena()
    first, second, other = blocks.store(b"a" * 16), blocks.store(b"b" * 16), blocks.store(b"c" * 17)
    blocks.free(first)
    blocks.free(other)
    blocks.free(second)

    assert [second, first] == [blocks.store(b"d" * 9) for _ in range(2)]
    assert other == blocks.store(b"e" * 30)


def test_large_content_is_kept_as_it_is_and_given_up() -> None:
    """A place among the large ones is used again, and the object is let go."""
    blocks = Arena()
    reference = blocks.store(b"x" * 1000)
    blocks.free(reference)

    assert [None] == blocks._large
    assert reference == blocks.store(b"y" * 2000)


@pytest.mark.parametrize("size_bytes", [16, 48, 496, 512])
def test_a_class_takes_another_chunk_when_one_is_full(size_bytes: int) -> None:
    """Blocks on both sides of the border are apart, and in use again after they were freed."""
    blocks, random = Arena(), Random(1)
    count = CHUNK_BYTES // size_bytes * 2 + 1
    references = [
        blocks.store(number.to_bytes(4, "little").ljust(size_bytes, b"x"))
        for number in range(count)
    ]

    assert list(range(count)) == [
        int.from_bytes(blocks.load(reference)[:4], "little") for reference in references
    ]
    random.shuffle(references)
    for reference in references:
        blocks.free(reference)
    assert 0 == blocks.blocks_in_use()
    assert set(references) == {blocks.store(b"z" * size_bytes) for _ in range(count)}


@pytest.mark.parametrize(
    ("length", "block_bytes"), [(1, 16), (16, 16), (17, 32), (512, 512), (513, 513 + 33 + 8)]
)
def test_a_block_says_what_it_costs(length: int, block_bytes: int) -> None:
    """A multiple of the grain, or the object and its place in a list."""
    blocks = Arena()

    assert block_bytes == blocks.block_bytes(blocks.store(b"x" * length))
    assert 0 == LARGEST_BLOCK_BYTES % GRAIN_BYTES


def test_no_address_space_leaves_an_arena_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block that could not be stored is not counted, and the next one is."""
    blocks = Arena()

    def refuse(_: int) -> None:
        raise PoolError("no address space")

    with monkeypatch.context() as patch:
        patch.setattr(arena, "reserve", refuse)
        with pytest.raises(PoolError):
            blocks.store(b"x")

    assert 0 == blocks.blocks_in_use()
    assert b"y" == blocks.load(blocks.store(b"y"))[:1]


@pytest.mark.parametrize("length", [20, 600])
@pytest.mark.parametrize("act", ["store", "free"])
def test_a_finaliser_may_store_and_free(act: str, length: int) -> None:
    """Wherever it comes in between, no block is given out twice, and none is lost."""
    step, reached = 0, True
    while reached:
        step += 1
        blocks, stored = Arena(), dict[int, bytes]()
        first, second, third = (blocks.store(bytes([number]) * length) for number in (1, 2, 3))
        blocks.free(first)

        def store(number: int) -> None:
            """Store what nobody else does."""
            content = bytes([number]) * length
            stored[blocks.store(content)] = content  # noqa: B023 - called at once

        def intrude() -> None:
            """Store two and free one that was there before."""
            store(4)
            blocks.free(second)  # noqa: B023 - called at once
            store(5)
            store(6)

        actions = {"store": lambda: store(7), "free": lambda: blocks.free(third)}  # noqa: B023 - called at once
        reached = interrupted(actions[act], step, intrude)
        kept = int(act == "store") + int(not reached)
        assert len(stored) + kept == blocks.blocks_in_use()
        for reference, content in stored.items():
            assert blocks.load(reference).startswith(content)
        assert not stored.keys() & {blocks.store(b"x" * length) for _ in range(9)}
    assert step > 1


def test_a_finaliser_may_be_the_first_to_need_a_chunk() -> None:
    """The first block of a class, stored while another one is the first."""
    step, reached = 0, True
    while reached:
        step += 1
        blocks, stored = Arena(), list[int]()
        reached = interrupted(
            lambda: stored.append(blocks.store(b"a" * 20)),  # noqa: B023 - called at once
            step,
            lambda: stored.append(blocks.store(b"b" * 20)),  # noqa: B023 - called at once
        )
        assert len(stored) == len(set(stored)) == blocks.blocks_in_use()
