"""Where a walk over real connections is, and what of it outlives its processes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.recording import StageSpan

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Waypoint:
    """The plateau that a walk is on its way to, as plain values."""

    stage: int = 0
    part: int = 1
    """Of the stage's plateaus, from 1."""

    began_s: float = 0.0
    """Scenario time at which the stage began."""

    first: int = 0
    """Connections at that time."""

    arrived: bool = False
    """Whether the plateau's connections are there, and were asked what they are asked once."""

    growing: bool = True
    """Whether no connection was closed yet."""

    asked: str = ""
    """All that was asked for up to this plateau, or to the one before it, if not arrived."""

    spans: tuple[StageSpan, ...] = ()
    """The stages that are over."""

    def enter(self, stage: int, *, at_s: float, units: int) -> None:
        """Begin a stage."""
        self.stage, self.part, self.arrived = stage, 1, False
        self.began_s, self.first = at_s, units

    def arrive(self, asked: str) -> None:
        """Reach the plateau, for which *asked* was asked."""
        self.asked, self.arrived = self.asked + asked, True

    def to_values(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_values(cls, state: Mapping[str, Any]) -> Waypoint:
        """Return the waypoint that a checkpoint's state holds among others."""
        names = {each.name for each in dataclasses.fields(cls)}
        values = {name: value for name, value in state.items() if name in names}
        return cls(**{**values, "spans": tuple(StageSpan(**span) for span in values["spans"])})

    def ends(self, last: int, parts: int) -> tuple[int, int]:
        """Return the connections at the plateau before and at this, of a stage up to *last*."""
        before, after = (
            self.first + round((last - self.first) * done / parts)
            for done in (self.part - 1, self.part)
        )
        return before, after

    def units(self, last: int, parts: int, there: int) -> int:
        """Return how many connections there were, of which the server held *there*."""
        before, after = self.ends(last, parts)
        return after if self.arrived else sorted((before, there, after))[1]
