"""The collector set for a service with many long-lived objects, and set back afterwards."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from enum import StrEnum
from threading import RLock
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol, Self

from memopt_cli.errors import StateError
from memopt_cli.optimizer.gc_growth import Growth
from memopt_cli.optimizer.gc_pauses import Announcer, GcPauses

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from memopt_cli.optimizer.gc_pauses import Pauses

OLD_THRESHOLD = 100
"""
Adaptive: middle collections between two full ones, at least.

The full collections of a burst would look again and again at what the burst has made, until
the next quiet moment. With 700 and 10 for the others, one after 700,000 new objects is left;
with the 2,000 and 10 of CPython 3.13, one after two million.
"""

INTERPRETERS_OWN = 1000
"""CPython 3.12 freezes 375 objects at its start; a service that freezes has more alive."""

YOUNG = 0
"""The generation of what was made since the last collection."""


class Collector(Announcer, Protocol):
    """What is used of the `gc` module."""

    def isenabled(self) -> bool: ...  # noqa: D102 - as in `gc`
    def enable(self) -> None: ...  # noqa: D102 - as in `gc`
    def disable(self) -> None: ...  # noqa: D102 - as in `gc`
    def collect(self, generation: int = 2) -> int: ...  # noqa: D102 - as in `gc`
    def freeze(self) -> None: ...  # noqa: D102 - as in `gc`
    def unfreeze(self) -> None: ...  # noqa: D102 - as in `gc`
    def get_freeze_count(self) -> int: ...  # noqa: D102 - as in `gc`
    def get_threshold(self) -> tuple[int, int, int]: ...  # noqa: D102 - as in `gc`
    def set_threshold(self, threshold0: int, threshold1: int, threshold2: int, /) -> None: ...  # noqa: D102 - as in `gc`


class GcProfile(StrEnum):
    """How the collector is set while the tuning is active."""

    DEFAULT = "default"
    """As it is: nothing is touched."""

    OFF = "off"
    """No automatic collection. Cycles stay until somebody collects."""

    FROZEN = "frozen"
    """What is alive at `settle` is never looked at again. Its cycles are never freed."""

    ADAPTIVE = "adaptive"
    """
    At `quiet` moments what is young is looked at once, and set aside like frozen.

    Everything is looked at again when the memory in use has grown by a quarter more than the
    population explains, or later where that freed nothing before: cycles among what was set
    aside are freed then.
    """


@dataclass(slots=True)
class _Claims:
    """The user's own settings, while tunings that overlap replace them."""

    off: int = 0
    was_enabled: bool = False
    adaptive: int = 0
    raised_from: int | None = None
    freezing: int = 0
    may_thaw: bool = False
    froze: bool = False

    def unused(self) -> bool:
        """Say whether no tuning is active any more."""
        return not (self.off or self.freezing)


_CLAIMS: dict[int, _Claims] = {}
# Re-entrant, because a finaliser run by `settle` may use a tuning of its own.
_LOCK = RLock()


