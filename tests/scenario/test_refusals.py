"""Every refusal says where, what was found, and what to write instead."""

# ruff: noqa: E501 - messages are compared whole, and stand on one line each

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import ScenarioError
from memopt_cli.scenario import source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

YAML_REFUSALS: dict[str, list[str]] = {
    "tags: {a: 1:30}": [
        "1:11: '1:30' is 90 to some YAML readers | Write 1m30s or \"1:30\".",
    ],
    "tags: {a: 1:30:00}": [
        "1:11: '1:30:00' is a number to some YAML readers | Write it like 1h30m, or \"1:30:00\".",
    ],
    "tags: {a: 012}": [
        "1:11: '012' is octal to some YAML readers | Write 12 or \"012\".",
    ],
    "seed: 1e4": [
        "1:7: '1e4' is text to some YAML readers | Write the digits out, or \"1e4\".",
    ],
    "seed: 1_000": [
        "1:7: '1_000' is a number to some YAML readers | Write 1000 or \"1_000\".",
    ],
    "description: no": [
        "1:14: 'no' is a boolean to some YAML readers | Write off or \"no\".",
    ],
    "description: Y": [
        "1:14: 'Y' is a boolean to some YAML readers | Write on or \"Y\".",
    ],
    "seed: 1\nseed: 2": [
        "2:1: 'seed' is given twice, first in line 1 | Keep one of them.",
    ],
    "seed: &a 1": [
        "1:7: anchor '&a' | Write each value out; no aliases.",
    ],
    "tags: {a: b, c: *a}": [
        "1:17: alias '*a' | Write the value out.",
    ],
    "<<: {a: 1}": [
        "1:1: a merge key '<<' | Write the keys out.",
    ],
    "seed: !!int 1": [
        "1:7: tag 'tag:yaml.org,2002:int' | Remove the tag.",
    ],
    "seed: 1\n---\nseed: 2": [
        "2:1: a second document starts here | Write one scenario in a file.",
    ],
    "\tseed: 1": [
        "1:1: a tab character cannot stand here | Indent with spaces.",
    ],
    "seed:\t1": [
        "1:6: a tab character cannot stand here | Indent with spaces.",
    ],
    "seed:": [
        "1:1: there is no value here | Write a value, or remove the key.",
    ],
    "": [
        "1:1: the file is empty | Start from `memopt scenarios new NAME`.",
    ],
    "# only a comment": [
        "1:1: the file is empty | Start from `memopt scenarios new NAME`.",
    ],
    "seed: [1": [
        "1:9: not valid YAML: expected ',' or ']', but got '<stream end>' | ",
    ],
    "seed: 12345678901234567890": [
        "1:7: a number of 20 characters | Use at most 19.",
    ],
    '"\\ud800": 1': [
        "1:1: a key with half a character in it | Remove the escape.",
    ],
    'seed: "\\UFFFFFFFF"': [
        "1:1: not valid YAML: an escape names no character | ",
    ],
    "seed: \x07": [
        "1:7: the character U+0007 cannot stand in a scenario | Remove it.",
    ],
    "? [a]\n: 1": [
        "1:3: a key that is not text | Write a word before the colon.",
    ],
    '"": 1': [
        "1:1: a key without a name | Write a word before the colon.",
    ],
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[": [
        "1:22: nested more than 20 levels deep | ",
    ],
    "just text": [
        "1:1: expected keys and values, found 'just text' | Write it like {key: value}.",
    ],
}

