"""The metrics that a threshold may judge, and the expressions that judge them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from memopt_cli import units
from memopt_cli.units import Dimension, Quantity

Aggregation = Literal[
    "value", "p", "max", "min", "avg", "count", "posterior", "kl", "actions", "free"
]
Operator = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Metric:
    """What one metric measures, and in which ways it may be judged."""

    dimension: Dimension
    aggregations: tuple[Aggregation, ...] = ("value",)
    staged: bool = False
    """Whether it can be judged within one stage; the others are figures of the whole run."""

    windowed: tuple[Aggregation, ...] = ()
    """What can be judged within a window; percentiles are kept by stage, not finer."""

    example: str = ""
    """A right expression, for messages."""


_ONE: tuple[Aggregation, ...] = ("value",)
_THOUGHT: tuple[Aggregation, ...] = ("posterior", "kl", "actions", "free")
_SPREAD: tuple[Aggregation, ...] = ("p", "max", "min", "avg", "count")

_SHARES = ("actions", "free")
"""Of `fidelity`: shares of steps; the others are distances between distributions."""

METRICS: dict[str, Metric] = {
    "memory_per_connection": Metric(Dimension.SIZE, example="value<16KiB"),
    "memory_per_unit": Metric(Dimension.SIZE, example="value<16KiB"),
    "memory_per_connection_loaded": Metric(Dimension.SIZE, example="value<2MB"),
    "memory_per_unit_loaded": Metric(Dimension.SIZE, example="value<2MB"),
    "memory_per_agent": Metric(Dimension.SIZE, example="value<16KiB"),
    "memory_per_agent_loaded": Metric(Dimension.SIZE, example="value<16KiB"),
    "memory_all_agents": Metric(Dimension.SIZE, example="value<9MB"),
    "memory_fixed": Metric(Dimension.SIZE, example="value<64MiB"),
    "memory_total": Metric(Dimension.SIZE, staged=True, windowed=_ONE, example="value<2GB"),
    "memory_retained": Metric(Dimension.SIZE, example="value<8MiB"),
    "memory_leak_slope": Metric(
        Dimension.SIZE_RATE, staged=True, windowed=_ONE, example="value<1MB/h"
    ),
    "memory_leak_per_operation": Metric(
        Dimension.SIZE, staged=True, windowed=_ONE, example="value<1B"
    ),
    "pool_reuse_ratio": Metric(Dimension.RATIO, staged=True, windowed=_ONE, example="value>85%"),
    "gc_pause": Metric(
        Dimension.DURATION, _SPREAD, staged=True, windowed=("max", "count"), example="p(99)<100ms"
    ),
    "gc_pause_share": Metric(Dimension.RATIO, staged=True, windowed=_ONE, example="value<5%"),
    "operation_latency": Metric(Dimension.DURATION, _SPREAD, staged=True, example="p(99)<1ms"),
    "memory_kept_per_connection": Metric(Dimension.SIZE, example="value<64B"),
    "kernel_memory_per_connection": Metric(Dimension.SIZE, example="value<16KiB"),
    "connect_time": Metric(Dimension.DURATION, example="value<5s"),
    "operations_per_s": Metric(Dimension.RATE, staged=True, windowed=_ONE, example="value>1000/s"),
    "fidelity": Metric(Dimension.NUMBER, _THOUGHT, example="posterior<1e-12"),
    "memory_given_back": Metric(Dimension.RATIO, example="value>=99%"),
    "agents_that_fit": Metric(Dimension.NUMBER, example="value>=50"),
}
"""Every metric by name; sizes are bytes, durations seconds, rates per second."""

_EXPRESSION = re.compile(
    r"\s*(?P<word>[a-z]+)\s*(?:\(\s*(?P<rank>[0-9]{1,3}(?:\.[0-9]{1,9})?)\s*\))?"
    r"\s*(?P<operator><=|>=|<|>)\s*(?P<limit>\S.*?)\s*"
)
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, taken apart."""

    aggregation: Aggregation
    quantile: float | None
    """The quantile of `p(…)` as a ratio; `None` for every other aggregation."""

    operator: Operator
    limit: Quantity


@lru_cache(maxsize=1024)
def parse_expression(metric: str, text: str) -> Expression:
    """
    Return the expression *text* about *metric*, which must be one of `METRICS`.

    Raises `ValueError` with two arguments: what is wrong, and a right expression.

    >>> parse_expression("gc_pause", "p(99)<100ms").quantile
    0.99
    >>> parse_expression("memory_leak_slope", "value<1MB")
    Traceback (most recent call last):
    ...
    ValueError: ('memory_leak_slope is a size per time, and 1MB is a size', 'Write value<1MB/h.')
    """
    known = METRICS[metric]
    remedy = f"Write it like {known.example}."
    match = _EXPRESSION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"{text[:_LONGEST]!r} is not a threshold", remedy)
    aggregation = _aggregation(metric, match["word"], match["rank"])
    quantile = float(match["rank"]) / 100 if match["rank"] else None
    if quantile is not None and not 0 <= quantile <= 1:
        raise ValueError(f"there is no p({match['rank']})", "Write a percentile of 0 to 100.")
    limit = _limit(metric, aggregation, match["limit"])
    operator: Operator = match["operator"]  # type: ignore[assignment] # the pattern has no other
    return Expression(aggregation, quantile, operator, limit)


def _aggregation(metric: str, word: str, rank: str | None) -> Aggregation:
    """Return the aggregation *word*; only `p` takes a rank, and it must."""
    known = METRICS[metric]
    remedy = f"Write it like {known.example}."
    for aggregation in known.aggregations:
        if aggregation == word:
            if (word == "p") != (rank is not None):
                raise ValueError(f"{word!r} is written wrongly", remedy)
            return aggregation
    names = ", ".join("p(99)" if name == "p" else name for name in known.aggregations)
    raise ValueError(f"{metric} has no {word!r}; it has: {names}", remedy)


def _tiny(text: str) -> Quantity | None:
    """Return a number in exponent form: differences of probabilities have no other unit."""
    found = re.fullmatch(r"[0-9](?:\.[0-9]{1,9})?e-[0-9]{1,3}", text)
    return None if found is None else Quantity(float(text), Dimension.NUMBER)


def _limit(metric: str, aggregation: Aggregation, text: str) -> Quantity:
    """Return the limit, which must measure what the metric measures."""
    example = METRICS[metric].example
    try:
        limit = _tiny(text) if metric == "fidelity" else None
        limit = limit or units.parse_quantity(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a limit", f"Write it like {example}.") from exc
    expected = METRICS[metric].dimension
    subject = metric
    if aggregation == "count":
        expected, example, subject = Dimension.NUMBER, "count<100", f"the count of {metric}"
    elif aggregation in _SHARES:
        expected, example, subject = Dimension.RATIO, f"{aggregation}>=99.9%", f"'{aggregation}'"
    if limit.dimension is not expected:
        what = f"{subject} is a {expected}, and {text} is a {limit.dimension}"
        raise ValueError(what, f"Write {example}.")
    return limit
