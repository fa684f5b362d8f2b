"""How many idle arrays of one shape are worth keeping, by how large one of them is."""

from __future__ import annotations

from dataclasses import dataclass

from memopt_cli.errors import PoolError

KIB, MIB = 1024, 1024**2


@dataclass(frozen=True, slots=True)
class Tier:
    """How many arrays of one shape and dtype the pool keeps, by how large one of them is."""

    up_to_bytes: int | None
    """The largest array of the tier; None is any size."""

    at_start: int
    """Arrays that `ArrayPool.prepare` makes of a shape when it is told no number."""

    most_idle: int
    """Most idle arrays kept of a shape; a release beyond it lets the oldest go."""


SMALL = Tier(up_to_bytes=64 * KIB, at_start=10, most_idle=100)
"""At most 6.25 MiB idle per shape. One after another, these are slower than fresh ones."""

MEDIUM = Tier(up_to_bytes=MIB, at_start=5, most_idle=50)
"""At most 50 MiB idle per shape. Of these, many freed together gain most."""

LARGE = Tier(up_to_bytes=None, at_start=2, most_idle=10)
"""Ten arrays idle per shape; of arrays above 25.6 MiB the bound in bytes allows fewer."""

TIERS = (SMALL, MEDIUM, LARGE)


def tier_of(tiers: tuple[Tier, ...], size_bytes: int) -> Tier:
    """Return the first tier that arrays of *size_bytes* fit in."""
    for tier in tiers:
        if tier.up_to_bytes is None or size_bytes <= tier.up_to_bytes:
            return tier
    raise AssertionError("the last tier takes any size")


def check_tiers(tiers: tuple[Tier, ...]) -> None:
    """Refuse tiers in which some size has no place, or some tier no sense."""
    bounds = [tier.up_to_bytes for tier in tiers]
    finite = [bound for bound in bounds[:-1] if bound is not None]
    if not tiers or bounds[-1] is not None or len(finite) != len(bounds) - 1:
        raise PoolError(f"tiers end at {bounds}", hint="Give None for the last, and only for it.")
    if finite != sorted(set(finite)):
        raise PoolError(f"tiers end at {bounds}", hint="Give the smallest sizes first.")
    for tier in tiers:
        if not 0 <= tier.at_start <= tier.most_idle:
            raise PoolError(
                f"a tier starts with {tier.at_start:,} arrays and keeps {tier.most_idle:,}",
                hint="Start with 0 or more, and keep at least as many.",
            )
