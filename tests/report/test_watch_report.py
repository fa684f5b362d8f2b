"""The report of a watch: the verdict in its first line, figures that hold to a schema, pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import numpy as np
import pytest

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.watch_findings import judge
from memopt_cli.analysis.watch_limits import WatchLimits, limits_of
from memopt_cli.report import watch_folder, watch_plots
from memopt_cli.report.watch_json import document, to_json
from memopt_cli.report.watch_markdown import markdown
from memopt_cli.report.watch_schema import json_schema
from memopt_cli.report.watch_wording import headline
from tests import watchings
from tests.making import MIB
from tests.watchings import process, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.watching import WatchRecording

PNG = b"\x89PNG\r\n\x1a\n"
AT = "process 4711 python app.py"

WATCHES = {
    "leak": watching(watchings.leaking()),
    "native": watching(watchings.natively_leaking()),
    "fragmentation": watching(watchings.fragmented()),
    "mapped": watching(watchings.mapping()),
    "hidden": watching(watchings.hiding()),
    "flat": watching(watchings.flat()),
    "short": watching(process(readings(over_s=230))),
    "one worker": watching(*watchings.workers(3, 1)),
    "processes": watching(*watchings.spawning()),
    "no agent": watching(process(readings(malloc=None), inside="it runs no Python")),
    "unread": watching(process()),
    "empty": watching(),
    "failed": watching(
        watchings.leaking(), outcome=Outcome.FAILED, reason="the target died", exit_status=139
    ),
    "interrupted": watching(
        watchings.leaking(not_traced="tracemalloc is in use"),
        outcome=Outcome.INTERRUPTED,
        signal=2,
        reason="SIGINT",
        processes_left_out=2,
    ),
    "killed": watching(watchings.flat(), outcome=Outcome.RUNNING),
    "beside a clean one": watching(
        watchings.leaking(), baseline=watching(watchings.flat()), baseline_name="reports/clean"
    ),
    "replaced": watching(*watchings.replaced(60 * MIB)),
    "beside a leak": watching(watchings.leaking(), baseline=watching(watchings.leaking())),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "leak",
            f"leak: 12.0 MiB/h (11.9 to 12.1) in {AT}, at app.py:35, held by app.service.kept",
        ),
        ("native", f"leak: 12.0 MiB/h (12.0 to 12.0) in {AT}, in native memory"),
        (
            "fragmentation",
            f"no leak: {AT} grows by 12.0 MiB/h (11.9 to 12.1), by fragmentation",
        ),
        ("hidden", f"leak: 8.00 MiB/h (7.99 to 8.04) in {AT}, in Python's objects"),
        (
            "short",
            (
                "inconclusive: a verdict needs 24 readings: watch longer or read more often, "
                "in python app.py 4711"
            ),
        ),
        (
            "one worker",
            (
                "leak: 12.0 MiB/h (11.9 to 12.1) in process 102 worker 1, at app.py:35, "
                "held by app.service.kept"
            ),
        ),
        (
            "processes",
            (
                "leak: 1.25 GiB/h (1.25 to 1.25) over all processes, "
                "1 at first and 20 at the end: processes leak"
            ),
        ),
        ("empty", "inconclusive: no process lived long enough to be judged"),
        (
            "failed",
            (
                f"failed: the target died; leak: 12.0 MiB/h (11.9 to 12.1) in {AT}, at app.py:35, "
                "held by app.service.kept"
            ),
        ),
        (
            "replaced",
            "leak: 60.3 MiB/h (58.4 to 62.7) in 15 lives of worker (200 to 214)",
        ),
        (
            "killed",
            "inconclusive: the watch goes on, or was killed; nothing is shown to leak so far",
        ),
    ],
)
def test_the_first_line_says_it(name: str, expected: str) -> None:
    """What an engineer has to know who was woken by it: how fast, where, and what holds it."""
    assert expected == headline(judge(WATCHES[name], WatchLimits()))


def test_a_crossed_threshold_is_said() -> None:
    """Where nothing leaks, the first line is the limit that was crossed."""
    found = judge(WATCHES["flat"], limits_of(thresholds=["memory_total: value<64MiB"]))

    assert headline(found).startswith("crossed: memory_total: value<64MiB, 80.")


def test_the_whole_document() -> None:
    """One report, compared as a whole."""
    found = judge(WATCHES["leak"], limits_of(thresholds=["gc_pause: p(99)<100ms"]))

    assert Path(__file__).with_name("watch.md").read_text(encoding="utf-8") == markdown(found)


def test_a_command_of_several_lines_is_one() -> None:
    """Whatever a command consists of, it is code on one line of the report."""
    target = "python -c 'print(1)\nprint(`2`)'"
    text = markdown(judge(replace(WATCHES["flat"], target=target), WatchLimits()))

    assert "`` python -c 'print(1) print(`2`)' ``, watched for" in text


@pytest.mark.parametrize("name", WATCHES)
def test_every_watch_has_its_files(name: str) -> None:
    """A report, JSON that holds to the schema, and a picture where something was read twice."""
    recorded: WatchRecording = WATCHES[name]
    limits = limits_of(leak="1kB/h", thresholds=["gc_pause: p(99)<100ms"])
    files = watch_folder.files(judge(recorded, limits), recorded)

    jsonschema.validate(json.loads(files["run.json"]), json_schema())
    drawn = any(len(one.readings) > 1 for one in recorded.processes)
    assert {"report.md", "run.json"} | ({"watch.png"} if drawn else set()) == files.keys()
    assert all(content.startswith(PNG) for name, content in files.items() if name.endswith(".png"))


def test_the_longest_pause_of_a_long_watch_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 9 s among 360 of 4 ms, at its time, although ten points are drawn for all."""
    monkeypatch.setattr(watch_plots, "MOST_POINTS", 10)
    read = readings(every_s=1.0)
    read[1234] = replace(read[1234], gc_pauses=1, gc_pause_s=9.0, gc_pause_max_s=9.0)
    recorded = watching(process(read))

    figure = watch_plots.over_time(judge(recorded, WatchLimits()), recorded)

    assert figure is not None
    points = np.concatenate([line.get_xydata() for line in figure.axes[1].get_lines()])
    assert 10 == len(points)
    assert [1235 / 60, 9000.0] in points.tolist()


def test_equal_watches_are_equal_files() -> None:
    """Nothing of a clock, or of a version, is in a report."""
    recorded = WATCHES["one worker"]
    found = judge(recorded, WatchLimits())

    assert watch_folder.files(found, recorded) == watch_folder.files(found, recorded)


def test_figures_for_programs() -> None:
    """Per hour, in bytes, with where it is."""
    made = document(judge(WATCHES["leak"], WatchLimits()))

    process_ = made["processes"][0]
    suspect = process_["suspects"][0]
    assert 12 * 2**20 == pytest.approx(
        process_["growth"]["slope_bytes_per_hour"]["value"], rel=0.01
    )
    assert ("/srv/app.py", 35, "app.service.kept", 99) == (
        suspect["file"],
        suspect["line"],
        suspect["holder"],
        made["exit_code"],
    )


def test_lines_of_what_is_no_leak_accuse_nobody() -> None:
    """They are shown as what grows, and the first line does not name them."""
    found = judge(watching(watchings.flat(suspects=(watchings.SUSPECT,))), WatchLimits())

    text = markdown(found)
    assert "Grows, not called a leak" in text
    assert "app.py:35" not in text.splitlines()[0]


def test_json_has_no_infinities() -> None:
    """What the data do not bound is null, as JSON has no infinity."""
    assert "Infinity" not in to_json(judge(WATCHES["leak"], WatchLimits()))
