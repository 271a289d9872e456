"""The bundled embeddings server with faults to order."""

from __future__ import annotations

from fakes.faults import Fault
from fakes.openai_faults import refusal, spoiled
from fakes.server import FakeHandler, FakeServer, Received
from otel_embed.demo.server import Answer, EmbeddingServer


class OpenAIServer(FakeServer, EmbeddingServer):
    handler = FakeHandler

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        answer = self.answer(received.path, raw, refusal(fault, received.model))
        return answer._replace(body=spoiled(answer.body, fault)) if answer.status == 200 else answer
