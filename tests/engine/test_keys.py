"""Every key of a scenario that the subject or the load reads changes what is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.engine.events import DurationsRecorded, SampleTaken, VariantEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.engine.conftest import Runner

UNITS = 100


@dataclass(frozen=True)
class Observed:
    """What a run shows of its only variant."""

    digest: str
    transcript: str
    pool: Mapping[str, float | None] | None
    heap: int
    """Bytes in use with all units, at the end of the steady stage."""

    heap_growth: int
    """From the end of the ramp to the end of the steady stage."""

    heap_empty: int
    pauses: tuple[int, ...]
    """By generation."""

    samples: int
    operations: int


@pytest.fixture
def observe(runner: Runner) -> Callable[..., Observed]:
    """Return a function that runs the small scenario with changes and returns what it showed."""

    def run(**changes: Any) -> Observed:
        events = runner.run(**changes)
        end = next(one for one in events if isinstance(one, VariantEnded))
        assert end.failure == ""
        samples = [one.sample for one in events if isinstance(one, SampleTaken)]
        heaps = [one.heap_in_use_bytes or 0 for one in samples if one.is_plateau]
        pauses = [0, 0, 0]
        for durations in {e.stage: e for e in events if isinstance(e, DurationsRecorded)}.values():
            for generation, histogram in durations.pauses.items():
                pauses[generation] += histogram.count
        return Observed(
            digest=end.digest,
            transcript=end.transcript,
            pool=end.pool,
            heap=heaps[-2],
            heap_growth=heaps[-2] - heaps[-3],
            heap_empty=heaps[0],
            pauses=tuple(pauses),
            samples=len(samples),
            operations=samples[-1].operations,
        )

    return run


def _connections(variant: dict[str, Any] | None = None, **section: Any) -> dict[str, Any]:
    return {
        "workload": "connections",
        "connections": section,
        "variants": [{"name": "only", **(variant or {})}],
    }


DIGEST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "capabilities_size": (_connections(), _connections(capabilities_size="4KiB")),
    "distinct_capabilities": (_connections(), _connections(distinct_capabilities=3)),
    "message_mix": (_connections(), _connections(message_mix={"13B": "50%", "1KiB": "50%"})),
    "writes": (_connections(), _connections(writes="90%")),
    "retained_messages": (_connections(), _connections(retained_messages=2)),
    "bytes_per_unit": ({}, {"synthetic": {"bytes_per_unit": "2KiB"}}),
    "seed": (_connections(), {**_connections(), "seed": 2}),
}


@pytest.mark.parametrize("key", DIGEST)
def test_key_shows_in_the_digest(key: str, observe: Callable[..., Observed]) -> None:
    """What clients send, and what units keep of it, changes what the units remember."""
    without, changed = DIGEST[key]
    assert observe(**without).digest != observe(**changed).digest


LOAD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "message_rate": ({}, {"message_rate": "2/s"}),
    "arrival_rate": ({}, {"arrival_rate": "50/s"}),
    "stage message_rate": (
        {},
        {
            "stages": [
                {"name": "up", "duration": "1s", "units": UNITS},
                {"name": "steady", "duration": "11s", "units": UNITS, "message_rate": "3/s"},
                {"name": "down", "duration": "1s", "units": 0},
            ]
        },
    ),
}


def _open(**keys: Any) -> dict[str, Any]:
    stage = {"name": "open", "duration": "6s", "arrival_rate": "30/s"}
    down = {"name": "down", "duration": "1s", "units": 0}
    up = {"name": "up", "duration": "1s", "units": 20}
    return {"lifetime": "2s", "stages": [up, stage, down], **keys}


LOAD |= {
    "lifetime": (_open(), _open(lifetime="4s")),
    "pattern": (_open(), _open(pattern="ramp")),
    "pattern.period": (
        _open(pattern={"name": "sine", "period": "6s"}),
        _open(pattern={"name": "sine", "period": "5s"}),
    ),
    "pattern.amplitude": (
        _open(pattern={"name": "sine", "period": "6s", "amplitude": "20%"}),
        _open(pattern={"name": "sine", "period": "6s", "amplitude": "90%"}),
    ),
    "pattern.share": (
        _open(pattern={"name": "burst", "period": "6s", "share": "20%"}),
        _open(pattern={"name": "burst", "period": "6s", "share": "90%"}),
    ),
}


@pytest.mark.parametrize("key", LOAD)
def test_key_shows_in_the_transcript(key: str, observe: Callable[..., Observed]) -> None:
    """Each key of the load changes who arrives, speaks or leaves."""
    without, changed = LOAD[key]
    assert observe(load=without).transcript != observe(load=changed).transcript


def test_arrival_rate_adds_operations(observe: Callable[..., Observed]) -> None:
    """50/s over five seconds of ramp and five of steady replace what growth does not need."""
    idle = {"message_rate": "0/s"}
    turned = observe(load={**idle, "arrival_rate": "50/s"})
    assert observe(load=idle).operations == 2 * UNITS
    # The ramp grows by 20 per second, so 30 of 50 arrivals are turnover.
    assert turned.operations == pytest.approx(2 * UNITS + 2 * (5 * 30 + 5 * 50), abs=30)


def test_sampling_interval(observe: Callable[..., Observed]) -> None:
    """Twelve seconds hold twelve samples of a second, or 24 of half a second."""
    found = [observe(sampling={"interval": interval}).samples for interval in ("1s", "500ms")]
    assert found == [12, 24]


def test_receive_buffer(observe: Callable[..., Observed]) -> None:
    """A baseline connection keeps a buffer of the size that the scenario says."""
    found = [observe(**_connections(receive_buffer=size)).heap for size in ("0B", "16KiB")]
    assert found[1] - found[0] == pytest.approx(UNITS * 16384, rel=0.05)


def test_retained_messages_cost_memory(observe: Callable[..., Observed]) -> None:
    """Kept messages are in the heap."""
    mix = {"message_mix": {"4KiB": "100%"}}
    found = [observe(**_connections(retained_messages=n, **mix)).heap for n in (0, 2)]
    assert found[1] - found[0] > UNITS * 4096


def test_pool_counters(observe: Callable[..., Observed]) -> None:
    """Without a pool there are no counters; its size is made beforehand, its maximum kept."""
    assert observe(**_connections()).pool is None
    assert observe(**_connections({"pool": {"size": 30, "max_size": 60}})).pool == {
        "reuse_ratio": 0.0,
        "created": 100,
        "reused": 0,
        "in_use": 0,
        "available": 60,
    }


@pytest.mark.parametrize(
    ("pool", "counter", "value"),
    [
        ({"size": 30, "max_size": 90}, "available", 90),
        ({"size": 150, "max_size": 200}, "available", 150),
    ],
)
def test_pool_sizes(
    pool: dict[str, int], counter: str, value: int, observe: Callable[..., Observed]
) -> None:
    """Both sizes of a pool show in its counters."""
    found = observe(**_connections({"pool": pool})).pool
    assert found is not None
    assert found[counter] == value


def test_compact(observe: Callable[..., Observed]) -> None:
    """A compact connection takes less than a third of a plain one, and remembers the same."""
    plain, compact = observe(**_connections()), observe(**_connections({"compact": "on"}))
    assert 3 * (compact.heap - compact.heap_empty) < plain.heap - plain.heap_empty
    assert compact.digest == plain.digest


def test_compression(observe: Callable[..., Observed]) -> None:
    """Deflated, kept messages take less than half, and are the same."""
    section = {"retained_messages": 2, "message_mix": {"4KiB": "100%"}}
    plain, deflated = (
        observe(**_connections({"compact": {"compression": switch}}, **section))
        for switch in ("off", "on")
    )
    assert 2 * (deflated.heap - deflated.heap_empty) < plain.heap - plain.heap_empty
    assert deflated.digest == plain.digest


def test_gc_off(observe: Callable[..., Observed]) -> None:
    """With the collector off there is no pause; by default there are some."""
    load = {"message_rate": "30/s"}
    default, off = (
        observe(**_connections({"gc": policy}), load=load).pauses for policy in ("default", "off")
    )
    assert (sum(default) > 0, off) == (True, (0, 0, 0))


TELLS_OF_FREEZING = """\
import gc, sys
freeze = gc.freeze
def told():
    freeze()
    print(gc.get_freeze_count(), file=sys.stderr, flush=True)
