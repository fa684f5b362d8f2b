"""The scenario that `memopt scenarios new` writes: every key, with a comment."""

from __future__ import annotations

import re

from memopt_cli.errors import UsageError

LONGEST = 80
NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
"""Kebab-case; a copy of the model's pattern, which loads far more than this module needs."""

_STARTER = """\
# yaml-language-server: $schema=./scenario-1.schema.json
# For completion in an editor: memopt scenarios schema --out scenario-1.schema.json
version: 1                       # of this format
name: {name}
description: A thousand connections, plain and optimized.
tags: {{kind: example}}            # labels that go with the run

workload: connections            # connections, agents, sockets, target, or synthetic
connections:
  capabilities_size: 1KiB        # handshake document that a naive server keeps per connection
  distinct_capabilities: 8       # how many different ones the clients send
  message_mix: {{13B: 70%, 1KiB: 25%, 64KiB: 5%}}   # sizes and shares, 100% in all
  writes: 30%                    # share of the messages that write
  retained_messages: 0           # how many a naive server keeps per connection
  receive_buffer: 4KiB           # what a naive server keeps per connection
# With workload: agents, and agents: in place of connections: in each stage (agents-75 shows more):
# agents:
#   mix: {{G20: 70%, chain10: 30%}}  # models and shares, 100% in all
#   history: 256                 # actions that an agent remembers
#   probes: 50                   # agents of each variant that are judged against naive ones
# With workload: sockets, real TCP connections on clock: wall (sockets-10k shows more):
# sockets:
#   handshake_size: 20kB         # document that each client sends
#   message_size: 16B            # text of each request
# With workload: target, the same to anybody's server, which is started and ended:
# target:
#   command: [redis-server, --port, "{{port}}", --save, ""]   # {{port}} is a free one
#   url: redis://127.0.0.1:{{port}}  # or rediss, http(s), ws(s), mcp+http(s), jsonrpc+tcp, tcp
#   collect: [kill, -USR1, "{{pid}}"]   # run before memory is read, for a runtime with garbage
#   close: reset                 # how connections end; or in-order
# With workload: synthetic, units of known size, and units: in place of connections: in each stage:
# synthetic:
#   bytes_per_unit: 1KiB         # memory of one unit
#   leak_per_operation: 0B       # a planted fault
#   imports: [json]              # modules that the subject imports before it starts

variants:                        # same seed, same load, a fresh process each
  - {{name: baseline}}
  - name: optimized
    pool: {{size: 100, max_size: 1000}}    # made beforehand, the most it keeps idle; or on, off
    compact: {{compression: on}}           # packed state, compressed or not; or on, off
    gc: adaptive                         # default, off, frozen or adaptive
    leak: 0B                             # a planted fault: bytes forgotten per message

load:
  arrival_rate: 100/s            # the population is renewed at this rate once it has grown
  message_rate: 0.2/s            # per connection
  pattern: constant              # constant, poisson, ramp, burst, churn or sine
  # pattern: {{name: sine, period: 60s, amplitude: 50%}}
  # pattern: {{name: burst, period: 60s, share: 10%}}
  # lifetime: 30s                # mean lifetime, in stages with an arrival_rate
  stages:                        # each target is reached, linearly, at the end of its stage;
                                 # plateaus are points at which memory is read exactly
    - {{name: before,    duration: 5s,  connections: 0}}
    - {{name: ramp-up,   duration: 10s, connections: 1000, plateaus: 5, message_rate: 0/s}}
    - {{name: steady,    duration: 5m,  connections: 1000}}
    - {{name: ramp-down, duration: 5s,  connections: 0}}
    - {{name: drain,     duration: 5s,  connections: 0}}
  # In short, in place of stages: connections: 1000, ramp_up: 10s, hold_for: 30s
  clock: virtual                 # idle time is skipped; wall waits for it
sampling: {{interval: 1s}}         # how often memory is read
leak:                            # beyond what is tolerated, a leak fails the run
  tolerate: 100KiB/h
  severity: {{medium: 100kB/s, high: 500kB/s, critical: 1MB/s}}
seed: 1                          # of every random choice
# matrix: {{connections: [1000, 10000]}}   # one run for each value

thresholds:                      # the run fails when one is crossed
  memory_per_connection: ["value<2MB"]
  memory_leak_slope:             # stage, window and variant say where it is judged
    - {{threshold: "value<1MB/h", stage: steady, window: 4m, variant: optimized}}
  gc_pause:                      # a crossed threshold can end the run, after a delay
    - {{threshold: "p(99)<100ms", abort_on_fail: on, delay_abort_eval: 10s}}
"""


def starter(name: str) -> str:
    """Return a commented scenario called *name*; raise `UsageError` if it is no kebab-case."""
    if not re.fullmatch(NAME, name) or len(name) > LONGEST:
        raise UsageError(f"{name!r} is not in kebab-case", hint="Write it like connections-10k.")
    return _STARTER.format(name=name)
