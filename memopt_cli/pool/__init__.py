"""Pools of objects, connections and buffers, of use in any service."""

from __future__ import annotations

from memopt_cli.pool.buffers import Buffer, BufferPool
from memopt_cli.pool.connections import ConnectionPool
from memopt_cli.pool.objects import ObjectPool
from memopt_cli.pool.stats import PoolInfo, PoolStats

__all__ = ["Buffer", "BufferPool", "ConnectionPool", "ObjectPool", "PoolInfo", "PoolStats"]
