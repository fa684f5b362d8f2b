"""From how something ended, and what it was judged as, to an exit code."""

from __future__ import annotations

from memopt_cli.analysis.recording import Outcome
from memopt_cli.analysis.results import Verdict
from memopt_cli.exit_codes import ExitCode

_EXIT_CODES = {
    Verdict.PASSED: ExitCode.PASSED,
    Verdict.CROSSED: ExitCode.THRESHOLDS_CROSSED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}
_SIGNALS = {1: ExitCode.HUNG_UP, 2: ExitCode.INTERRUPTED, 15: ExitCode.TERMINATED}


def exit_code(outcome: Outcome, signal: int | None, verdict: Verdict) -> ExitCode:
    """Return the exit code of a run, a watch or a comparison that ended so."""
    match outcome:
        case Outcome.FAILED:
            return ExitCode.TARGET_FAILED
        case Outcome.INTERRUPTED:
            return _SIGNALS.get(signal or 0, ExitCode.INCONCLUSIVE)
        case Outcome.STOPPED:
            return ExitCode.UNFINISHED
        case _:
            return _EXIT_CODES[verdict]
