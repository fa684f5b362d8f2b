"""Has the drivers of real connections work in a thread, and looks at their server meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from memopt_cli.engine.stopping import Stopped
from memopt_cli.errors import TargetError
from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any

    from memopt_cli.engine.service import Service, Speech
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario
    from memopt_cli.scenario.sockets import DrivingSection
    from memopt_cli.workloads.sockets.plan import Share

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOOK_EVERY_S = 0.05


def section_of(scenario: Scenario) -> DrivingSection:
    """Return the section of the scenario's workload."""
    return scenario.target if scenario.target is not None else scenario.sockets


class Drivers:
    """The drivers of one variant; a context manager that ends them."""

    def __init__(self, scenario: Scenario, service: Service, stop: StopRequest) -> None:
        self._service, self._stop = service, stop
        self._failure: BaseException | None = None
        shares = _shares(scenario, service.speech)
        self.count = len(shares)
        settings = _settings(scenario, service.speech)
        with ExitStack() as opened:
            self.shards = opened.enter_context(Shards(settings, shares, check=self._interrupted))
            # Before the drivers end, nothing waits for them any more.
            self._thread = opened.enter_context(ThreadPoolExecutor(1))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._failure = self._failure or Stopped("the walk is over")
        self._opened.close()

    def begin(
        self, command: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs
    ) -> Future[_T]:
        """Have the thread do something with `shards`; `is_busy` says for how long."""
        return self._thread.submit(command, *arguments, **named)

    def is_busy(self, work: Future[Any]) -> bool:
        """Wait a moment for work; raises `TargetError` if the server has ended meanwhile."""
        if not wait([work], timeout=_LOOK_EVERY_S).not_done:
            return False
        try:
            self._service.members()
        except TargetError as exc:
            self._failure = exc
            wait([work])
            raise
        return True

    def _interrupted(self) -> None:
        """Raise what ends a wait for the drivers."""
        if self._failure is not None:
            raise self._failure
        self._stop.check()


def _shares(scenario: Scenario, speech: Speech) -> Sequence[Share]:
    return plan(
        scenario.load.peak_units or 1,
        speech.destinations,
        drivers=section_of(scenario).drivers or None,
        sources=speech.sources or None,
    )


def _settings(scenario: Scenario, speech: Speech) -> DriverSettings:
    return DriverSettings(
        speech.protocol,
        speech.options,
        speech.authority,
        (),
        tls=speech.tls,
        allow_remote=speech.allow_remote,
        window=speech.window,
        answer_within_s=section_of(scenario).answer_within_s,
        search_path=speech.search_path,
    )