gc.freeze = told
"""


@pytest.mark.parametrize(("policy", "freezes"), [("frozen", 2), ("default", 0)])
def test_gc_frozen(
    policy: str, freezes: int, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen freezes what is alive before the load, and again once the population has grown."""
    (tmp_path / "sitecustomize.py").write_text(TELLS_OF_FREEZING, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    runner.run(**_connections({"gc": policy}))

    _, *told = runner.log.read_text(encoding="utf-8").splitlines()
    assert len(told) == freezes
    if told:
        before, grown = map(int, told)
        # A naive connection holds containers of its own, and each unit has at least two.
        assert grown - before > 2 * UNITS


def test_gc_frozen_pauses_are_told(observe: Callable[..., Observed]) -> None:
    """The collections that freezing takes are pauses of the run, like any other."""
    default, frozen = (
        observe(**_connections({"gc": policy})).pauses[2] for policy in ("default", "frozen")
    )
    assert frozen - default == 2


def test_gc_adaptive(
    observe: Callable[..., Observed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While 5,000 units are replaced adaptive looks at all of them less often than the default."""
    # From 3.13 on the default waits for three times as many new objects, of which there are few.
    thresholds = "import gc\ngc.set_threshold(700, 10, 10)\n"
    (tmp_path / "sitecustomize.py").write_text(thresholds, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    stages = [
        {"name": "up", "duration": "1s", "units": 5000},
        {"name": "churn", "duration": "2s", "units": 5000},
        {"name": "down", "duration": "1s", "units": 0},
    ]
    load = {"message_rate": "0/s", "arrival_rate": "2500/s", "stages": stages}
    default, adaptive = (
        observe(**_connections({"gc": policy}), load=load).pauses[2]
        for policy in ("default", "adaptive")
    )
    assert adaptive < default


def test_variant_leak(observe: Callable[..., Observed]) -> None:
    """A leak of 1 KiB per message is what the heap grows by in the steady stage."""
    steady = UNITS * 5
    found = observe(variants=[{"name": "only", "leak": "1KiB"}])
    clean = observe()
    assert found.transcript == clean.transcript
    assert found.heap_growth - clean.heap_growth == pytest.approx(steady * 1024, rel=0.2)


def test_leak_per_operation(observe: Callable[..., Observed]) -> None:
    """A leak per operation stays for arrivals too, without any message."""
    idle = {"message_rate": "0/s"}
    found = observe(load=idle, synthetic={"leak_per_operation": "1KiB"})
    clean = observe(load=idle)
    assert found.heap - clean.heap == pytest.approx(UNITS * 1024, rel=0.05)


def test_imports(observe: Callable[..., Observed]) -> None:
    """A module that the subject imports is part of its fixed cost."""
    assert observe(synthetic={"imports": ["decimal", "email.mime.text"]}).heap_empty > (
        observe().heap_empty + 200_000
    )