REFUSALS: dict[str, list[str]] = {
    "treshold: 1": [
        "1:1: unknown key 'treshold' | Did you mean 'thresholds'?",
    ],
    "version: 2": [
        "1:10: version 2 of the scenario format is unknown | Write version: 1.",
    ],
    "name: Not Kebab": [
        "1:7: 'Not Kebab' is not in kebab-case | Write it like connections-10k.",
    ],
    "description: 7": [
        '1:14: expected text, found 7 | Put it in quotes: "7".',
    ],
    "tags: {a: 1}": [
        '1:11: expected text, found 1 | Put it in quotes: "1".',
    ],
    "tags: 5": [
        "1:7: expected keys and values, found 5 | Write it like {key: value}.",
    ],
    "workload: conections": [
        "1:11: unknown workload 'conections' | Did you mean 'connections'?",
    ],
    "synthetic: {bytes_per_unit: 1KiB}": [
        "1:1: section 'synthetic' in a scenario of workload 'connections' | Remove it, or change workload.",
    ],
    "connections: {capabilities_size: 60}": [
        "1:34: '60' has no unit | Write 60B, 60KiB or similar.",
    ],
    "connections: {capabilities_size: 0B}": [
        "1:34: '0B' is out of range | Write a size of at least 1B.",
    ],
    "connections: {capabilities_size: 2GiB}": [
        "1:34: '2GiB' is out of range | Write a size of at most 1GiB.",
    ],
    "connections: {capabilities_size: 64.5B}": [
        "1:34: '64.5B' is not a whole number of bytes | ",
    ],
    "connections: {capabilities_size: [1]}": [
        "1:34: expected a size, found a list | Write it like 64KiB.",
    ],
    "connections: {distinct_capabilities: 0}": [
        "1:38: 0 is out of range | Write at least 1.",
    ],
    "connections: {distinct_capabilities: many}": [
        "1:38: 'many' is not a whole number | Write it like 1.",
    ],
    "connections: {message_mix: {13B: 70%}}": [
        "1:28: the shares sum to 70% | Make them sum to 100%.",
    ],
    "connections: {message_mix: {13: 70%, 1KiB: 0.3}}": [
        "1:29: '13' has no unit | Write 13B, 13KiB or similar.",
        "1:44: '0.3' is not a percentage | Write it like 85%.",
    ],
    "connections: {message_mix: {1KiB: 50%, 1024B: 50%}}": [
        "1:40: the size 1024B is given twice | ",
    ],
    "connections: {message_mix: [1]}": [
        "1:28: expected sizes and shares, found a list | Write it like {13B: 70%, 1KiB: 30%}.",
    ],
    "connections: {writes: 130%}": [
        "1:23: '130%' is out of range | Write a percentage of 0% to 100%.",
    ],
    "connections: {retained_messages: -1}": [
        "1:34: -1 is out of range | Write at least 0.",
    ],
    "connections: 5": [
        "1:14: expected keys and values, found 5 | Write it like {key: value}.",
    ],
    "variants: []": [
        "1:11: the list is empty | Write 1 to 32 items.",
    ],
    "variants: {name: a}": [
        "1:11: expected a list, found keys and values | Write it like [first, second].",
    ],
    "variants: [{pool: on}]": [
        "1:12: 'name' is missing | Add it.",
    ],
    "variants: [{name: a/b}]": [
        "1:19: 'a/b' has a slash in it | Write a short word, like steady.",
    ],
    "variants: [{name: ' a'}]": [
        "1:19: ' a' is not a name | Write a short word, like steady.",
    ],
    "variants: [{name: a}, {name: a}]": [
        "1:30: a second variant 'a' | Give each its own name.",
    ],
    "variants: [{name: a, pool: big}]": [
        "1:28: expected on, off or keys, found 'big' | Write on, off or {size: 1000, max_size: 10000}.",
    ],
    "variants: [{name: a, pool: {size: 5, max_size: 4}}]": [
        "1:35: size 5 is above max_size 4 | Write a max_size that is at least size.",
    ],
    "variants: [{name: a, pool: {sise: 5}}]": [
        "1:29: unknown key 'sise' | Did you mean 'size'?",
    ],
    "variants: [{name: a, compact: {compression: maybe}}]": [
        "1:45: 'maybe' is neither on nor off | Write on or off.",
    ],
    "variants: [{name: a, gc: adaptiv}]": [
        "1:26: unknown gc policy 'adaptiv' | Did you mean 'adaptive'?",
    ],
    "variants: [{name: a, leak: 64}]": [
        "1:28: '64' has no unit | Write 64B, 64KiB or similar.",
    ],
    "leak: {tolerate: 1MB}": [
        "1:18: '1MB' is not a size per time, 0 or more | Write it like 1MB/h.",
    ],
    "leak: {tolerate: 5}": [
        "1:18: expected a growth, found 5 | Write it like 1MB/h.",
    ],
    "leak: {severity: {high: much}}": [
        "1:25: 'much' is not a growth | Write it like 1MB/h.",
    ],
    "leak: {severity: {high: 1kB/s}}": [
        "1:18: the severities do not rise | Keep medium below high, and high below critical.",
    ],
    "leak: {severty: {high: 1kB/s}}": [
        "1:8: unknown key 'severty' | Did you mean 'severity'?",
    ],
    "sampling: {interval: 60}": [
        "1:22: '60' has no unit | Write 60s, 60ms or 60m.",
    ],
    "sampling: {interval: 1ms}": [
        "1:22: '1ms' is shorter than 10ms | Write at least 10ms.",
    ],
    "seed: -1": [
        "1:7: -1 is out of range | Write at least 0.",
    ],
    "seed: 1.5": [
        "1:7: 1.5 is not a whole number | Write it like 1.",
    ],
    "seed: true": [
        "1:7: true is not a whole number | Write it like 1.",
    ],
    "matrix: [1]": [
        "1:9: expected keys and lists, found a list | Write it like {connections: [1000, 10000]}.",
    ],
    "matrix: {seed: 1}": [
        "1:16: expected a list of values, found 1 | Write [1000, 10000].",
    ],
    "matrix: {seed: [x]}": [
        "1:17: 'x' is not a whole number (in the cell seed=x) | Write it like 1.",
    ],
    "matrix: {sed: [1]}": [
        "1:10: unknown key 'sed' (in the cell sed=1) | Did you mean 'seed'?",
    ],
    "matrix: {name: [a]}": [
        "1:10: a matrix cannot vary 'name' (in the cell name=a) | Remove it.",
    ],
    "matrix: {units: [1]}": [
        "1:10: this workload counts connections, not units (in the cell units=1) | Write connections.",
    ],
    "matrix: {seed: [1,2,3,4,5,6,7,8,9], connections: [1,2,3,4,5,6,7,8]}": [
        "1:9: 72 combinations, above 64 | Remove some values.",
    ],
    "thresholds: [a]": [
        '1:13: expected metrics and lists, found a list | Write it like memory_total: ["value<2GB"].',
    ],
    "thresholds: {memory: ['value<1MB']}": [
        "1:14: unknown metric 'memory' | Did you mean 'memory_total'?",
    ],
    "thresholds: {memory_total: value<1MB}": [
        "1:28: expected a list, found 'value<1MB' | Write [\"value<2GB\"].",
    ],
    "thresholds: {memory_total: [5]}": [
        '1:29: expected a threshold, found 5 | Write "value<2GB".',
    ],
    "thresholds: {memory_total: ['value<1MB/h']}": [
        "1:29: memory_total is a size, and 1MB/h is a size per time | Write value<2GB.",
    ],
    "thresholds: {memory_leak_slope: ['value<1MB']}": [
        "1:34: memory_leak_slope is a size per time, and 1MB is a size | Write value<1MB/h.",
    ],
    "thresholds: {memory_total: ['max<1MB']}": [
        "1:29: memory_total has no 'max'; it has: value | Write it like value<2GB.",
    ],
    "thresholds: {memory_total: ['value=1MB']}": [
        "1:29: 'value=1MB' is not a threshold | Write it like value<2GB.",
    ],
    "matrix: {seed: [1, 2, 1]}": [
        "1:23: the value 1 is there twice | Remove one of them.",
    ],
    "matrix: {thresholds.memory_total.0: [a, b]}": [
        "1:10: a matrix cannot vary 'thresholds.memory_total.0' (in the cell thresholds.memory_total.0=a) | Remove it.",
    ],
    "matrix: {load.clock: [wall, virtual]}": [
        "1:10: a matrix cannot vary 'load.clock' (in the cell load.clock=wall) | Remove it.",
    ],
    "matrix: {variants.0.name: [a, b]}": [
        "1:10: a matrix cannot vary 'variants.0.name' (in the cell variants.0.name=a) | Remove it.",
    ],
    "connections: {distinct_capabilities: 262145}": [
        "1:38: 262,145 handshake documents of that size | Keep them below 256 MiB together.",
    ],
    "thresholds: {memory_total: ['value<lots']}": [
        "1:29: 'lots' is not a limit | Write it like value<2GB.",
    ],
    "thresholds: {gc_pause: ['p<1ms']}": [
        "1:25: 'p' is written wrongly | Write it like p(99)<100ms.",
    ],
    "thresholds: {gc_pause: ['p(101)<1ms']}": [
        "1:25: there is no p(101) | Write a percentile of 0 to 100.",
    ],
    "thresholds: {gc_pause: ['count<1ms']}": [
        "1:25: the count of gc_pause is a number, and 1ms is a duration | Write count<100.",
    ],
    "thresholds: {memory_total: [{threshold: value<1MB, stage: stedy}]}": [
        "1:59: unknown stage 'stedy' | Did you mean 'steady'?",
    ],
    "thresholds: {memory_total: [{threshold: value<1MB, variant: base}]}": [
        "1:61: unknown variant 'base' | Did you mean 'baseline'?",
    ],
    "thresholds: {memory_total: [{treshold: value<1MB}]}": [
        "1:30: unknown key 'treshold' | Did you mean 'threshold'?",
    ],
    "thresholds: {memory_total: [{threshold: value<1MB, metric: x}]}": [
        "1:52: unknown key 'metric' | Known: threshold, stage, window, variant, abort_on_fail, delay_abort_eval.",
    ],
    "thresholds: {memory_fixed: [{threshold: value<1MB, stage: steady, window: 5s}]}": [
        "1:52: memory_fixed is a figure of the whole run | Remove stage.",
        "1:67: memory_fixed is a figure of the whole run | Remove window.",
    ],
    "thresholds: {gc_pause: [{threshold: p(99)<1s, window: 5s}]}": [
        (
            "1:47: p of gc_pause is kept by stage, not by window | "
            "Judge max or count, or remove window."
        ),
    ],
    "thresholds: {operation_latency: [{threshold: max<1s, window: 5s}]}": [
        (
            "1:54: max of operation_latency is kept by stage, not by window | "
            "Remove window; one stage alone can be judged."
        ),
    ],
    "thresholds: {memory_total: [{threshold: value<1MB, window: 0s}]}": [
        "1:60: '0s' is no time at all | Write a duration above 0s.",
    ],
    "thresholds: {memory_total: [{threshold: value<1MB, delay_abort_eval: 5s}]}": [
        "1:52: delay_abort_eval without abort_on_fail | Add abort_on_fail: on.",
    ],
}

