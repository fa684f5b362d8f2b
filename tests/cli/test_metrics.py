"""`--metrics-port`: the real endpoint, scraped while a real run goes on, and what it survives."""

from __future__ import annotations

import errno
import socket
import socketserver
import sys
import threading
import time
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from memopt_cli.analysis.recording import StageSpan
from memopt_cli.analysis.watch_limits import WatchLimits
from memopt_cli.cli import scrapes
from memopt_cli.cli.gauges import RunGauges, WatchGauges
from memopt_cli.cli.looks import Looks, Unknown
from memopt_cli.cli.metrics import Metrics
from memopt_cli.engine import events, watch_events
from memopt_cli.report import summary
from memopt_cli.scenario import loading
from tests.cli.conftest import ENDLESS, Memopt, samples_in
from tests.making import run, sample
from tests.watchings import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from memopt_cli.report.summary import Summary
    from memopt_cli.scenario.loading import Plan

    Begin = Callable[..., tuple[psutil.Popen, str]]
    Values = dict[str, dict[str, float]]

WITHIN_S = 60.0
WHOLE = ("scenario", "target")
OF_PARTS = ("pid", "verdict", "variant")

GROWS = """\
import time
kept = []
for _ in range(1000):
    kept.append(bytes(60_000))
    time.sleep(0.005)
time.sleep(300)
"""


def values(text: str) -> Values:
    """Return the values of an exposition by name, then by what they are of, as it is parsed."""
    families: list[Any] = list(text_string_to_metric_families(text))
    told: Values = {}
    for family in families:
        for one in family.samples:
            key = next(one.labels[name] for name in (*OF_PARTS, *WHOLE) if name in one.labels)
            told.setdefault(family.name, {})[key] = one.value
    return told


def asked(address: str, method: str, path: str) -> tuple[int, str, str]:
    """Return the status, the content type and the text that a request is answered with."""
    with closing(HTTPConnection(urlsplit(address).netloc, timeout=WITHIN_S)) as client:
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


def scraped(address: str) -> Values:
    """Return what a scrape is answered with."""
    status, kind, text = asked(address, "GET", "/metrics")
    assert (200, "application/openmetrics-text; version=1.0.0; charset=utf-8") == (status, kind)
    return values(text)


def until(look: Callable[[], bool]) -> None:
    """Wait for something that comes sooner or later."""
    until_s = time.monotonic() + WITHIN_S
    while not look():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.fixture
def begin(memopt: Memopt) -> Iterator[Begin]:
    """Return a function that starts a command with an endpoint, and returns where that is."""
    started: list[psutil.Popen] = []

    def start(*arguments: str) -> tuple[psutil.Popen, str]:
        command, *rest = arguments
        process = memopt.begin(command, "--metrics-port", "0", "--quiet", *rest)
        started.append(process)
        said = process.stderr.readline()
        assert said.startswith("Metrics: http://127.0.0.1:"), said + process.stderr.read()
        return process, said.split()[1]

    yield start
    for one in started:
        # What a watch has started is its own to end, unless it is killed.
        family = [*one.children(recursive=True), one] if one.is_running() else []
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        one.communicate()


