"""`memopt simulate --resume` and `--stop-after`, as a CI job of several slices uses them."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from memopt_cli.report.schema import json_schema
from memopt_cli.scenario import catalogue, loading
from memopt_cli.scenario.dumping import dump
from memopt_cli.store import reader
from tests.cli.conftest import ENDLESS, Memopt, samples_in
from tests.cli.test_watch_report import watched

if TYPE_CHECKING:
    from pathlib import Path

SOAK = """\
version: 1
name: soak
workload: connections
connections: {message_mix: {13B: 100%}}
variants: [{name: plain}, {name: leaky, compact: on, leak: 1KiB}]
load:
  message_rate: 5/s
  stages:
    - {name: baseline, duration: 1s, connections: 0}
    - {name: ramp-up, duration: 2s, connections: 100, plateaus: 2}
    - {name: steady, duration: 60s, connections: 100}
    - {name: drain, duration: 1s, connections: 0}
thresholds: {memory_leak_slope: ["value<1MB/h"]}
"""


def _run_json(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def _killed(memopt: Memopt, *arguments: str, samples: int) -> None:
    """Begin a run, or go on with it, and kill it when it has so many samples."""
    process = memopt.begin("simulate", *arguments, "-q")
    while samples_in(memopt.folder / "cut") < samples:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()


def test_killed_thrice_it_ends_as_if_never(memopt: Memopt) -> None:
    """Nothing that was written is lost, and verdict and digests are those of a whole run."""
    name = memopt.write("soak", SOAK)
    whole = memopt("simulate", name, "--out", "whole", "-q")
    _killed(memopt, name, "--out", "cut", samples=12)
    before = reader.read(memopt.folder / "cut").variants[0].samples
    _killed(memopt, "--resume", "cut", samples=30)
    # In the second variant; the first is over and is not run again.
    _killed(memopt, "--resume", "cut", samples=80)
    done = memopt("simulate", "--resume", "cut", "-q")

    expected, found = (reader.read(memopt.folder / one) for one in ("whole", "cut"))
    assert (99, 99) == (whole.returncode, done.returncode)
    assert before == found.variants[0].samples[: len(before)]
    for one, other in zip(expected.variants, found.variants, strict=True):
        assert (one.digest, one.transcript) == (other.digest, other.transcript)
        assert [sample.at_s for sample in one.samples] == [s.at_s for s in other.samples]
    report = (memopt.folder / "cut" / "report.md").read_text(encoding="utf-8")
    assert "## Interrupted and resumed" in report
    run = _run_json(memopt.folder / "cut")
    jsonschema.validate(run, json_schema())
    assert [len(one.parts) for one in found.variants] == [len(v["parts"]) for v in run["variants"]]


def test_slices(memopt: Memopt) -> None:
    """A slice that is over exits 75 and says how to go on; a job can do so until it is not 75."""
    name = memopt.write("endless", ENDLESS.replace("10h", "10s"))
    codes = []
    first = memopt("simulate", name, "--out", "run", "--stop-after", "1ms")
    codes.append(first.returncode)
    found = _run_json(memopt.folder / "run")
    codes.append(memopt("simulate", "--resume", "run", "-q").returncode)
    again = memopt("simulate", "--resume", "run", "-q")

    assert [75, 0] == codes
    assert first.stderr.splitlines()[-1] == "To go on: memopt simulate --resume run"
    assert ("stopped", 75, "the slice of 1.00 ms is over") == (
        found["outcome"],
        found["exit_code"],
        found["reason"],
    )
    assert (0, 2) == (again.returncode, len(again.stderr.split(": ", 1)))
    assert "nothing is left to run" in again.stderr


def test_a_resumed_run_is_judged_and_written_as_it_was_asked(memopt: Memopt) -> None:
    """What must not regress is kept with the run; formats are asked for of each slice."""
    name = memopt.synthetic("small")
    memopt("simulate", name, "--out", "base", "-q")
    kept = ("--baseline", "base", "--fail-on-regression", "memory_total<-90%")
    first = memopt("simulate", name, "--out", "run", "--stop-after", "1ms", "-q", *kept)
    done = memopt("simulate", "--resume", "run", "-q", "--out", "junit=j.xml", "--out", "json=-")

    assert (75, 0) == (first.returncode, done.returncode)
    assert json.loads(done.stdout) == _run_json(memopt.folder / "run")
    assert "memory_total" in (memopt.folder / "j.xml").read_text(encoding="utf-8")
    assert "memory_total<-90%" in (memopt.folder / "run" / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def of_another_release(tmp_path_factory: pytest.TempPathFactory) -> Memopt:
    """Return a folder with a scenario and an interrupted run that another memopt has begun."""
    memopt = Memopt(tmp_path_factory.mktemp("other"))
    memopt("simulate", memopt.synthetic("small"), "--out", "run", "--stop-after", "1ms", "-q")
    with closing(sqlite3.connect(memopt.folder / "run" / "samples.sqlite")) as base:
        query = "UPDATE run SET value = json_set(value, '$.memopt', '0.0.0') WHERE name = ?"
        base.execute(query, ("environment",))
        base.commit()
    return memopt


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no scenario is named"),
        (("small.yaml", "--resume", "run"), "SCENARIOS would change it"),
        (("--resume", "run", "--set", "seed=2", "--scale", "5%"), "--set, --scale would change it"),
        (("--resume", "run", "--out", "other"), "--out DIR would change it"),
        (
            ("--resume", "run", "--baseline", "run", "--fail-on-regression", "memory_total>5%"),
            "--baseline, --fail-on-regression would change it",
        ),
        (("--resume", "nowhere"), "nowhere holds no run"),
        (("--resume", "run"), "memopt was 0.0.0, is "),
        (("small.yaml", "--stop-after", "60"), "--stop-after 60: "),
        (("small.yaml", "small.yaml", "--stop-after", "1h"), "--stop-after is for one run"),
    ],
)
def test_refused(arguments: tuple[str, ...], said: str, of_another_release: Memopt) -> None:
    """What cannot be gone on with is refused with its reason, and nothing is run."""
    run = of_another_release.folder / "run" / "samples.sqlite"
    before = run.read_bytes()
    done = of_another_release("simulate", *arguments)

    assert 2 == done.returncode
    assert said in done.stderr
    assert before == run.read_bytes()


def test_a_watch_cannot_be_resumed(memopt: Memopt) -> None:
    """It has no load to go on with."""
    with watched(memopt.folder) as directory:
        done = memopt("simulate", "--resume", str(directory))

    assert 2 == done.returncode
    assert "a watch cannot be resumed" in done.stderr


@pytest.mark.parametrize("name", catalogue.names())
def test_what_is_gone_on_with_is_what_was_begun(name: str) -> None:
    """Each cell of each shipped scenario is read again as it was run, also scaled."""
    for cell in loading.load(catalogue.find(name), scale=0.07).cells:
        kept = loading.load_text(dump(cell.scenario), catalogue.find(name))
        assert cell.scenario == kept