LOAD_REFUSALS: dict[str, list[str]] = {
    "{connections: 60s}": [
        "1:21: '60s' is not a whole number | Write it like 1.",
    ],
    "{connections: 10000001}": [
        "1:21: 10,000,001 is out of range | Write at most 10,000,000.",
    ],
    "{units: 5}": [
        "1:8: workload 'connections' counts connections, not units | Write connections.",
    ],
    "{ramp_up: 5s}": [
        "1:8: 'ramp_up' without a population | Add connections: 1000.",
    ],
    "{connections: 5, ramp_up: 60, hold_for: 31d}": [
        "1:33: '60' has no unit | Write 60s, 60ms or 60m.",
        "1:47: '31d' is longer than 30 days | Write at most 30d.",
    ],
    "{connections: 5, hold_fr: 60s}": [
        "1:24: unknown key 'hold_fr' | Did you mean 'hold_for'?",
    ],
    "{connections: 5, stages: [{name: a, duration: 5s, connections: 5}]}": [
        "1:8: 'connections' is of the short form, which excludes stages | Keep one of them.",
    ],
    "{}": [
        "1:7: the load has no stages | Add connections: 1000, or stages.",
    ],
    "5": [
        "1:7: expected keys and values, found 5 | Write it like {key: value}.",
    ],
    "{stages: []}": [
        "1:16: the list is empty | Write 1 to 100 items.",
    ],
    "{stages: [{name: a, duraton: 5s, connections: 5}]}": [
        "1:27: unknown key 'duraton' | Did you mean 'duration'?",
    ],
    "{stages: [{name: a, duration: 5s}]}": [
        "1:17: stage 'a' has no target | Write the population at its end, or an arrival_rate.",
    ],
    "{stages: [{name: a, duration: 5s, units: 5}]}": [
        "1:41: workload 'connections' counts connections, not units | Write connections.",
    ],
    "{stages: [{name: a, duration: 5s, connections: 5, arrival_rate: 5/s}]}": [
        "1:57: a population and an arrival_rate exclude each other | Remove one of them.",
    ],
    "{stages: [{name: a, duration: 5s, arrival_rate: 5/s}]}": [
        "1:41: arrivals without a lifetime: the population would only grow | Add lifetime: 30s to load.",
    ],
    "{lifetime: 20d, stages: [{name: a, duration: 30d, arrival_rate: 5000/s}]}": [
        "1:71: stage 'a' grows to 8,640,000,000 connections | Use at most 10,000,000.",
    ],
    "{stages: [{name: a, duration: 5s, connections: 1}, {name: a, duration: 5s, connections: 2}]}": [
        "1:65: a second stage 'a' | Give each its own name.",
    ],
    "{stages: [{name: a, duration: 5s, connections: 5, plateaus: 101}]}": [
        "1:67: 101 is out of range | Write at most 100.",
    ],
    "{connections: 5, clock: wal}": [
        "1:31: unknown clock 'wal' | Did you mean 'wall'?",
    ],
    "{connections: 5, arrival_rate: 1000}": [
        "1:38: '1000' is not a rate | Write it like 200/s or 30/m.",
    ],
    "{connections: 5, pattern: sinus}": [
        "1:33: unknown pattern 'sinus' | Did you mean 'sine'?",
    ],
    "{connections: 5, pattern: {name: constant, period: 5s}}": [
        "1:50: pattern 'constant' does not use 'period' | Remove it.",
    ],
    "{connections: 5, pattern: {name: burst, amplitude: 5%}}": [
        "1:47: pattern 'burst' does not use 'amplitude' | Remove it.",
    ],
    "{connections: 5, pattern: {name: burst, share: 0%}}": [
        "1:54: a burst in 0% of its period | Write 10% or so.",
    ],
}


