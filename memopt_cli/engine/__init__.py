"""Runs a scenario: starts subjects, walks the stages, samples, and yields events."""
