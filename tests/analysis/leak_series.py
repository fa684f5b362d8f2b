"""
Seeded series with other noise and other warm-ups than the corpus.

No threshold was chosen on `series`, whose results with seed 1 were in view while the
rules were written; other seeds were not. The rule that growth must not slow down was
found on `filling`, which therefore shows that it works and not how often.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.analysis.leak_corpus import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LENGTHS, SPANS_S = (60, 120, 240, 600, 1440), (60.0, 600.0, 3600.0, 86400.0)


def _reverting(u: Floats, chance: Generator) -> Floats:
    """Return a slowly reverting walk: AR(1) with a correlation of 0.97."""
    found = np.zeros(len(u))
    for at in range(1, len(u)):
        found[at] = 0.97 * found[at - 1] + chance.normal(0, np.sqrt(1 - 0.97**2))
    return found


def _irregular_saw(u: Floats, chance: Generator) -> Floats:
    """Return a sawtooth whose collections come at random."""
    found, level = np.zeros(len(u)), 0.0
    for at in range(len(u)):
        level += chance.uniform(0, 0.4)
        level = 0.0 if level > chance.uniform(4, 8) else level
        found[at] = level
    return found


def _telegraph(u: Floats, chance: Generator) -> Floats:
    """Return a level that flips between two values, eight times on average."""
    flips = np.cumsum(chance.random(len(u)) < 8 / len(u))
    return np.where(flips % 2, 4.0, 0.0) + chance.normal(0, 0.2, len(u))


def _noise(u: Floats, chance: Generator, size: float) -> Floats:
    return chance.normal(0, size, len(u))


BACKGROUNDS: dict[str, Callable[[Floats, Generator], Floats]] = {
    "normal noise": lambda u, r: _noise(u, r, 1),
    "Laplace noise": lambda u, r: r.laplace(0, 1, len(u)),
    "slow walk": _reverting,
    "batches": lambda u, r: (
        6 * (np.sin(2 * np.pi * u * r.uniform(9, 25)) > 0.6) + _noise(u, r, 0.3)
    ),
    "root warm-up": lambda u, r: (
        20 * np.minimum(u / r.uniform(0.05, 0.3), 1) ** 0.5 + _noise(u, r, 0.5)
    ),
    "hyperbolic warm-up": lambda u, r: (
        20 * (1 - 1 / (1 + u / r.uniform(0.01, 0.04)) ** 2) + _noise(u, r, 0.5)
    ),
    "two steps": lambda u, r: sum(
        (r.uniform(3, 10) * (u > at) for at in r.uniform(0.05, 0.6, 2)), _noise(u, r, 0.5)
    ),
    "days": lambda u, r: (
        5 * np.sin(2 * np.pi * u * r.uniform(2.6, 6) + r.uniform(0, 6)) + _noise(u, r, 0.5)
    ),
    "triangles": lambda u, r: 6 * np.abs((u * r.uniform(5, 30)) % 1 * 2 - 1) + _noise(u, r, 0.3),
    "irregular sawtooth": _irregular_saw,
    "heavy spikes": lambda u, r: (
        _noise(u, r, 0.2) + 5 * (r.random(len(u)) < 0.02) * r.pareto(1.5, len(u))
    ),
    "telegraph": _telegraph,
    "two levels": lambda u, r: 4 * (r.random(len(u)) < 0.3) + _noise(u, r, 0.5),
}
"""Memory that stays bounded over the run, in multiples of a scale."""


def _growth(u: Floats, kind: str, chance: Generator) -> Floats:
    """Return a leak from 0 to 1: straight, in random lumps, or after a delay."""
    if kind == "lumps":
        count = int(chance.integers(30, 400))
        return np.searchsorted(np.sort(chance.random(count)), u) / count
    begins = chance.uniform(0.1, 0.4) if kind == "delayed" else 0.0
    return np.clip((u - begins) / (1 - begins), 0, None)


def series(
    seed: int,
    *,
    each: int,
    lengths: Sequence[int] = LENGTHS,
    spans_s: Sequence[float] = SPANS_S,
) -> list[Series]:
    """Return for every background *each* clean series and as many with a leak in it."""
    chance = np.random.default_rng(seed)
    return [
        one
        for name in BACKGROUNDS
        for _ in range(each)
        for one in _twins(name, chance, lengths, spans_s)
    ]


def _twins(
    name: str, chance: Generator, lengths: Sequence[int], spans_s: Sequence[float]
) -> tuple[Series, Series]:
    """Return a clean series and the same with a leak of 3 to 50 scales."""
    span_s = float(chance.choice(spans_s))
    u = np.linspace(0, 1, int(chance.choice(lengths)))
    scale, level = 10 ** chance.uniform(4, 6.5), 10 ** chance.uniform(7, 8.7)
    step = int(chance.choice([1, 4096]))
    clean = level + scale * BACKGROUNDS[name](u, chance)
    size = max(65536.0, scale * 10 ** chance.uniform(0.5, 1.7))
    growth = size * _growth(u, str(chance.choice(["line", "lumps", "delayed"])), chance)
    label = {"family": name, "visible": True, "snr": size / scale}
    rounded = (np.round(one / step) * step for one in (clean, clean + growth))
    none = {**label, "label": "no_leak", "true_slope": 0.0, "material": False}
    material = size > max(0.02 * level, 262_144)
    slopes = _slopes(u * span_s, growth)
    some = {**label, "label": "leak", "true_slope": size / span_s, "material": material}
    some |= {"slope_lo": min(slopes), "slope_hi": max(slopes)}
    return (
        Series(u * span_s, next(rounded), none),
        Series(u * span_s, next(rounded), some),
    )


def _slopes(times: Floats, growth: Floats) -> list[float]:
    """Return the slopes of a leak over its ends, from what a verdict may leave out on."""
    starts = [round(share * len(times)) for share in (0.0, 0.2, 0.4, 0.6)]
    return [float(np.polyfit(times[at:], growth[at:], 1)[0]) for at in starts]


def filling(seed: int) -> list[Series]:
    """Return bounded structures that have not filled yet: growth that slows down."""
    chance = np.random.default_rng(seed)
    shapes: dict[str, Callable[[Floats, float], Floats]] = {
        "exponential": lambda u, tau: 1 - np.exp(-u / tau),
        "hyperbola": lambda u, tau: u / (u + tau),
        "root": lambda u, tau: np.minimum(u / (2 * tau), 1) ** 0.5,
        "logarithm": lambda u, tau: np.log1p(u / (tau / 10)) / np.log1p(10 / tau),
    }
    found = []
    for name, shape in shapes.items():
        for tau in (0.1, 0.2, 0.3, 0.4):
            for count in LENGTHS:
                u, size = np.linspace(0, 1, count), 2e7
                sizes = 3e7 + size * (shape(u, tau) + chance.normal(0, 0.005, count))
                label = {"family": name, "label": "no_leak", "visible": True, "true_slope": 0.0}
                found.append(Series(u * 600, np.round(sizes / 4096) * 4096, label))
    return found


@dataclass(frozen=True, slots=True)
class Broken:
    """A series of what was restarted."""

    series: Series
    breaks: tuple[float, ...]


def broken(seed: int, *, each: int) -> list[Broken]:
    """
    Return for every background *each* clean series in parts, and as many with a leak.

    After each of one to five restarts memory begins at another level, with the program's
    warm-up again and without what it had leaked.
    """
    chance = np.random.default_rng(seed)
    found = []
    for name, made in BACKGROUNDS.items():
        for _ in range(each):
            span_s, count = float(chance.choice(SPANS_S)), int(chance.choice(LENGTHS[2:]))
            ends = np.sort(chance.choice(np.arange(0.1, 0.95, 0.05), chance.integers(1, 6), False))
            edges = np.round(np.array([0, *ends, 1]) * count).astype(int)
            scale, level = 10 ** chance.uniform(4, 6.5), 10 ** chance.uniform(7, 8.7)
            size = max(65536.0, scale * 10 ** chance.uniform(0.7, 1.7)) * len(edges)
            pieces, grown, times = [], [], []
            for number, (a, b) in enumerate(itertools.pairwise(edges)):
                u = np.arange(b - a) / count
                background = made(np.linspace(0, 1, b - a), chance)
                pieces.append(level + scale * (background + chance.uniform(-20, 20)))
                grown.append(size * u)
                times.append((np.arange(a, b) / count + 0.1 * number) * span_s)
            at = np.concatenate(times)
            breaks = tuple(float(one[0]) for one in times[1:])
            for leak in (False, True):
                sizes = np.concatenate(pieces) + leak * np.concatenate(grown)
                true = leak * size / span_s
                label = {
                    "family": name,
                    "visible": True,
                    "label": "leak" if leak else "no_leak",
                    "true_slope": true,
                    "snr": size / scale,
                    "material": leak and size > max(0.02 * level, 262_144),
                }
                found.append(Broken(Series(at, np.round(sizes / 4096) * 4096, label), breaks))
    return found
