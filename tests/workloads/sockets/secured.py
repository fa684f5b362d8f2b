"""A server within TLS: PORT. It answers HTTP requests, and sends back every other line."""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection to its end."""
    with suppress(ConnectionError):
        while line := await reader.readline():
            is_http = line.startswith(b"GET ")
            while is_http and await reader.readline() != b"\r\n":
                continue
            writer.write(_OK if is_http else line)
            await writer.drain()
    writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    port = int(sys.argv[1])
    server = await asyncio.start_server(answer, "127.0.0.1", port, ssl=context, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
