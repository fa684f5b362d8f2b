"""What a population holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PopulationStats:
    """How many agents there are, and what they occupy; the shared model counted once."""

    awake: int
    asleep: int
    belief_bytes: int
    """Of all who are awake."""

    row_bytes: int
    """Histories, latest actions and times of all who are awake, unused rows included."""

    slot_bytes: int
    """Of the table that finds agents, awake or asleep."""

    archive_bytes: int
    """Sealed blocks of histories that are kept whole."""

    model_bytes: int
    """Of the model, shared by all and perhaps by other populations."""
