"""Measure what one more connection costs in memory, and whether it is given back."""

__version__ = "0.1.0"
