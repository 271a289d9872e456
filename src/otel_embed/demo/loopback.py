"""An HTTP/1.1 server on loopback that starts in a millisecond, stops at once, and answers without delays of its own."""

from __future__ import annotations

import selectors
import socketserver
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self


class LoopbackHandler(BaseHTTPRequestHandler):
    """One connection, kept alive; a subclass defines ``do_POST`` and the like."""

    protocol_version = "HTTP/1.1"
    # Without this, small answers wait up to 40 ms for an acknowledgement.
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize: ClassVar[int] = -1

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def client_is_gone(self) -> bool:
        # A client says nothing while it waits, so that a readable connection is one that it closed.
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            return bool(selector.select(0))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class LoopbackServer(ThreadingHTTPServer):
    """Serves while its ``with`` block lasts, a thread for each connection."""

    daemon_threads = True
    request_queue_size = 1024
    scheme = "http"

    handler: ClassVar[type[LoopbackHandler]] = LoopbackHandler

    def __init__(self, *, port: int = 0) -> None:
        self.connections = 0
        """How many were accepted."""
        self.closing = threading.Event()
        self._connections_lock = threading.Lock()
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", port), self.handler)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), name=type(self).__name__, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(SHUT_RDWR)

    def server_bind(self) -> None:
        # HTTPServer's own looks up the host's full name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self.connections += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away at any time; anything else is a mistake of the server's and printed."""
        if not self.closing.is_set() and not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
