"""What to say when a server does not hold, or does not answer, as many connections as asked."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.symptoms import Diagnosis, Symptoms, diagnose
from memopt_cli.errors import MeasurementError, MemoptError, TargetError
from memopt_cli.units import format_count
from memopt_cli.workloads.sockets.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.workloads.sockets.tally import Report, Tally

ERRORS: Final = {
    Failure.REFUSED: "ECONNREFUSED",
    Failure.NO_DESCRIPTORS: "EMFILE",
    Failure.NO_PORTS: "EADDRNOTAVAIL",
    Failure.NOT_CONNECTED: "ETIMEDOUT",
    Failure.RESET_OPENING: "ECONNRESET",
    Failure.RESET_WAITING: "ECONNRESET",
    Failure.RESET_IDLE: "ECONNRESET",
}
"""What a failure of a connection is as an error of its socket."""

_ITSELF: Final = {
    Failure.UNREACHABLE: ("no way leads to that address", "Look at the routes: `ip route get`."),
    Failure.NOT_OPENED: (
        "connected, but what the protocol begins with was not answered in time",
        "Look whether the server hangs, and whether it speaks this protocol.",
    ),
    Failure.CLOSED_OPENING: (
        "the server closed before the protocol's opening was complete",
        "It may not speak this protocol, or have a limit on connections: read its log.",
    ),
    Failure.CLOSED_WAITING: (
        "the server closed instead of answering",
        "Read its log: it refuses the request, or has a limit of its own.",
    ),
    Failure.CLOSED_IDLE: (
        "the server closed a connection on which nothing was due",
        "Raise its idle time-out, or hold connections for a shorter time.",
    ),
    Failure.WRONG_REPLY: (
        "the server answered what the protocol does not allow, or refused",
        "Check the URL's scheme and path, the headers and the password.",
    ),
    Failure.TLS: (
        "the encrypted channel could not be made, or broke",
        "Give the certificate that signed the server's: target.tls.cafile.",
    ),
    Failure.OTHER: ("an error of the system", "See errno(3)."),
}

OUR_OWN: Final = {Failure.NO_DESCRIPTORS, Failure.NO_PORTS}
"""Limits of the drivers: nothing is known of the server."""

_DYING_S = 0.5
_LOOK_EVERY_S = 0.02


def check(
    report: Report,
    *,
    asked: int,
    found: int,
    what: str,
    before: Tally,
    accepted: int | None,
    alive: Callable[[], object],
) -> None:
    """
    Do nothing if *found* is as much as was *asked* for.

    Args:
        report: What the drivers counted.
        asked: Connections, or answers.
        found: How many there are.
        what: "connections are held" and the like.
        before: What the drivers had counted when all was well.
        accepted: How many connections the server has, if that is known.
        alive: Raises `TargetError` when the server has ended.

    Raises:
        TargetError: Fewer than that; with the reason, as far as it can be told.
        MeasurementError: The drivers' own limits are the reason.
    """
    if found >= asked:
        return
    _unless_it_dies(alive)
    told = explained(report, before, asked=asked, found=found, accepted=accepted)
    message = f"{format_count(found)} of {format_count(asked)} {what}"
    ours = any(report.total.failures[each] > before.failures[each] for each in OUR_OWN)
    kind: type[MemoptError] = MeasurementError if ours else TargetError
    hint = told[0].remedy if told else ""
    reasons = "; ".join(f"{one.sign} ({format_count(one.count)}): {one.meaning}" for one in told)
    raise kind(f"{message}: {reasons}" if reasons else message, hint=hint)


def explained(
    report: Report, before: Tally, *, asked: int, found: int, accepted: int | None
) -> list[Diagnosis]:
    """Return what explains the shortfall, the most frequent first."""
    total = report.total
    failures = {
        Failure(name): count - before.failures[name]
        for name, count in total.failures.items()
        if count > before.failures[name]
    }
    errors: dict[str, int] = {}
    for failure, count in failures.items():
        if failure in ERRORS:
            errors[ERRORS[failure]] = errors.get(ERRORS[failure], 0) + count
    unanswered = total.not_answered - total.late_replies
    unanswered -= before.not_answered - before.late_replies
    symptoms = Symptoms(
        errors=errors,
        connected=total.open,
        accepted=accepted,
        connect_times_s=_times(report) if total.slow_connects > before.slow_connects else (),
        closing_ages_s=[(float(age), count) for age, count in total.closing_ages.items()],
    )
    diagnoses = [*diagnose(symptoms), *_of_themselves(failures, total)]
    if unanswered > 0:
        diagnoses.append(_silent(unanswered))
    if not diagnoses:
        diagnoses.append(_not_asked_for(asked - found))
    return sorted(diagnoses, key=lambda one: -one.count)


def _of_themselves(failures: dict[Failure, int], total: Tally) -> list[Diagnosis]:
    found = []
    for failure, count in failures.items():
        if failure in _ITSELF:
            meaning, remedy = _ITSELF[failure]
            example = total.examples.get(failure.value, "")
            told = f"{meaning} ({example})" if failure in _TOLD and example else meaning
            found.append(Diagnosis(failure.value, count, told, remedy))
    return found


_TOLD = {Failure.WRONG_REPLY, Failure.TLS, Failure.OTHER}
"""Failures whose first example says more than their name."""


def _silent(count: int) -> Diagnosis:
    return Diagnosis(
        "not answered",
        count,
        "no reply came in time on connections that stayed open",
        "Look whether the server hangs or was stopped: `ps -o stat= -p PID` (T is stopped).",
    )


def _not_asked_for(count: int) -> Diagnosis:
    return Diagnosis(
        "not asked for",
        count,
        "the server accepted no more, and half of its queue was full",
        "Look whether it hangs or was stopped, and at its own limit on connections.",
    )


def _times(report: Report) -> list[tuple[float, int]]:
    """Return the times to connect as points: the share that is above each, in counts."""
    histogram = report.connecting
    steps = [0.5, 0.9, 0.99, 1.0]
    found, before = [], 0.0
    for step in steps:
        at_s = histogram.quantile_s(step)
        if at_s is not None:
            found.append((at_s, round((step - before) * histogram.count)))
        before = step
    return found


def _unless_it_dies(alive: Callable[[], object]) -> None:
    """Raise why the server has ended, if it does within a moment: its end shows first in us."""
    until_s = monotonic() + _DYING_S
    while monotonic() < until_s:
        alive()
        sleep(_LOOK_EVERY_S)
