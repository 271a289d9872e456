"""Ollama's ``/api/embed`` and the older ``/api/embeddings``."""

from __future__ import annotations

from typing import Any

from fakes.faults import Fault
from fakes.json_server import JsonServer, listed
from fakes.server import Received
from otel_embed.demo.server import Answer


class OllamaServer(JsonServer):
    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        known = received.path in ("/api/embed", "/api/embeddings")
        return super().respond(received, raw, fault) if known else self.answer(404, self.refusal(fault))

    def texts(self, received: Received) -> list[str]:
        return listed(received.body["input"] if received.path == "/api/embed" else received.body["prompt"])

    def dimensions(self, received: Received) -> int:
        return int(received.body.get("dimensions") or super().dimensions(received))

    def success(self, received: Received, vectors: list[list[float]], counts: list[int]) -> Any:
        if received.path == "/api/embeddings":
            return {"embedding": vectors[0] if vectors else []}
        told = {"prompt_eval_count": sum(counts)} if sum(counts) else {}  # it leaves out what is 0
        durations = {"total_duration": 14_143_917, "load_duration": 1_019_500}
        return {"model": received.model, "embeddings": vectors, **durations, **told}

    def refusal(self, fault: Fault) -> Any:
        return {"error": 'model "nomic-embed-text" not found, try pulling it first'}
