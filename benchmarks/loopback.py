"""A server process for the loopback measurement: prints its port, gives one prepared answer to every request.

With a certificate's file it speaks TLS, and closes each connection after its answer.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from workload import ANSWER_HEADERS, answer


def response(texts: int, last: bool) -> bytes:
    body = answer(texts)
    headers = {**ANSWER_HEADERS, "content-length": str(len(body))} | ({"connection": "close"} if last else {})
    head = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


async def serve(texts: int, certificate: str | None = None) -> None:
    prepared = response(texts, certificate is not None)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await next_head(reader):
            await reader.readexactly(content_length(head))
            writer.write(prepared)
            await writer.drain()
            if certificate is not None:
                break
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, ssl=tls(certificate))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def tls(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def next_head(reader: asyncio.StreamReader) -> bytes:
    """The next request's head; empty when the client has closed the connection."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
