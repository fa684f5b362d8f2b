"""Reporters: pure functions from a run's findings to text, and from numbers to figures."""