def _places(expected: list[str]) -> list[str]:
    return [f"s.yaml:{one}" for one in expected]


def _with(line: str, base: str) -> str:
    """Return *base* with *line* first, in place of the line that has the same key."""
    key = line.split(":", maxsplit=1)[0] + ":"
    rest = [other for other in base.splitlines() if not other.startswith(key)]
    return "\n".join([line, *rest]) + "\n"


@pytest.mark.parametrize("text", YAML_REFUSALS)
def test_yaml(told: Callable[..., list[str]], text: str) -> None:
    """What YAML readers disagree about, and what scenarios do not use, is refused."""
    assert told(text) == _places(YAML_REFUSALS[text])


@pytest.mark.parametrize("line", REFUSALS)
def test_line(told: Callable[..., list[str]], base: str, line: str) -> None:
    """A wrong line is refused at the key or the value that is to be changed."""
    assert told(_with(line, base)) == _places(REFUSALS[line])


@pytest.mark.parametrize("load", LOAD_REFUSALS)
def test_load(told: Callable[..., list[str]], base: str, load: str) -> None:
    """A wrong load is refused where it was written, in the short form too."""
    assert told(_with(f"load: {load}", base)) == _places(LOAD_REFUSALS[load])


def test_all_problems_at_once_in_file_order(told: Callable[..., list[str]]) -> None:
    """Every problem of the file is told, in the order of its lines."""
    text = """\
version: 1
name: small
workload: connections
load:
  connections: 100
  hold_fr: 60
seed: -1
treshold: {}
thresholds:
  memory_total: [{threshold: "value<1MB", stage: stedy}]
  gc_paus: ["p(99)<1ms"]
"""
    assert told(text) == _places(
        [
            "6:3: unknown key 'hold_fr' | Did you mean 'hold_for'?",
            "7:7: -1 is out of range | Write at least 0.",
            "8:1: unknown key 'treshold' | Did you mean 'thresholds'?",
            "11:3: unknown metric 'gc_paus' | Did you mean 'gc_pause'?",
        ]
    )


