"""Two runs side by side: what may be compared, what changed, and what is too much."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis.comparing import Incomparable, compare_runs
from memopt_cli.analysis.comparison import MEMORY_SPREAD
from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.regressions import judge, parse
from memopt_cli.analysis.results import Estimate, Verdict
from memopt_cli.errors import UsageError
from tests.making import MIB, distribution, estimate, found, run

if TYPE_CHECKING:
    from memopt_cli.analysis.results import VariantFindings

MEMORY = found().memory


def _of(size: float, half_width: float = 0.0, **changes: Any) -> VariantFindings:
    return found(memory=replace(MEMORY, per_unit=estimate(size, half_width)), **changes)


def _judged(before: VariantFindings, after: VariantFindings, text: str) -> Verdict:
    (result,) = judge(compare_runs(run(before), run(after)), [parse(text)])
    return result.verdict


@pytest.mark.parametrize(
    ("after", "half_width", "verdict"),
    [
        (1000.0, 0.0, Verdict.PASSED),
        (1200.0, 0.0, Verdict.CROSSED),
        (1100.0, 0.0, Verdict.INCONCLUSIVE),
        (1122.3, 0.0, Verdict.CROSSED),
        (1122.1, 0.0, Verdict.INCONCLUSIVE),
        (1078.3, 0.0, Verdict.INCONCLUSIVE),
        (1078.1, 0.0, Verdict.PASSED),
        (1200.0, 120.0, Verdict.INCONCLUSIVE),
        (500.0, 0.0, Verdict.PASSED),
    ],
)
def test_a_regression_is_judged_by_its_whole_interval(
    after: float, half_width: float, verdict: Verdict
) -> None:
    """10 % is crossed from 1.1 * 1.01 / 0.99 of the base on, and passed below its inverse."""
    assert MEMORY_SPREAD == 0.01
    assert verdict == _judged(_of(1000.0), _of(after, half_width), "memory_per_connection>10%")


def test_the_edges_are_those_of_the_arithmetic() -> None:
    """The interval of a change divides the ends of both, each wider by what equals differ."""
    (variant,) = compare_runs(run(_of(1000.0)), run(_of(1100.0))).variants
    change = variant.changes[0].relative

    assert change is not None
    assert (1.1 - 1, 1.1 * 0.99 / 1.01 - 1, 1.1 * 1.01 / 0.99 - 1) == pytest.approx(
        (change.value, change.low, change.high)
    )


def test_less_throughput_is_worse() -> None:
    """A fall is asked for with a lower limit; a rise of the same size passes it."""
    slow, fast = found(operations_per_s=1000.0), found(operations_per_s=9000.0)

    assert Verdict.CROSSED == _judged(fast, slow, "operations_per_s<-50%")
    assert Verdict.PASSED == _judged(slow, fast, "operations_per_s<-50%")
    (worse,) = (
        each.is_worse
        for each in compare_runs(run(fast), run(slow)).variants[0].changes
        if each.measure.metric == "operations_per_s"
    )
    assert worse


def test_an_amount_where_the_base_is_zero() -> None:
    """A share of nothing is not known; an amount is; two exact zeros have not changed."""
    none, some = found(retained=Estimate.exact(0.0)), found(retained=Estimate.exact(2.0 * MIB))
    never = found(gc_pause=distribution())

    assert Verdict.INCONCLUSIVE == _judged(none, some, "memory_retained>5%")
    assert Verdict.CROSSED == _judged(none, some, "memory_retained>1MiB")
    assert Verdict.PASSED == _judged(some, none, "memory_retained>1MiB")
    assert Verdict.PASSED == _judged(never, never, "gc_pause: max>5%")


def test_what_one_run_lacks_is_inconclusive() -> None:
    """No figure in the base, or in the new run, is no pass."""
    without = found(gc_pause=None)

    assert Verdict.INCONCLUSIVE == _judged(without, found(), "gc_pause: max>20%")
    assert Verdict.INCONCLUSIVE == _judged(found(), without, "gc_pause: max>20%")
    assert [Verdict.INCONCLUSIVE] == [
        one.verdict for one in judge(compare_runs(run(), run()), [parse("memory_total>5%")])
    ]


def test_what_was_measured_otherwise_is_inconclusive() -> None:
    """Loaded memory of the heap and that seen from outside both are there, and not compared."""
    heap = found(memory=replace(MEMORY, basis="heap_in_use", loaded=estimate(9e9)))
    (result,) = judge(compare_runs(run(found()), run(heap)), [parse("memory_per_unit_loaded>5%")])

    assert (Verdict.INCONCLUSIVE, "the runs do not both have it, measured alike") == (
        result.verdict,
        result.reason,
    )


def test_pauses_that_were_lost_bound_nothing() -> None:
    """A longest pause that may have been longer passes no limit, and crosses what it shows."""
    lost = found(pauses_lost=3, gc_pause=distribution(100_000_000))
    short = found(gc_pause=distribution(1_000_000))

    assert Verdict.CROSSED == _judged(short, lost, "gc_pause: max>20%")
    assert Verdict.INCONCLUSIVE == _judged(lost, short, "gc_pause: max>20%")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, None),
        ({"transcript": "other"}, Incomparable.OTHER_TRANSCRIPT),
        ({"digest": "other"}, Incomparable.OTHER_WORK),
        ({"digest": ""}, Incomparable.UNKNOWN),
        ({"outcome": Outcome.INTERRUPTED}, Incomparable.UNFINISHED),
        ({"unit": "agents"}, Incomparable.OTHER_TRANSCRIPT),
        ({"name": "other"}, Incomparable.MISSING),
        ({"cell": {"connections": "1000"}}, Incomparable.MISSING),
    ],
)
def test_what_may_be_compared(changes: dict[str, Any], refusal: Incomparable | None) -> None:
    """Only variants that finished the same work have changes; the others say why not."""
    comparison = compare_runs(run(found()), run(found(**changes)))

    assert {refusal} == {one.refusal for one in comparison.variants}
    told = {one.reason for one in judge(comparison, [parse("memory_per_unit>50%")])}
    why = str(refusal).replace("_", " ")
    assert {"" if refusal is None else f"not comparable: {why}"} == told
    assert (refusal is None) == bool(comparison.compared) == bool(comparison.variants[0].changes)


def test_the_reference_is_not_judged() -> None:
    """The first of several variants is there to be compared with, as for thresholds."""
    names = ("baseline", "optimized")
    base = run(*(_of(1000.0, name=name) for name in names))
    new = run(*(_of(2000.0, name=name) for name in names))
    results = judge(compare_runs(base, new), [parse("memory_per_unit>5%")])

    assert [("optimized", Verdict.CROSSED)] == [(one.variant, one.verdict) for one in results]


def test_another_machine_is_told() -> None:
    """What differs in the environment is named; what always differs is not."""
    other = run(found(), environment={"python": "CPython 3.12.1", "cores": 2, "load_average": 9})

    assert ("python",) == compare_runs(run(found()), other).differs


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("memory_per_connection", "is not a regression"),
        ("memory_per_conection>5%", "unknown measure 'memory_per_conection'"),
        ("gc_pause>20%", r"gc_pause is compared by p\(99\) or max"),
        ("memory_total>5s", "memory_total is a size, and 5s is a duration"),
        ("memory_total>5", "memory_total is a size, and 5 is a number"),
        ("memory_total>lots", "memory_total>lots"),
        ("memory_total=5%", "is not a regression"),
    ],
)
def test_a_wrong_regression_is_refused(text: str, told: str) -> None:
    """What is misspelt says what it should be, before anything is read."""
    with pytest.raises(UsageError, match=told) as refused:
        parse(text)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "metric", "aggregation", "limit"),
    [
        ("memory_per_agent>5%", "memory_per_unit", "value", 0.05),
        (" memory_per_connection_loaded > 1KiB ", "memory_per_unit_loaded", "value", 1024),
        ("gc_pause: p(99)>20%", "gc_pause", "p(99)", 0.2),
        ("operation_latency p(50)>1ms", "operation_latency", "p(50)", 0.001),
        ("pool_reuse_ratio<-5%", "pool_reuse_ratio", "value", -0.05),
    ],
)
def test_how_a_regression_is_written(
    text: str, metric: str, aggregation: str, limit: float
) -> None:
    """The words of thresholds, a share of the base or an amount."""
    found_ = parse(text)

    assert (metric, aggregation) == (found_.measure.metric, found_.measure.aggregation)
    assert math.isclose(limit, found_.limit.value)
