"""The report tells what became of real connections; other runs do not mention them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema

from memopt_cli.analysis.connections import ConnectionsRecording
from memopt_cli.analysis.established import Established
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.analysis.waves import Wave, Waves
from memopt_cli.report.json import to_json
from memopt_cli.report.markdown import markdown
from memopt_cli.report.plots import durations
from memopt_cli.report.schema import json_schema
from tests.analysis.test_established import look
from tests.making import KIB, estimate, found, run

LEAKS = Waves(
    LeakVerdict.LEAK,
    estimate(KIB, 8),
    (Wave(1000, 1000 * KIB), Wave(2000, 2000 * KIB), Wave(3000, 3000 * KIB)),
    3,
    "each of the last 3 waves keeps as much as the one before",
)
RECORDING = ConnectionsRecording(
    servers=6,
    drivers=2,
    looks=(look(0), look(1000, answered=998, at_rest=False, settled_s=15.0)),
    connect_s=0.5,
    connected=1000,
    connect_p50_s=0.001,
    connect_p99_s=0.002,
    connect_max_s=1.003,
    slow_connects=3,
    answered=998,
    not_answered=2,
    failures={"refused": 7},
)
REAL = found(
    gc_pause=None,
    connections=Established(
        RECORDING, look(1000, asked=1100, answered=998), estimate(8000, 80), None, LEAKS
    ),
)


def test_why_memory_is_not_known_better() -> None:
    """An interval above five parts in a hundred is told with what would help."""
    at_rest = replace(RECORDING, looks=(look(0), look(1000)))
    real = Established(at_rest, look(1000), None, None, LEAKS)
    memory = replace(REAL.memory, per_unit=estimate(2048, 128))
    text = markdown(run(found(gc_pause=None, connections=real, memory=memory)))

    assert "the interval is 6% of memory per connection" in text


def test_the_section_on_connections() -> None:
    """How many were held and verified, how they were made, the kernel's part, what failed."""
    text = markdown(run(REAL))

    assert "it grows in steps" not in text
    for row in (
        "| processes: server, drivers | 6, 2 |",
        "| held of asked, verified | 1,000 of 1,100, 998 |",
        "| connect phase | 500 ms, 2,000 per second |",
        "| time to connect: p50, p99, max | 1.00 ms, 2.00 ms, 1.00 s; 3 asked again |",
        "| kernel objects per connection | 7.81 KiB (7.73 to 7.89) |",
        "| kernel buffers per connection | not measured |",
        "| longest wait for rest | 15.0 s, 1 of 2 not at rest |",
        "| failed connections and requests | refused 7, not answered 2 |",
        "| optimized | leak | 1.00 KiB (0.99 to 1.01) | each of the last 3 waves keeps",
        "| optimized | 3 | 3,000 | 2.93 MiB | 1.00 KiB |",
    ):
        assert row in text


def test_the_json_of_connections() -> None:
    """The figures hold to the schema; the kernel's part stands where other runs have null."""
    document = json.loads(to_json(run(REAL)))
    jsonschema.validate(document, json_schema())
    (variant,) = document["variants"]

    assert 8000 == variant["kernel_per_unit_bytes"]["value"]
    real = variant["connections"]
    names = ("asked", "held", "verified", "answered", "not_answered", "connect_s")
    assert [1100, 1000, 998, 998, 2, 0.5] == [real[name] for name in names]
    assert "leak" == real["kept"]["verdict"]


def test_connecting_beside_others_and_not_at_all() -> None:
    """What others took of the processors stands beside the rate; without connections is neither."""

    def told(**changes: Any) -> tuple[str, float | None]:
        real = Established(replace(RECORDING, **changes), look(1000), None, None, LEAKS)
        one = run(replace(REAL, connections=real))
        (variant,) = json.loads(to_json(one))["variants"]
        (row,) = [line for line in markdown(one).splitlines() if "| connect phase |" in line]
        return row, variant["connections"]["connect_s"]

    beside = "| connect phase | 500 ms, 2,000 per second; others took 25% of the processors |"
    assert (beside, 0.5) == told(connect_others_s=0.25, connect_available_s=1.0)
    assert ("| connect phase | not measured |", None) == told(connected=0)


def test_a_run_without_connections() -> None:
    """Nothing is said of what is not there."""
    other = run(found())

    assert "connections" not in json.loads(to_json(other))["variants"][0]
    assert "Real connections" not in markdown(other)


def test_pauses_that_nobody_measured() -> None:
    """A figure without a recorder does not say that there were none."""
    figure = durations(run(REAL))

    assert figure is not None
    (panel,) = figure.axes  # an empty one is not drawn
    assert "GC pauses: not measured; Longest operation: 30.0 us in optimized" == panel.get_title(
        loc="left"
    )
