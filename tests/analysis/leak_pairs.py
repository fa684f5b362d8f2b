"""
Seeded pairs of runs of one program: the same background twice, with noise of its own each.

What a program does is drawn from one stream of chance, its noise from another, so that
two runs can share the first. A baseline goes on for three times as long as its run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tests.analysis.leak_series import BACKGROUNDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator

    from tests.analysis.leak_series import Floats

NOT_REPEATED = {"irregular sawtooth", "telegraph", "slow walk"}
"""Their chance is in every step: two runs of them have nothing but their bounds in common."""

CACHES = {
    "cache, exponential": lambda u, _: 20 * (1 - np.exp(-u / 0.15)),
    "cache, hyperbolic": lambda u, _: 20 * u / (u + 0.05),
    "cache, at a steady pace": lambda u, _: 30 * np.minimum(u, 0.35),
}
"""Structures that are not full when the run ends, and are when its long baseline does."""

SAMPLES, LONGER = 300, 3


class _Program:
    """Draws what a program does from one stream, and noise from another."""

    def __init__(self, program: Generator, noise: Generator) -> None:
        self._program, self._noise = program, noise

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        return self._program.uniform(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._noise, name)


@dataclass(frozen=True, slots=True)
class Pair:
    """A run, and a run of the same program without the leak."""

    family: str
    run: tuple[Floats, Floats]
    baseline: tuple[Floats, Floats]
    leaks: bool


def pairs(seed: int, *, each: int, longer: int = 1, leaky: bool = False) -> Iterator[Pair]:
    """
    Yield for every background *each* pairs of clean runs, and as many with a leak.

    Args:
        seed: Of all.
        each: Pairs of a background.
        longer: How many times as long as the run its baseline is.
        leaky: Whether the baseline has the same leak, which must not hide it.
    """
    families = {n: b for n, b in BACKGROUNDS.items() if n not in NOT_REPEATED} | CACHES
    for number, (name, background) in enumerate(families.items()):
        for repeat in range(each):
            chance = np.random.default_rng([seed, number, repeat])
            scale, level = 10 ** chance.uniform(4, 6.5), 10 ** chance.uniform(7, 8.7)
            size = max(65536.0, scale * 10 ** chance.uniform(0.5, 1.7))
            at = np.linspace(0, 1, SAMPLES * LONGER)

            def made(run: int, leak: float, shares: int) -> tuple[Floats, Floats]:
                streams = (np.random.default_rng([seed, number, repeat, n]) for n in (9, run))  # noqa: B023 - called at once
                program = cast("Generator", _Program(*streams))
                sizes = level + scale * background(at, program) + leak * LONGER * at  # noqa: B023 - called at once
                kept = SAMPLES * shares
                return at[:kept] * 1800, np.round(sizes[:kept] / 4096) * 4096  # noqa: B023 - called at once

            for leak in (0.0, size):
                yield Pair(
                    name,
                    made(1, leak, 1),
                    made(2, leak if leaky else 0.0, longer),
                    bool(leak),
                )
