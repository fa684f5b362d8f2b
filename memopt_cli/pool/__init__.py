"""
Pools of objects, connections and buffers, of use in any service.

Where pooling helps, pooled over fresh in CPU time on CPython 3.11, by
``python -m tests.benchmarks.bench_pooling``:

- It ends the pauses of the garbage collector. With 100,000 objects alive, 1,000 replaced and
  1,000 messages in each tick, the longest collection takes 0.05 ms instead of 21 ms (objects
  with slots) or 167 ms (nested dicts). `gc.freeze` adds nothing to that: no full collection
  comes. For the nested dicts the CPU time per arrival falls to 0.32, the collections included.
- Bursts of buffers: 0.84 at 4 KiB, 0.04 at 64 KiB, 0.003 at 1 MiB. Buffers of 1 MiB always:
  0.15 one at a time, 0.87 as the target of a receive.

Where it costs:

- Any small object, pauses aside: 5.7 with slots, 2.4 as nested dicts; and 1.5 per arrival of
  the small ones with the collector on. The interpreter makes them faster than a pool can.
- Buffers one at a time up to 64 KiB: 24 at 256 B, 13 at 4 KiB, 2.3 at 64 KiB; as the target of
  a receive 3.3, 2.8 and 1.25. Of these sizes, pool what is held many at a time.
- A payload that is copied into the buffer anyway, at any size: 1.1 at 1 MiB, 2.4 at 64 KiB.
"""

from __future__ import annotations

from memopt_cli.pool.buffers import Buffer, BufferPool
from memopt_cli.pool.connections import ConnectionPool
from memopt_cli.pool.objects import ObjectPool
from memopt_cli.pool.stats import PoolInfo, PoolStats

__all__ = ["Buffer", "BufferPool", "ConnectionPool", "ObjectPool", "PoolInfo", "PoolStats"]