def test_a_run_is_told_of_while_it_goes_on(memopt: Memopt, begin: Begin) -> None:
    """Its figures are measured, its gauges move, and a client that stays does not hold it up."""
    process, address = begin("simulate", memopt.write("endless", ENDLESS), "--out", "run")
    until(lambda: samples_in(memopt.folder / "run") > 20)
    first = scraped(address)

    def has_moved(name: str) -> bool:
        return max(scraped(address)[name].values()) > max(first[name].values())

    until(lambda: has_moved("memopt_progress_ratio"))
    until(lambda: has_moved("memopt_last_sample_timestamp_seconds"))
    with socket.create_connection(("127.0.0.1", urlsplit(address).port or 0)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n")
        process.terminate()
        code = process.wait(WITHIN_S)

    assert {"endless": 0.0} == first["memopt_finished"]
    assert {"first": 100.0} == first["memopt_current_units"]
    assert {"first"} == first["memopt_memory_per_unit_bytes"].keys()
    assert 0 < first["memopt_progress_ratio"]["endless"] < 1
    held_bytes = first["memopt_current_memory_bytes"]["first"]
    assert first["memopt_memory_fixed_bytes"]["first"] < held_bytes < 100e6
    assert (143, "To go on: memopt simulate --resume run\n") == (code, process.stderr.read())
    # Nobody was reading any more when it was closed.
    assert ["samples.sqlite"] == [one.name for one in (memopt.folder / "run").glob("*.sqlite*")]


def test_it_tells_of_the_run_that_goes_on(memopt: Memopt, begin: Begin) -> None:
    """Of several scenarios one after the other, and of one that is resumed."""
    small, endless = memopt.synthetic("small"), memopt.write("endless", ENDLESS)
    first, address = begin("simulate", small, endless, "--out", "both")
    until(lambda: "endless" in scraped(address)["memopt_finished"])
    until(lambda: samples_in(memopt.folder / "both" / "endless") > 20)
    first.kill()
    first.wait(WITHIN_S)
    _, address = begin("simulate", "--resume", "both/endless")
    told = scraped(address)
    until(lambda: "memopt_current_units" in scraped(address))

    assert {"endless": 0.0} == told["memopt_finished"]


def test_a_watch_is_told_of_while_it_goes_on(tmp_path: Path, begin: Begin) -> None:
    """Memory and growth of the process that is watched, and no progress without an end."""
    options = ("--interval", "20ms", "--out", "seen", "--log")
    process, address = begin("watch", *options, "--", sys.executable, "-c", GROWS)
    until(lambda: "memopt_current_memory_bytes" in scraped(address))
    first = scraped(address)["memopt_current_memory_bytes"]
    until(
        lambda: all(
            scraped(address)["memopt_current_memory_bytes"][pid] > size_bytes + 1e6
            for pid, size_bytes in first.items()
        )
    )
    told = scraped(address)
    process.terminate()

    assert 143 == process.wait(WITHIN_S)
    assert [0.0] == list(told["memopt_finished"].values())
    assert told["memopt_last_sample_timestamp_seconds"].keys() == first.keys()
    assert "memopt_progress_ratio" not in told
    assert (tmp_path / "seen" / "report.md").is_file()


@pytest.mark.parametrize("command", [("simulate", "small.yaml"), ("watch", "--", "true")])
def test_a_port_that_cannot_be_had_is_refused(command: tuple[str, ...], memopt: Memopt) -> None:
    """Before anything is run, with what to do."""
    memopt.synthetic("small")
    name, *rest = command
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        taken = memopt(name, "--metrics-port", port, *rest)
    none = memopt(name, "--metrics-port", "65536", *rest)

    assert (2, 2) == (taken.returncode, none.returncode)
    hint = "or 0 for any that is free.\n"
    assert taken.stderr.startswith(f"error: --metrics-port {port}: Address already in use\n")
    assert none.stderr.startswith("error: --metrics-port 65536 is no port\n")
    assert taken.stderr.endswith(hint)
    assert none.stderr.endswith(hint)
    assert ["small.yaml"] == [one.name for one in memopt.folder.iterdir()]


class Ticking:
    """A clock that stands still until somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def now(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""
        self.now_s += duration_s


@pytest.mark.parametrize(("cost_s", "apart_s"), [(0.01, 5.0), (0.25, 5.0), (0.8, 16.0)])
@pytest.mark.parametrize("fails", [False, True])
def test_a_look_is_made_anew_when_it_is_due(cost_s: float, apart_s: float, fails: bool) -> None:
    """Not before five seconds, nor twenty times what it took, also if it failed."""
    clock, told, made = Ticking(), summary.of_run(run()), []

    def look() -> Summary:
        made.append(clock.now())
        clock.sleep(cost_s)
        if fails:
            raise ValueError("half\nwritten")
        return told

    looked = Looks(look, clock)
    for _ in range(1000):
        assert (Unknown("ValueError: half written") if fails else told) == looked.latest()
        clock.sleep(0.125)

    assert apart_s == pytest.approx(made[1] - made[0], abs=0.25)
    assert len(made) == pytest.approx(1000 * 0.125 / apart_s, rel=0.2)
    looked.end()
    clock.sleep(1000.0)
    made.clear()
    looked.latest()
    assert [] == made


def test_nobody_waits_for_a_look_but_the_first_and_the_end() -> None:
    """Who asks while another looks is told what was found before; the run's end waits for it."""
    clock, begun, goes_on = Ticking(), threading.Event(), threading.Event()
    goes_on.set()
    found = iter([summary.of_run(run(scenario=name)) for name in ("old", "new")])

    def look() -> Summary:
        begun.set()
        assert goes_on.wait(WITHIN_S)
        return next(found)

    looked = Looks(look, clock)
    old = looked.latest()
    clock.sleep(5.0)
    goes_on.clear()
    begun.clear()
    looking, ending = (threading.Thread(target=one) for one in (looked.latest, looked.end))
    looking.start()
    assert begun.wait(WITHIN_S)
    assert old == looked.latest()
    ending.start()
    ending.join(0.05)
    assert ending.is_alive()
    goes_on.set()
    for one in (looking, ending):
        one.join(WITHIN_S)
    new = looked.latest()
    assert isinstance(old, summary.Summary)
    assert isinstance(new, summary.Summary)
    assert ("old", "new") == (old.name, new.name)


def of_two(tmp_path: Path) -> Plan:
    """Return a plan of two variants that take the same time."""
    path = tmp_path / "endless.yaml"
    path.write_text(ENDLESS, encoding="utf-8")
    return loading.load(path)


STARTED = events.RunStarted("", "", "wall", {}, 1.0)


def variant(name: str) -> events.VariantStarted:
    """Return the event of a variant that begins."""
    return events.VariantStarted({}, name, "connections", False, 0, 1.0)


def test_what_is_known_of_a_run(tmp_path: Path) -> None:
    """Its last sample, and the share of the planned time of all variants that is over."""
    plan = of_two(tmp_path)
    duration_s = plan.cells[0].scenario.load.duration_s
    gauges = RunGauges(plan, wall_clock=lambda: 1e9)
    stage = events.StageStarted(0, StageSpan("steady", 0.0, 1.0, 1))
    for event in (STARTED, variant("first"), variant("second"), stage):
        gauges.see(event)
    assert ["memopt_finished"] == [one.name for one in gauges.now()]
    gauges.see(events.SampleTaken(sample(duration_s / 2, units=7)))

    assert [
        ("memopt_finished", 0.0),
        ("memopt_current_memory_bytes", 10 * 1024**2),
        ("memopt_current_units", 7),
        ("memopt_last_sample_timestamp_seconds", 1e9),
        ("memopt_progress_ratio", 0.75),
    ] == [(one.name, one.value) for one in gauges.now()]


def test_what_is_known_of_a_watch() -> None:
    """The processes that are there, and the share of its time if it has an end."""
    gauges = WatchGauges(wall_clock=lambda: 1e9)
    assert [] == gauges.now()
    gauges.see(watch_events.WatchStarted("app", "", 1.0, 60.0, {}))
    for number, pid in enumerate((11, 12)):
        gauges.see(watch_events.ProcessAppeared(number, pid, 1, "python app", 0.0, ""))
        gauges.see(watch_events.ReadingTaken(number, reading(15.0)))
    gauges.see(watch_events.ProcessEnded(0, 15.5))

    assert [
        ("memopt_finished", None, 0.0),
        ("memopt_current_memory_bytes", "12", 64 * 1024**2),
        ("memopt_last_sample_timestamp_seconds", "12", 1e9),
        ("memopt_progress_ratio", None, 0.25),
    ] == [(one.name, one.labels.get("pid"), one.value) for one in gauges.now()]


@pytest.fixture
def metrics() -> Metrics:
    """Return what is served, and asked directly."""
    made = Metrics()
    made.address = "http://here"
    return made


def test_before_anything_was_measured(tmp_path: Path, metrics: Metrics) -> None:
    """A valid exposition: of no run, and of one that has not finished."""
    assert (200, "# EOF\n") == metrics.answer()
    with metrics.of_run(of_two(tmp_path), tmp_path / "none"):
        status, text = metrics.answer()
    assert (200, {"memopt_finished": {"endless": 0.0}}) == (status, values(text))
    with metrics.of_watch(WatchLimits(), tmp_path / "none"):
        assert (200, "# EOF\n") == metrics.answer()


def test_what_cannot_be_judged_is_said(
    tmp_path: Path, metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 503 and the reason in one line, and the endpoint goes on."""
    with metrics.of_run(of_two(tmp_path), tmp_path / "none") as followed:
        followed.see(STARTED)
        status, text = metrics.answer()
    told = capsys.readouterr()
    with metrics.of_run(of_two(tmp_path), tmp_path / "none") as followed:
        followed.see(STARTED)
    after, _ = metrics.answer()

    # What has ended is looked at no more.
    assert (503, 200) == (status, after)
    assert 1 == text.count("\n")
    assert text.startswith("What was measured cannot be judged: StoreError: ")
    assert ("", "Metrics: http://here\n") == (told.out, told.err)


def served_nothing() -> tuple[HTTPStatus, str]:
    """Answer with an exposition of nothing."""
    return HTTPStatus.OK, "# EOF\n"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics?a=b", 200), ("GET", "/", 404), ("GET", "/metricsx", 404)]
    + [(method, "/metrics", 501) for method in ("HEAD", "POST", "DELETE")],
)
def test_what_is_answered(
    method: str, path: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The metrics at their path; elsewhere where they are; nothing else, and nothing is printed."""
    with scrapes.served(0, served_nothing) as address:
        found = asked(address, method, path)

    assert status == found[0]
    expected = {200: "# EOF\n", 404: "The metrics are at /metrics\n"}
    assert expected.get(status, found[2]) == found[2]
    assert ("", "") == capfd.readouterr()


def stays(place: tuple[str, int]) -> socket.socket:
    """Return a client that sends the half of a request."""
    client = socket.create_connection(place, WITHIN_S)
    client.sendall(b"GET /metrics")
    return client


def is_left(client: socket.socket) -> bool:
    """Wait until a client is left without an answer, and close it."""
    with client:
        try:
            return client.recv(1) == b""
        except ConnectionResetError:
            return True


def test_clients_that_stay_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there is room for keep nobody else out, and at the end none of them is left."""
    monkeypatch.setattr(scrapes, "END_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(scrapes._Client, "timeout", 10 * WITHIN_S)
    before = threading.active_count()
    with scrapes.served(0, served_nothing) as address:
        place = ("127.0.0.1", urlsplit(address).port or 0)
        clients = [stays(place) for _ in range(scrapes.MOST_CLIENTS + 3)]
        assert {} == scraped(address)
        assert is_left(clients.pop(0))

    assert {True} == {is_left(client) for client in clients}
    assert before == threading.active_count()
    with socket.create_server(place):
        pass


def test_a_client_that_stalls_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends the half of a request, and then nothing for too long."""
    assert scrapes.STALL_S == scrapes._Client.timeout
    monkeypatch.setattr(scrapes._Client, "timeout", 0.05)
    with scrapes.served(0, served_nothing) as address:
        place = ("127.0.0.1", urlsplit(address).port or 0)

        assert is_left(stays(place))


def test_without_descriptors_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that cannot be accepted stays in the queue: it is not tried without a pause."""
    tried: list[float] = []

    def refuse(_: socketserver.TCPServer) -> None:
        """Fail as `accept` does without a descriptor, which a test cannot take from its thread."""
        tried.append(time.monotonic())
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socketserver.TCPServer, "get_request", refuse)
    with (
        scrapes.served(0, served_nothing) as address,
        socket.create_connection(("127.0.0.1", urlsplit(address).port or 0)),
    ):
        while len(tried) < 3:
            time.sleep(0.01)

    assert all(after - before >= 0.09 for before, after in pairwise(tried[:3]))
