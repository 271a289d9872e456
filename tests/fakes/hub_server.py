"""Hugging Face's hub and its inference service, and Text Embeddings Inference, on one address."""

from __future__ import annotations

from typing import Any, ClassVar

from fakes.faults import Fault
from fakes.json_server import JsonServer, listed
from fakes.server import Received
from otel_embed.demo.server import Answer

MODEL = "BAAI/bge-small-en-v1.5"


class HubServer(JsonServer):
    headers: ClassVar[dict[str, str]] = {
        "x-compute-type": "cpu",
        "x-compute-time": "7",
        "x-compute-characters": "13",
        "x-compute-tokens": "{tokens}",
        "x-total-time": "9",
        "x-queue-time": "1",
        "x-inference-time": "5",
    }

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if received.path.startswith("/api/models/"):
            mapping = {"status": "live", "providerId": MODEL, "task": "feature-extraction"}
            about = {"id": MODEL, "pipeline_tag": "feature-extraction", "tags": ["sentence-transformers"]}
            return self.answer(200, {**about, "inferenceProviderMapping": {"hf-inference": mapping}})
        return super().respond(received, raw, fault)

    def model(self, received: Received) -> str:
        return MODEL

    def texts(self, received: Received) -> list[str]:
        return listed(received.body["inputs"])

    def success(self, received: Received, vectors: list[list[float]], counts: list[int]) -> Any:
        return vectors

    def refusal(self, fault: Fault) -> Any:
        return {"error": "Model is overloaded", "error_type": "overloaded"}