def test_unknown_keys_do_not_hide_what_is_wrong_between_sections(
    told: Callable[..., list[str]], base: str
) -> None:
    """A name that refers to nothing is told together with a key that nobody knows."""
    text = (
        base
        + """\
treshold: {}
thresholds:
  memory_total: [{threshold: "value<1MB", stage: stedy}]
"""
    )
    assert told(text) == _places(
        [
            "5:1: unknown key 'treshold' | Did you mean 'thresholds'?",
            "7:50: unknown stage 'stedy' | Did you mean 'steady'?",
        ]
    )


def test_too_many_samples(told: Callable[..., list[str]], base: str) -> None:
    """A month at ten milliseconds is more samples than a run may take."""
    text = base.replace("100}", "100, hold_for: 30d}") + "sampling: {interval: 10ms}\n"
    assert told(text) == [
        "s.yaml:5:22: 259,202,500 samples per variant, above 10,000,000 | Sample less often, or run for less time."
    ]


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, a folder, a large file and another encoding are problems of the scenario."""
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    (tmp_path / "utf16.yaml").write_bytes("a: 1\nb: ü".encode("latin-1"))
    found = []
    for name in ("none.yaml", "", "large.yaml", "utf16.yaml"):
        with pytest.raises(ScenarioError) as caught:
            source.read(tmp_path / name)
        found.append(str(caught.value).removeprefix(str(tmp_path)))
    assert found == [
        "/none.yaml:1:1: the file cannot be read: No such file or directory",
        ":1:1: the file cannot be read: Is a directory",
        "/large.yaml:1:1: the file is larger than 1 MiB",
        "/utf16.yaml:2:4: the file is not UTF-8",
    ]


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (
            "{connections: 10, arrival_rate: 1001/s}",
            (
                "4:39: 1,001 arrivals per second renew 10 units in less than 10ms | "
                "Use at most 1,000/s, or more units."
            ),
        ),
        (
            "{connections: 100000, hold_for: 30d, message_rate: 1/s}",
            (
                "4:7: stage 'steady' sends 259,200,000,000 messages | "
                "Use at most 10,000,000,000: lower message_rate."
            ),
        ),
    ],
)
def test_rates_that_cannot_be_followed(
    told: Callable[..., list[str]], load: str, problem: str
) -> None:
    """A rate that no population of the size can have, or no run can finish, is refused."""
    text = f"version: 1\nname: small\nworkload: connections\nload: {load}\n"

    assert told(text) == [f"s.yaml:{problem}"]


def test_a_pool_that_grows_out_of_range(told: Callable[..., list[str]], base: str) -> None:
    """Scaling may make a pool too large, which is told before the run."""
    text = _with("variants: [{name: a, pool: {size: 10, max_size: 1000000}}]", base)

    assert told(text, scale=100.0) == [
        "--scale 10000%: a pool of 100,000,000 | Use at most 10,000,000."
    ]


def test_options_that_a_workload_has_no_use_for(told: Callable[..., list[str]]) -> None:
    """A synthetic unit has no state to pool or to pack, so asking for it is refused."""
    text = (
        "version: 1\nname: small\nworkload: synthetic\nload: {units: 10}\n"
        "variants: [{name: a, pool: on, compact: on}]\n"
    )

    assert told(text) == [
        "s.yaml:5:22: workload 'synthetic' has no pool | Remove it.",
        "s.yaml:5:32: workload 'synthetic' has no compact | Remove it.",
    ]
