"""Leak tests search the whole heap at each reading: what pytest holds is taken out of it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """Hide what is alive from the collector, for the time of one module."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
