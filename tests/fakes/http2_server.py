"""The bundled embeddings server over HTTP/2 and TLS, with its faults but for ``drop`` and ``chunked``."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events

from fakes.faults import Fault
from fakes.openai_server import OpenAIServer
from fakes.server import FakeHandler


class Http2Handler(FakeHandler):
    """One connection, whose requests are answered one after the other."""

    def handle(self) -> None:
        self.http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.asked: dict[int, tuple[dict[str, str], bytearray]] = {}
        self.http2.initiate_connection()
        self.say()
        while received := self.connection.recv(65536):
            for event in self.http2.receive_data(received):
                self.hear(event)
            self.say()

    def say(self) -> None:
        self.connection.sendall(self.http2.data_to_send())

    def hear(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.asked[event.stream_id] = dict(event.headers), bytearray()
        elif isinstance(event, h2.events.DataReceived):
            self.asked[event.stream_id][1].extend(event.data)
            self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answer(event.stream_id, *self.asked.pop(event.stream_id))

    def answer(self, stream: int, headers: dict[str, str], body: bytearray) -> None:
        path, raw = headers[":path"], bytes(body)
        self.received = self.server.receive(path, headers, raw)
        fault = self.received.fault or Fault()
        answer = fault.spoil(self.server.respond(self.received, raw, fault))
        self.server.closing.wait(fault.header_delay)
        self.received.status = answer.status
        size = {"content-length": str(len(answer.body))}
        head: list[Any] = [(":status", str(answer.status)), *answer.headers.items(), *size.items()]
        self.http2.send_headers(stream, head)
        self.say()
        self.server.closing.wait(fault.body_delay)
        step = self.http2.max_outbound_frame_size
        for start in range(0, len(answer.body), step):
            self.http2.send_data(stream, answer.body[start : start + step])
        self.http2.end_stream(stream)
        self.charge(answer)


class Http2Server(OpenAIServer):
    """Answers of more than 64 KiB are more than a client's window takes: ask for few vectors."""

    handler = Http2Handler

    def __init__(self, **options: Any) -> None:
        super().__init__(tls=True, **options)
        assert self._context is not None
        self._context.set_alpn_protocols(["h2"])
