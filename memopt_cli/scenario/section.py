"""The base of every part of a scenario that is written as keys and values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen keys and values; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def written_keys(cls) -> tuple[str, ...]:
        """Return the keys as they are written in YAML."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())
