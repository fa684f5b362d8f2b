"""How thoroughly properties are tested: quickly, or as `MEMOPT_HYPOTHESIS=thorough` asks."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile(
    "default", max_examples=30, stateful_step_count=50, deadline=None, derandomize=True
)
settings.register_profile(
    "thorough", max_examples=200, stateful_step_count=500, deadline=None, derandomize=True
)
settings.load_profile(os.environ.get("MEMOPT_HYPOTHESIS", "default"))


@pytest.fixture(autouse=True)
def _no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no run of a test write into the summary of the job that runs the tests."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
