"""A server on the official MCP SDK with one tool, over streamable HTTP: PORT."""

import logging
import sys

import uvicorn

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    # Its name before version 2.
    from mcp.server.fastmcp import FastMCP as Server

server = Server("memopt")


@server.tool()
def add(first: int, second: int) -> int:
    """Return the sum."""
    return first + second


# Several lines of each session would be most of the log.
logging.getLogger().setLevel(logging.WARNING)
# A client that idles for longer than the server's default of 5 s is held, too.
uvicorn.run(
    server.streamable_http_app(),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="warning",
    timeout_keep_alive=3600,
    backlog=4096,
)
