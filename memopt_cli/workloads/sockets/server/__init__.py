"""
A server of JSON-RPC 2.0 over TCP with a handshake as MCP has it, in two variants.

``naive`` is what an ordinary asyncio service does; ``optimized`` keeps its connections with
`memopt_cli.optimizer` and `memopt_cli.pool`. Both give the same answers, and what their
connections remember is equal after the same traffic, which their digests show.
"""