class GcTuning:
    """
    A context manager that applies a `GcProfile`, counts pauses, and restores what it found.

    Tunings may overlap and end in any order: the user's settings come back with the last one
    of a profile. A collector that the user switched off, by `gc.disable` or by a threshold of
    zero, is never switched on, nor asked to collect at quiet moments. One tuning is entered
    once at a time.
    """

    __slots__ = ("_active", "_blocks", "_clock", "_collector", "_growth", "_pauses", "_profile")

    def __init__(
        self,
        profile: GcProfile | str,
        *,
        count_pauses: bool = True,
        collector: Collector = gc,
        blocks: Callable[[], int] = sys.getallocatedblocks,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """
        Args:
            profile: A profile or its name.
            count_pauses: Whether `pauses` is wanted; 1.2 us per collection.
            collector: What to set; a stand-in for `gc` in tests.
            blocks: Counts the blocks of memory in use.
            clock: Nanoseconds from any beginning.

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
        self._blocks = blocks
        self._clock = clock
        self._growth = Growth(blocks, clock)
        self._pauses = GcPauses(announcer=collector, clock=clock) if count_pauses else None
        self._active = False

    @property
    def profile(self) -> GcProfile:
        """The profile, whether active or not."""
        return self._profile

    def __enter__(self) -> Self:
        if self._active:
            raise StateError("this tuning is active already", hint="Make another GcTuning.")
        with _LOCK:
            self._growth = Growth(self._blocks, self._clock)
            self._claim(_CLAIMS.setdefault(id(self._collector), _Claims()))
            self._active = True
        if self._pauses is not None:
            self._pauses.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pauses is not None:
            self._pauses.__exit__(exc_type, exc, traceback)
        with _LOCK:
            self._active = False
            claims = _CLAIMS.setdefault(id(self._collector), _Claims())
            self._give_up(claims)
            if claims.unused():
                del _CLAIMS[id(self._collector)]

    def settle(self) -> None:
        """
        Say that the service is warm: with ``frozen``, collect and freeze what is alive.

        The other profiles do nothing. To be called when the population has been built, not
        before: only what is alive is spared. May be called again after it has grown.

        Raises:
            StateError: The tuning is not active.
        """
        self._require_active()
        if self._profile is not GcProfile.FROZEN:
            return
        with _LOCK:
            self._collector.collect()
            self._freeze(_CLAIMS[id(self._collector)])

    def quiet(self, units: int = 0) -> None:
        """
        Say that nobody waits right now: with ``adaptive``, collect what is young.

        The other profiles do nothing. To be called often, after each batch of work or every
        few milliseconds: a pause is as long as there is work between two calls. Without any
        call the profile changes nothing. Where somebody else has frozen objects, nothing is
        set aside, because thawing has no part; the same where no blocks can be counted.

        Args:
            units: How many connections, sessions or the like are alive, if that is known:
                memory that grows along with them is not taken for garbage.

        Raises:
            StateError: The tuning is not active.
        """
        self._require_active()
        if self._profile is not GcProfile.ADAPTIVE or self._growth.blind:
            return
        with _LOCK:
            claims = _CLAIMS[id(self._collector)]
            if not claims.may_thaw or not self._ready(claims):
                return
            if self._growth.due(units):
                self._collector.unfreeze()
                self._collector.collect()
                self._growth.looked(units)
            else:
                self._collector.collect(YOUNG)
            self._freeze(claims)

    def pauses(self) -> Pauses:
        """
        Return the collector's pauses since the tuning began, until now or its end.

        Raises:
            StateError: They were not counted.
        """
        if self._pauses is None:
            raise StateError("no pauses were counted", hint="Leave out `count_pauses=False`.")
        return self._pauses.statistics()

    def _ready(self, claims: _Claims) -> bool:
        """Say whether the user lets the collector run, and spare bursts full collections."""
        young, middle, old = self._collector.get_threshold()
        # Zero switches the collector off, and the user has a reason for it.
        if young == 0 or not self._collector.isenabled():
            return False
        if old < OLD_THRESHOLD:
            claims.raised_from = old
            self._collector.set_threshold(young, middle, OLD_THRESHOLD)
        return True

    def _freeze(self, claims: _Claims) -> None:
        self._collector.freeze()
        claims.froze = True

    def _claim(self, claims: _Claims) -> None:
        """Note the user's settings, if this is the first tuning to replace them."""
        match self._profile:
            case GcProfile.OFF:
                if claims.off == 0:
                    claims.was_enabled = self._collector.isenabled()
                claims.off += 1
                self._collector.disable()
            case GcProfile.FROZEN:
                self._claim_freezing(claims)
            case GcProfile.ADAPTIVE:
                self._claim_freezing(claims)
                claims.adaptive += 1

    def _claim_freezing(self, claims: _Claims) -> None:
        if claims.freezing == 0:
            claims.may_thaw = self._collector.get_freeze_count() < INTERPRETERS_OWN
        claims.freezing += 1

    def _give_up(self, claims: _Claims) -> None:
        """Restore the user's settings, if this is the last tuning that replaced them."""
        match self._profile:
            case GcProfile.OFF:
                claims.off -= 1
                if claims.off == 0 and claims.was_enabled:
                    self._collector.enable()
            case GcProfile.FROZEN:
                self._give_up_freezing(claims)
            case GcProfile.ADAPTIVE:
                self._give_up_freezing(claims)
                claims.adaptive -= 1
                self._lower(claims)

    def _lower(self, claims: _Claims) -> None:
        """Restore the one threshold that was raised; what the user has set since stays."""
        young, middle, old = self._collector.get_threshold()
        if claims.adaptive == 0 and claims.raised_from is not None and old == OLD_THRESHOLD:
            self._collector.set_threshold(young, middle, claims.raised_from)

    def _give_up_freezing(self, claims: _Claims) -> None:
        claims.freezing -= 1
        if claims.freezing == 0 and claims.froze:
            claims.froze = False
            if claims.may_thaw:
                self._collector.unfreeze()

    def _require_active(self) -> None:
        if not self._active:
            raise StateError(
                "this tuning is not active", hint="Use it inside its `with` statement."
            )
