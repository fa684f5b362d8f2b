"""An echo server on the library websockets: PORT, and plain or compressed."""

import asyncio
import sys
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    # A reset is how clients go; a traceback of each would take longer than the connection did.
    with suppress(ConnectionClosedError):
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    """Serve until the process is ended."""
    compression = "deflate" if sys.argv[2:] == ["compressed"] else None
    async with serve(
        echo, "127.0.0.1", int(sys.argv[1]), compression=compression, backlog=4096
    ) as server:
        await server.serve_forever()


asyncio.run(main())
