"""Variants are put in an order only as far as the intervals bear it out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.comparison import LONGEST_SPREAD, compare
from memopt_cli.analysis.ranking import Ranking, Refusal, rankings
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Estimate
from tests.making import KIB, MIB, MS, distribution, estimate, found, thought, unmeasured

if TYPE_CHECKING:
    from memopt_cli.analysis.results import VariantFindings


def variant(name: str, idle: float, pause_ms: float = 100, **changes: Any) -> VariantFindings:
    """Return a variant that did the same work at so many bytes per connection."""
    memory = replace(found().memory, per_unit=estimate(idle, 1), loaded=None)
    return found(
        **{
            "name": name,
            "same_work": True,
            "memory": memory,
            "gc_pause": distribution(round(pause_ms * MS)),
            **changes,
        }
    )


def ranking(*others: VariantFindings, first: VariantFindings | None = None) -> Ranking:
    """Return the only ranking of these variants, against one of 10,000 B and 100 ms."""
    (one,) = rankings([first or variant("baseline", 10_000, same_work=None), *others])
    return one


def places(*others: VariantFindings) -> list[tuple[int, str]]:
    """Return the names of the variants in order, with their places."""
    return [(one.place, one.name) for one in ranking(*others).standings]


def test_bytes_saved_come_first() -> None:
    """The order is by what is left per unit, whatever the pauses and the order of the file."""
    others = [variant("some", 8000, 1), variant("none", 10_000, 1), variant("most", 100, 500)]

    assert places(*others) == [(1, "most"), (2, "some"), (3, "none")]


def test_memory_at_work_comes_before_idle_memory() -> None:
    """Where all were measured under load, that is the order, whatever an idle unit takes."""

    def at_work(name: str, idle: float, loaded: float | None) -> VariantFindings:
        known = None if loaded is None else estimate(loaded, 1)
        one = variant(name, idle)
        return replace(one, memory=replace(one.memory, loaded=known))

    small, large = at_work("idles small", 10, 9000), at_work("works small", 500, 1000)

    assert places(small, large) == [(1, "works small"), (2, "idles small")]
    unknown = at_work("unknown", 100, None)
    assert [name for _, name in places(small, large, unknown)] == [
        "idles small",
        "unknown",
        "works small",
    ]


def test_pauses_order_what_memory_does_not() -> None:
    """Two whose memory is not told apart are ordered by the longest pause."""
    others = [variant("slow", 100.0, 90), variant("quick", 101.0, 1), variant("less", 90)]

    assert places(*others) == [(1, "less"), (2, "quick"), (3, "slow")]


def test_what_nothing_tells_apart_shares_a_place() -> None:
    """Neither 1 % of memory nor half of a pause is a difference, so nobody is ahead."""
    others = [variant("b", 100.0, 90), variant("a", 101.0, 80), variant("last", 5000)]

    assert places(*others) == [(1, "a"), (1, "b"), (3, "last")]


def test_what_was_not_measured_comes_last() -> None:
    """Without a slope a variant is behind those with one, and pauses still order it."""
    nothing = replace(found().memory, per_unit=None, cross_check=None)
    others = [
        variant("long", 0, 90, memory=nothing),
        variant("short", 0, 1, memory=nothing),
        variant("worse", 20_000),
    ]

    assert places(*others) == [(1, "worse"), (2, "short"), (3, "long")]
    assert ranking(*others).standings[1].idle is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"same_work": False}, Refusal.OTHER_WORK),
        ({"same_work": False, "outcome": Outcome.INTERRUPTED}, Refusal.OTHER_WORK),
        ({"same_work": None, "outcome": Outcome.INTERRUPTED}, Refusal.UNFINISHED),
        ({"outcome": Outcome.FAILED}, Refusal.UNFINISHED),
        ({"same_work": None}, Refusal.UNCOMPARED),
        ({"fidelity": thought(missing=1)}, Refusal.UNSOUND),
    ],
)
def test_a_saving_by_other_work_is_none(changes: dict[str, Any], expected: Refusal) -> None:
    """Who dropped work, did not finish it, or cannot show it has no place, however small."""
    shown = ranking(variant("honest", 5000), variant("fake", 1, **changes))

    assert [one.name for one in shown.standings] == ["honest"]
    assert shown.refused == (("fake", expected),)


def test_a_reference_that_died_ranks_nobody() -> None:
    """There is nothing to compare with."""
    shown = ranking(variant("other", 1), first=unmeasured(name="baseline"))

    assert ((), (("other", Refusal.UNFINISHED),)) == (shown.standings, shown.refused)


def test_each_cell_has_its_own() -> None:
    """A variant is compared with the first of its cell, and a cell of one with nothing."""
    cells = [{"connections": str(number)} for number in (10, 20, 30)]
    shown = rankings(
        [
            variant("baseline", 1000, cell=cells[0]),
            variant("other", 500, cell=cells[0]),
            variant("baseline", 3000, cell=cells[1]),
            variant("other", 500, cell=cells[1]),
            variant("baseline", 3000, cell=cells[2]),
        ]
    )

    assert [one.cell for one in shown] == cells[:2]
    assert [one.standings[0].idle.saved.value for one in shown if one.standings[0].idle] == [
        500,
        2500,
    ]


def test_the_longest_pause_allows_for_equal_processes() -> None:
    """Three times shorter can be chance; a hundred times cannot."""
    chance, less = ranking(variant("a", 100, 34), variant("b", 5000, 1)).standings

    assert chance.longest_pause == compare(
        Estimate.exact(0.1), Estimate.exact(0.034), spread=LONGEST_SPREAD
    )
    assert chance.longest_pause is not None
    assert less.longest_pause is not None
    assert (False, True) == (chance.longest_pause.differs, less.longest_pause.fell)


def test_no_pause_is_the_whole_pause_saved() -> None:
    """A collector that never ran has a longest pause of zero; without a recorder there is none."""
    never, unknown = (
        ranking(variant("x", 1, gc_pause=pause)).standings[0].longest_pause
        for pause in (distribution(), None)
    )

    assert unknown is None
    assert never is not None
    assert (0.1, True) == (never.saved.value, never.fell)


def test_a_pause_that_was_lost_may_have_been_longer() -> None:
    """With pauses overwritten unread, neither the longest nor their sum has an upper end."""
    one = ranking(variant("x", 1, 0.001, pauses_lost=1)).standings[0]

    assert one.longest_pause is not None
    assert one.collecting is not None
    assert [math.inf] * 2 == [one.longest_pause.after.high, one.collecting.after.high]
    assert [False] * 2 == [one.longest_pause.differs, one.collecting.differs]


def test_time_is_per_operation() -> None:
    """Half the work for as many operations is half the time each; without any there is none."""
    one = ranking(variant("x", 1, busy_s=0.125)).standings[0]
    none = ranking(variant("x", 1, operations=0)).standings[0]

    assert one.busy is not None
    assert (4.0, None) == (one.busy.factor, none.busy)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"peak_uss_bytes": 13 * MIB}, True),
        ({"retained": estimate(128 * KIB, KIB)}, True),
        ({"memory": replace(found().memory, loaded=estimate(9000, 1))}, True),
        ({"memory": replace(found().memory, per_unit=estimate(20_000, 1))}, True),
        ({"peak_uss_bytes": MIB, "retained": estimate(KIB, 1)}, False),
    ],
    ids=["equal", "peak", "kept", "loaded", "idle", "less"],
)
def test_more_memory_anywhere_is_a_cost(changes: dict[str, Any], expected: bool) -> None:
    """What is saved per unit does not hide what is taken at the peak, loaded or afterwards."""
    first = variant("baseline", 10_000, retained=estimate(64 * KIB, KIB))
    first = replace(first, memory=replace(first.memory, loaded=found().memory.loaded))
    other = variant("x", 100, **{"retained": estimate(64 * KIB, KIB), **changes})

    assert ranking(other, first=first).standings[0].costs_memory is expected


def test_one_series_for_idle_none_for_loaded() -> None:
    """Heap in use is compared with heap in use, and loaded memory only within a series."""
    heap = replace(
        found().memory, basis="heap_in_use", per_unit=estimate(100, 1), cross_check=estimate(7, 1)
    )
    at_work = replace(found().memory, per_unit=estimate(10_000, 1), cross_check=estimate(9000, 1))
    first = variant("baseline", 10_000, memory=at_work)
    outside, inside = ranking(
        variant("inside", 0, memory=heap),
        variant("outside", 90, memory=replace(at_work, per_unit=estimate(90, 1))),
        first=first,
    ).standings

    assert (outside.name, inside.name) == ("outside", "inside")
    assert outside.idle is not None
    assert inside.idle is not None
    assert (9910, 8900) == (outside.idle.saved.value, inside.idle.saved.value)
    assert (False, True) == (outside.loaded_apart, inside.loaded_apart)
    assert (True, None) == (outside.loaded is not None, inside.loaded)
