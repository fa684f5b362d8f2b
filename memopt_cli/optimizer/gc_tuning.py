"""The collector set for a service with many long-lived objects, and set back afterwards."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from enum import StrEnum
from threading import RLock
from typing import TYPE_CHECKING, Protocol, Self

from memopt_cli.errors import StateError

if TYPE_CHECKING:
    from types import TracebackType

LIVE_PER_YOUNG = 10
"""Adaptive: a young collection for every tenth of the population, in new objects."""

HIGHEST_THRESHOLD = 100_000
"""Adaptive: no more new objects than this between young collections."""


class Collector(Protocol):
    """What is used of the `gc` module."""

    def isenabled(self) -> bool: ...  # noqa: D102
    def enable(self) -> None: ...  # noqa: D102
    def disable(self) -> None: ...  # noqa: D102
    def collect(self) -> int: ...  # noqa: D102
    def freeze(self) -> None: ...  # noqa: D102
    def unfreeze(self) -> None: ...  # noqa: D102
    def get_freeze_count(self) -> int: ...  # noqa: D102
    def get_threshold(self) -> tuple[int, int, int]: ...  # noqa: D102
    def set_threshold(self, threshold0: int, threshold1: int, threshold2: int, /) -> None: ...  # noqa: D102


class GcProfile(StrEnum):
    """How the collector is set while the tuning is active."""

    DEFAULT = "default"
    """As it is: nothing is touched."""

    OFF = "off"
    """No automatic collection. Cycles stay until somebody collects."""

    FROZEN = "frozen"
    """What is alive at `settle` is never looked at again. Its cycles are never freed."""

    ADAPTIVE = "adaptive"
    """Fewer young collections the more is alive, within bounds."""


@dataclass(slots=True)
class _Claims:
    """The user's own settings, while tunings that overlap replace them."""

    off: int = 0
    was_enabled: bool = False
    adaptive: int = 0
    thresholds: tuple[int, int, int] = (0, 0, 0)
    frozen: int = 0
    froze: bool = False

    def unused(self) -> bool:
        """Say whether no tuning is active any more."""
        return not (self.off or self.adaptive or self.frozen)


_CLAIMS: dict[int, _Claims] = {}
# Re-entrant, because a finaliser run by `settle` may use a tuning of its own.
_LOCK = RLock()


class GcTuning:
    """
    A context manager that applies a `GcProfile` and restores what it found.

    Tunings may overlap and end in any order: the user's settings come back with the last one
    of a profile. A collector that the user switched off, by `gc.disable` or by a threshold of
    zero, is never switched on. One tuning is entered once at a time.
    """

    __slots__ = ("_active", "_collector", "_profile")

    def __init__(self, profile: GcProfile | str, *, collector: Collector = gc) -> None:
        """
        Args:
            profile: A profile or its name.
            collector: What to set; a stand-in for `gc` in tests.

        Raises:
            StateError: No profile has this name.
        """
        try:
            self._profile = GcProfile(profile)
        except ValueError:
            raise StateError(
                f"unknown collector profile {profile!r}",
                hint=f"Use one of {', '.join(GcProfile)}.",
            ) from None
        self._collector = collector
        self._active = False

    @property
    def profile(self) -> GcProfile:
        """The profile, whether active or not."""
        return self._profile

    def __enter__(self) -> Self:
        if self._active:
            raise StateError("this tuning is active already", hint="Make another GcTuning.")
        with _LOCK:
            self._claim(_CLAIMS.setdefault(id(self._collector), _Claims()))
            self._active = True
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _LOCK:
            self._active = False
            claims = _CLAIMS.setdefault(id(self._collector), _Claims())
            self._give_up(claims)
            if claims.unused():
                del _CLAIMS[id(self._collector)]

    def settle(self) -> None:
        """
        Say that the service is warm: with ``frozen``, collect and freeze what is alive.

        The other profiles do nothing. May be called again after the population has grown.

        Raises:
            StateError: The tuning is not active.
        """
        self._require_active()
        if self._profile is not GcProfile.FROZEN:
            return
        with _LOCK:
            claims = _CLAIMS[id(self._collector)]
            # Freezing cannot be undone in part: where somebody froze before, it stays frozen.
            claims.froze = claims.froze or self._collector.get_freeze_count() == 0
            self._collector.collect()
            self._collector.freeze()

    def observe(self, live_objects: int) -> int:
        """
        Say how many objects are alive: with ``adaptive``, set the young threshold by it.

        The threshold is a tenth of the population, at least the user's own and at most
        100,000 (or the user's own, if that is higher). The other profiles do nothing.

        Returns:
            The young threshold in force, in objects.

        Raises:
            StateError: The tuning is not active.
        """
        self._require_active()
        young, middle, old = self._collector.get_threshold()
        if self._profile is not GcProfile.ADAPTIVE:
            return young
        with _LOCK:
            own, *_ = _CLAIMS[id(self._collector)].thresholds
            # Zero switches the collector off, and the user has a reason for it.
            if own == 0 or young == 0:
                return young
            young = max(own, min(live_objects // LIVE_PER_YOUNG, HIGHEST_THRESHOLD))
            self._collector.set_threshold(young, middle, old)
        return young

    def _claim(self, claims: _Claims) -> None:
        """Note the user's settings, if this is the first tuning to replace them."""
        match self._profile:
            case GcProfile.OFF:
                if claims.off == 0:
                    claims.was_enabled = self._collector.isenabled()
                claims.off += 1
                self._collector.disable()
            case GcProfile.FROZEN:
                claims.frozen += 1
            case GcProfile.ADAPTIVE:
                if claims.adaptive == 0:
                    claims.thresholds = self._collector.get_threshold()
                claims.adaptive += 1

    def _give_up(self, claims: _Claims) -> None:
        """Restore the user's settings, if this is the last tuning that replaced them."""
        match self._profile:
            case GcProfile.OFF:
                claims.off -= 1
                if claims.off == 0 and claims.was_enabled:
                    self._collector.enable()
            case GcProfile.FROZEN:
                claims.frozen -= 1
                if claims.frozen == 0 and claims.froze:
                    self._collector.unfreeze()
                    claims.froze = False
            case GcProfile.ADAPTIVE:
                claims.adaptive -= 1
                switched_off = self._collector.get_threshold()[0] == 0
                if claims.adaptive == 0 and not switched_off:
                    self._collector.set_threshold(*claims.thresholds)

    def _require_active(self) -> None:
        if not self._active:
            raise StateError(
                "this tuning is not active", hint="Use it inside its `with` statement."
            )
