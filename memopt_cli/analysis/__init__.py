"""Pure functions from what was recorded to what it means. No input or output here."""
