"""Ollama's ``/api/embed`` and the older ``/api/embeddings``."""

from __future__ import annotations

from typing import Any

from fakes.api_server import DIMENSIONS, ApiServer, bill, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer


class OllamaServer(ApiServer):
    def error(self, status: int) -> Any:
        return {"error": 'model "nomic-embed-text" not found, try pulling it first'}

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        known = received.path in ("/api/embed", "/api/embeddings")
        return super().respond(received, raw, fault) if known else self.said(404, self.error(404))

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked = received.body
        older = received.path == "/api/embeddings"
        texts = asked["prompt"] if older else asked["input"]
        texts = texts if isinstance(texts, list) else [texts]
        billed = bill(texts)
        vectors = [] if fault.empty else [vector(text, asked.get("dimensions") or DIMENSIONS) for text in texts]
        if older:
            return {"embedding": vectors[0] if vectors else []}, billed
        counts = {} if fault.usage or fault.empty else {"prompt_eval_count": billed.tokens}  # it leaves out what is 0
        durations = {"total_duration": 14_143_917, "load_duration": 1_019_500}
        return {"model": received.model, "embeddings": vectors, **durations, **counts}, billed
