"""
Every error memopt raises on purpose.

* MemoptError
  x UsageError
    + ScenarioError
  x TargetError
    + SubjectDied
    + SubjectHung
    + SubjectOutOfMemory
    + WrongReply
  x MeasurementError
  x MemoryBudgetExceeded
  x LeakFound
  x StoreError
  x PoolError
    + PoolExhausted
    + ForeignHandle
    + StaleHandle
  x StateError
    + UnknownField
    + WrongFieldType
  x AgentError
  x CodecError
    + CorruptState
    + TruncatedState
    + UnknownVersion

The command line turns each into one message and one exit code.
Anything else that escapes is a bug, and keeps its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memopt_cli.exit_codes import ExitCode


class MemoptError(Exception):
    """Base class; catch this to catch everything memopt raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL_ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        """
        Args:
            message: What is wrong, with the value that was found.
            hint: What to do about it, as a sentence the reader can act on.
        """
        super().__init__(message)
        self.hint = hint


class UsageError(MemoptError):
    """What was asked for cannot be done as it was written."""

    exit_code = ExitCode.USAGE_ERROR


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file, as an editor and a compiler write it: ``path:line:column``."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a scenario: what was found, where, and what to write instead."""

    message: str
    at: Location
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {self.message}"


class ScenarioError(UsageError):
    """A scenario cannot be run as written; holds every problem of the file, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class TargetError(MemoptError):
    """The process under test failed; its numbers mean nothing."""

    exit_code = ExitCode.TARGET_FAILED


class SubjectDied(TargetError):
    """The process under test exited while it was being measured."""


class SubjectHung(TargetError):
    """The process under test gave no answer within the time it was allowed."""


class SubjectOutOfMemory(TargetError):
    """The process under test was stopped because memory ran out."""


class WrongReply(TargetError):
    """The server under load answered something that its protocol does not allow."""


class MeasurementError(MemoptError):
    """Too little, or too unreliable, was measured to reach a verdict."""

    exit_code = ExitCode.INCONCLUSIVE


class MemoryBudgetExceeded(MemoptError):
    """An operation used more memory than it was given."""

    exit_code = ExitCode.THRESHOLDS_CROSSED

    def __init__(self, message: str, *, used_bytes: float, limit_bytes: float) -> None:
        super().__init__(message, hint="Raise the budget, or let the operation hold less at once.")
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes


class LeakFound(MemoptError, AssertionError):
    """What was asserted not to leak leaks; an `AssertionError`, so that a test fails by it."""

    exit_code = ExitCode.THRESHOLDS_CROSSED


class StoreError(MemoptError):
    """A run on disk cannot be read or written."""

    exit_code = ExitCode.USAGE_ERROR


class PoolError(MemoptError):
    """A pool was used against its rules; no counter of it has changed."""


class PoolExhausted(PoolError):
    """Every object the pool may hold is in use."""


class ForeignHandle(PoolError):
    """The handle was not given out by this pool."""


class StaleHandle(PoolError):
    """The handle was released before; its slot may belong to another owner now."""


class StateError(MemoptError):
    """A connection state was asked for something it does not hold."""


class UnknownField(StateError):
    """The state has no field of this name."""


class WrongFieldType(StateError):
    """The value's type is not the field's."""


class AgentError(MemoptError):
    """A model, an observation or a belief is not one that an agent can think with."""


class CodecError(MemoptError):
    """Bytes that should hold an encoded state do not."""


class CorruptState(CodecError):
    """The bytes were changed since they were encoded: checksum or structure do not match."""


class TruncatedState(CodecError):
    """The bytes end before the state does."""


class UnknownVersion(CodecError):
    """The bytes were written by a format version that this release does not read."""
