"""How thoroughly properties are tested: quickly, or as `MEMOPT_HYPOTHESIS=thorough` asks."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile(
    "default", max_examples=30, stateful_step_count=50, deadline=None, derandomize=True
)
settings.register_profile(
    "thorough", max_examples=200, stateful_step_count=500, deadline=None, derandomize=True
)
settings.load_profile(os.environ.get("MEMOPT_HYPOTHESIS", "default"))
