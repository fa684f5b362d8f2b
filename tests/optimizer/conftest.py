"""A pool of states, and the stores that it shares with others."""

from __future__ import annotations

import pytest

from memopt_cli.optimizer import PayloadStore, StatePool


@pytest.fixture
def payloads() -> PayloadStore:
    """Return a store of retained payloads."""
    return PayloadStore()


@pytest.fixture
def pool(payloads: PayloadStore) -> StatePool:
    """Return a pool that shares retained payloads."""
    return StatePool(payloads=payloads)


@pytest.fixture
def plain_pool() -> StatePool:
    """Return a pool that shares nothing."""
    return StatePool()
