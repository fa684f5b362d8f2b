"""The parts of a variant that was interrupted and went on, and the state that it goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Part:
    """What one process lived of a variant; a variant that was never interrupted has one."""

    starts_s: float
    """Scenario time at the end of its first tick; 0 for the first part."""

    ends_s: float
    """Scenario time up to which it is known what happened."""

    began_at: str
    """UTC, ISO 8601, of its first checkpoint."""

    ended_at: str
    """UTC, ISO 8601, of its latest checkpoint."""

    rebuilt_s: float
    """Real time that it took to rebuild the population; 0 for the first part."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment of a variant at which it can go on in another process."""

    part: int
    starts_s: float
    """As `Part.starts_s`."""

    rebuilt_s: float
    at_s: float
    """Scenario time."""

    state: Mapping[str, Any]
    """Where the load is: plain values that JSON holds exactly."""
