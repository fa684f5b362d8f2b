"""What a benchmark sets out to reach, and whether what was measured reaches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure that shall not be above a limit."""

    name: str
    measured: float | None
    """None where it was not measured, which is never a pass."""

    most: float
    unit: str

    @property
    def verdict(self) -> str:
        """Return met, not met, or not measured."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.most else "NOT MET"

    def __str__(self) -> str:
        measured = "-" if self.measured is None else f"{self.measured:,.4g}"
        most = f"<= {self.most:,.4g} {self.unit}"
        return f"  {self.name:<52} {measured:>9} {most:<14} {self.verdict}"


def print_goals(goals: list[Goal]) -> None:
    """Print each goal with its figure and its verdict."""
    print("\nGoals: measured, limit, verdict")
    for goal in goals:
        print(goal)


def head(labels: list[str], *, first: int, width: int) -> str:
    """Return the first line of a table."""
    return " " * first + "".join(f"{label:>{width}}" for label in labels)


def row(label: str, cells: list[str], *, first: int, width: int) -> str:
    """Return a line of a table."""
    return f"{label:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells)
