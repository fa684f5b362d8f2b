"""Properties of a connection state that are one number in its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from memopt_cli.optimizer.fields import wrong_type
from memopt_cli.optimizer.records import ELSEWHERE

if TYPE_CHECKING:
    from memopt_cli.optimizer.counters import StateCounters

T = TypeVar("T")


class Scalar(Protocol[T]):
    """A property whose type is that of its values."""

    def __get__(self, state: StateCounters, owner: type[StateCounters]) -> T: ...
    def __set__(self, state: StateCounters, value: T) -> None: ...


def count_property(name: str, word: int, doc: str) -> Scalar[int]:
    """Return the property of an int that is kept in one word, or elsewhere if it is larger."""

    def read(state: StateCounters) -> int:
        words, at = state._words, state._at
        if words[at] != state._key:
            raise state._stale()
        value = words[at + word]
        return value if value != ELSEWHERE else state._pool.wide(at, word)

    def write(state: StateCounters, value: int) -> None:
        words, at = state._words, state._at
        if words[at] != state._key:
            raise state._stale()
        try:
            words[at + word] = value
        except ValueError:
            state._pool.set_wide(at, word, value)
        except TypeError:
            raise wrong_type(name, "an int", value) from None
        else:
            if value == ELSEWHERE:
                state._pool.set_wide(at, word, value)

    return cast("Scalar[int]", property(read, write, doc=doc))


def time_property(name: str, double: int, doc: str) -> Scalar[float]:
    """Return the property of a float."""

    def read(state: StateCounters) -> float:
        at = state._at
        if state._words[at] != state._key:
            raise state._stale()
        return state._pool.times[(at >> 1) + double]

    def write(state: StateCounters, value: float) -> None:
        at = state._at
        if state._words[at] != state._key:
            raise state._stale()
        try:
            state._pool.times[(at >> 1) + double] = value
        except (TypeError, ValueError, OverflowError):
            raise wrong_type(name, "seconds, as a float or an int that fits one", value) from None

    return cast("Scalar[float]", property(read, write, doc=doc))
