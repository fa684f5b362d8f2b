"""What grows is put together with where it was made and what keeps it."""

from __future__ import annotations

import pytest

from memopt_cli.analysis.attribution import Look, Suspect, growing, rank
from memopt_cli.analysis.results import Estimate, How
from memopt_cli.profiler.agent import (
    Census,
    ContainerLength,
    Holder,
    LineShare,
    Origins,
    Window,
)

CACHE, QUEUE = 11, 22
TIMES = range(12)


def look(number: int, *, types: dict[str, int] | None = None, **lengths: int) -> Look:
    """Return a census at *number* seconds, after 1,000 operations per second."""
    idents = {"cache": CACHE, "queue": QUEUE}
    census = Census(
        at_s=float(number),
        objects=1000,
        types=tuple((types or {}).items()),
        containers=tuple(
            ContainerLength(idents[name], "list", entries) for name, entries in lengths.items()
        ),
        containers_left_out=0,
        longest_stop_s=0.001,
        cost_s=0.002,
    )
    return Look(census, operations=1000.0 * number)


def share(line: int, objects: int, size_bytes: int, *, blocks: int = 0, of: int = 0) -> LineShare:
    """Return what new members have from a line; with blocks, their attributes are beside them."""
    return LineShare("app.py", line, objects, size_bytes, objects if blocks else 0, of, blocks)


def window(*origins: Origins) -> Window:
    """Return a window that saw these."""
    return Window(5.0, 0.5, 0.6, False, (("app.py", 99, 10**9, 10**6),), origins)


def fitted(value: float) -> Estimate:
    """Return an exact figure of a line without noise."""
    return Estimate(value, value, value, How.FITTED)


def test_what_grows_is_found_fastest_first() -> None:
    """Containers and types with their rates per hour and per operation; constants are not."""
    looks = [look(n, types={"Record": 100 + 2 * n, "Fixed": 70}, cache=100 + n) for n in TIMES]

    found = growing(looks)

    assert [("Record", 122), (CACHE, 111)] == [(growth.of, growth.entries) for growth in found]
    assert [7200.0, 3600.0] == pytest.approx([growth.per_hour.value for growth in found])
    assert [fitted(0.002), fitted(0.001)] == [growth.per_operation for growth in found]


def test_a_container_that_was_too_short_before_began_with_nothing() -> None:
    """It comes into the census only at 64 entries, and gaps do not make a climb of it."""
    looks = [look(n, cache=64 + 64 * n) if n > 1 else look(n) for n in TIMES]

    assert [CACHE] == [growth.of for growth in growing(looks)]
    assert () == growing(looks[:7])


def test_lines_are_ranked_by_what_they_keep() -> None:
    """Per entry times entries per operation; memory that is counted twice counts once."""
    looks = [look(n, types={"Record": 100 + n}, cache=100 + n, queue=100 + 4 * n) for n in TIMES]
    windows = [
        window(
            Origins(CACHE, 10, (share(7, 10, 7120),)),
            Origins(QUEUE, 40, (share(8, 40, 2000),)),
            Origins("Record", 10, (share(7, 10, 560),)),
        ),
        window(Origins(CACHE, 0, ())),
    ]
    holders = [Holder(CACHE, "app.CACHE", "list of 111 Record")]

    first, second = rank(growing(looks), windows, holders)

    assert ("app.py", 7, "app.CACHE", "list of 111 Record") == (
        first.file,
        first.line,
        first.holder,
        first.contents,
    )
    assert [712.0, 50.0] == [first.bytes_per_entry, second.bytes_per_entry]
    assert [0.712, 0.2] == pytest.approx([_value(first), _value(second)])
    assert [CACHE, "Record"] == [growth.of for growth in first.growths]
    assert (8, "") == (second.line, second.holder)


def _value(suspect: Suspect) -> float:
    assert suspect.bytes_per_operation is not None
    return suspect.bytes_per_operation.value


@pytest.mark.parametrize(
    ("expected", "one"),
    [
        (56.0, share(7, 10, 560)),
        (200.0, share(7, 10, 560, blocks=20, of=2000)),
        (200.0, share(7, 10, 560, blocks=18, of=1800)),
        (56.0, share(7, 10, 560, blocks=500, of=50_000)),
    ],
    ids=["plain", "attributes", "some came after the count", "a busy line"],
)
def test_attributes_beside_an_object_are_its_own(expected: float, one: LineShare) -> None:
    """Blocks of a line tell them, unless it makes much else."""
    looks = [look(n, cache=100 + n) for n in TIMES]

    (found,) = rank(growing(looks), [window(Origins(CACHE, 10, (one,)))], [])

    assert expected == pytest.approx(found.bytes_per_entry)


def test_what_was_not_seen_being_made_has_no_line_and_no_size() -> None:
    """A growing container stays a finding: its holder is named, bytes are not made up."""
    looks = [look(n, cache=100 + n) for n in TIMES]

    (found,) = rank(growing(looks), [], [Holder(CACHE, "app.CACHE", "list of 111 int")])

    assert ("", None, None, "app.CACHE") == (
        found.file,
        found.bytes_per_entry,
        found.bytes_per_hour,
        found.holder,
    )
