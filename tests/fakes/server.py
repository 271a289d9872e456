"""A server with faults to order: ``with SomeServer() as server: server.script([Fault(429)])``.

A fault is chosen for each request, the first of these that there is: the request's own ``x-fault`` header
(``Fault(500).header``), ``server.by_model[model]``, the next one of ``server.script([...])``.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import trustme

from fakes.faults import Fault
from otel_embed.demo import wire
from otel_embed.demo.ledger import Bill, Ledger
from otel_embed.demo.loopback import LoopbackHandler, LoopbackServer
from otel_embed.demo.server import Answer, EmbeddingHandler


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """The parsed JSON; None where it is none."""
    fault: Fault | None = None
    status: int | None = None
    """What was answered; None as long as nothing was."""
    billed: Bill | None = None

    @property
    def model(self) -> str:
        named = self.body.get("model") if isinstance(self.body, dict) else None
        return str(named or wire.deployment(self.path) or "")

    @property
    def attempt(self) -> int:
        """0 for a call's first attempt, and for every attempt of a client too old to tell."""
        return int(self.headers.get("x-stainless-retry-count", 0))


class FakeHandler(EmbeddingHandler):
    server: FakeServer  # type: ignore[assignment]

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Thu, 26 Nov 2026 12:00:00 GMT"  # as two answers may be compared

    def do_POST(self) -> None:
        raw = self.read_body()
        self.received = self.server.receive(self.path, {k.lower(): v for k, v in self.headers.items()}, raw)
        fault = self.received.fault or Fault()
        answer = fault.spoil(self.server.respond(self.received, raw, fault))
        self.server.closing.wait(fault.header_delay)
        if fault.drop in ("at once", "in header"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-ty" if fault.drop == "in header" else b"")
            self.close_connection = True
            return
        self.received.status = answer.status
        framing = {"transfer-encoding": "chunked"} if fault.chunked else {"content-length": str(len(answer.body))}
        self.start(answer.status, {**answer.headers, **framing})
        self.send_body(answer, fault)

    def send_body(self, answer: Answer, fault: Fault) -> None:
        if fault.body_delay or fault.drop:
            self.wfile.flush()
            self.server.closing.wait(fault.body_delay)
        body, end = answer.body, b""
        if fault.chunked:
            half = len(body) // 2 or 1
            body, end = b"".join(map(chunk, (body[:half], body[half:]))), b"0\r\n\r\n"
        if fault.drop:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.finish_with(answer, body + end)

    def charge(self, answer: Answer) -> None:
        super().charge(answer)
        self.received.billed = answer.bill


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part) if part else b""


class FakeServer(LoopbackServer):
    """Records every request in ``requests``, in order of arrival. With ``tls``, clients trust it by ``ca_file``.

    A provider's server says in ``respond`` what an answer holds; how it is spoiled on its way is said here.
    """

    handler: ClassVar[type[LoopbackHandler]] = FakeHandler

    def __init__(self, *, tls: bool = False, **options: Any) -> None:
        self.billed = Ledger()
        super().__init__(**options)
        self.requests: list[Received] = []
        self.by_model: dict[str, Fault] = {}
        self._script: deque[Fault | None] = deque()
        self._script_lock = threading.Lock()
        self.ca_file = ""
        self._files: TemporaryDirectory[str] | None = None
        self._context: ssl.SSLContext | None = None
        if tls:
            self._certify()

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        """The answer to a request; its ``bill`` is charged when it is delivered."""
        raise NotImplementedError

    def _certify(self) -> None:
        authority = trustme.CA()
        self._files = TemporaryDirectory()
        self.ca_file = str(Path(self._files.name) / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self.scheme = "https"

    def server_close(self) -> None:
        super().server_close()
        if self._files:
            self._files.cleanup()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context:
            # The handshake is left to the connection's own thread, with its first read.
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def script(self, faults: Iterable[Fault | None]) -> None:
        """Queue a fault for each of the next requests; None leaves one alone."""
        with self._script_lock:
            self._script.extend(faults)

    def forget(self) -> None:
        """Drop the faults that were queued and not come to."""
        with self._script_lock:
            self._script.clear()

    def receive(self, path: str, headers: dict[str, str], raw: bytes) -> Received:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        received = Received(path, headers, body)
        with self._script_lock:
            self.requests.append(received)
            received.fault = self._fault(received)
        return received

    def _fault(self, received: Received) -> Fault | None:
        if "x-fault" in received.headers:
            fault: Fault | None = Fault(**json.loads(received.headers["x-fault"]))
        elif received.model in self.by_model:
            fault = self.by_model[received.model]
        else:
            fault = self._script.popleft() if self._script else None
        return None if fault and fault.attempts is not None and received.attempt >= fault.attempts else fault
