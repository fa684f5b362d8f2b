"""How much memory an operation may take, and who is told before it takes more."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from memopt_cli.errors import MemoryBudgetExceeded, UsageError
from memopt_cli.units import format_size, parse_ratio, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

WARN_AT = 0.80
ALERT_AT = 0.95


class Level(StrEnum):
    """How much of a budget is used."""

    WITHIN = "within"
    WARN = "warn"
    ALERT = "alert"
    EXCEEDED = "exceeded"


class MemoryBudgetWarning(UserWarning):
    """An operation used nearly all of its memory budget."""


class MemoryBudgetAlert(MemoryBudgetWarning):
    """An operation used all but the last of its memory budget."""


@dataclass(frozen=True, slots=True)
class Notice:
    """That an operation came near the end of its budget, or beyond it."""

    operation: str
    level: Level
    used_bytes: float
    limit_bytes: float
    basis: str
    """What was counted: ``peak of traced memory`` or ``growth of resident memory``."""

    def __str__(self) -> str:
        return (
            f"{self.operation} used {format_size(self.used_bytes)} of its "
            f"{format_size(self.limit_bytes)}, {self.used_bytes / self.limit_bytes:.1%} "
            f"({self.basis})"
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """
    A limit with two marks below it; `of` makes one from what people write.

    Both marks count as reached at the mark itself, the limit as crossed only above it.
    """

    limit_bytes: float
    warn_at: float = WARN_AT
    """Share of the limit."""

    alert_at: float = ALERT_AT
    """Share of the limit."""

    tell: Callable[[Notice], None] | None = None
    """Called at either mark; without it, warnings of the two categories are issued."""

    def __post_init__(self) -> None:
        if self.limit_bytes <= 0:
            raise UsageError(f"a memory budget of {format_size(self.limit_bytes)} allows nothing")
        if not 0 < self.warn_at <= self.alert_at <= 1:
            raise UsageError(
                f"the marks of a memory budget are out of order: {self.warn_at:.0%} to warn, "
                f"{self.alert_at:.0%} to alert",
                hint="Write them between 0% and 100%, the warning first.",
            )

    @classmethod
    def of(
        cls,
        limit: str | Budget,
        *,
        warn_at: str = f"{WARN_AT:.0%}",
        alert_at: str = f"{ALERT_AT:.0%}",
        tell: Callable[[Notice], None] | None = None,
    ) -> Budget:
        """
        Return the budget that *limit* spells out; a budget is returned as it is.

        Raises:
            UsageError: A size or share has no unit, or the marks are out of order.

        >>> Budget.of("10MiB", warn_at="50%").warn_at
        0.5
        """
        if isinstance(limit, Budget):
            return limit
        try:
            return cls(parse_size(limit), parse_ratio(warn_at), parse_ratio(alert_at), tell)
        except ValueError as exc:
            raise UsageError(f"the memory budget cannot be read: {exc}") from None

    def level(self, used_bytes: float) -> Level:
        """
        Return how far *used_bytes* goes; nothing is rounded before it is compared.

        >>> budget = Budget(1000)
        >>> [str(budget.level(used)) for used in (799, 800, 949, 950, 1000, 1001)]
        ['within', 'warn', 'warn', 'alert', 'alert', 'exceeded']
        """
        if used_bytes > self.limit_bytes:
            return Level.EXCEEDED
        # Products, not quotients: 0.95 * 1000 is 950 exactly, and 950 / 1000 is not 0.95.
        if used_bytes >= self.alert_at * self.limit_bytes:
            return Level.ALERT
        return Level.WARN if used_bytes >= self.warn_at * self.limit_bytes else Level.WITHIN

    def judge(self, operation: str, used_bytes: float, basis: str, *, stack: int = 2) -> None:
        """
        Tell that a mark was reached.

        Args:
            operation: Who used the memory.
            used_bytes: At most, or now.
            basis: What was counted.
            stack: Frames between here and the line that a warning is for.

        Raises:
            MemoryBudgetExceeded: More than the limit was used.
        """
        level = self.level(used_bytes)
        if level is Level.WITHIN:
            return
        notice = Notice(operation, level, used_bytes, self.limit_bytes, basis)
        if level is Level.EXCEEDED:
            raise MemoryBudgetExceeded(
                str(notice), used_bytes=used_bytes, limit_bytes=self.limit_bytes
            )
        if self.tell is not None:
            self.tell(notice)
        else:
            kind = MemoryBudgetAlert if level is Level.ALERT else MemoryBudgetWarning
            warnings.warn(str(notice), kind, stacklevel=stack)
