"""Hugging Face's hub and its inference service, and Text Embeddings Inference, on one address."""

from __future__ import annotations

from typing import Any

from fakes.api_server import ApiServer, bill, vector
from fakes.faults import Fault
from fakes.server import FakeHandler, Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer

MODEL = "BAAI/bge-small-en-v1.5"


class HubHandler(FakeHandler):
    do_GET = FakeHandler.do_POST


class HubServer(ApiServer):
    handler = HubHandler

    def error(self, status: int) -> Any:
        return {"error": "Model is overloaded", "error_type": "overloaded"}

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if received.path.startswith("/api/models/"):
            mapping = {"status": "live", "providerId": MODEL, "task": "feature-extraction"}
            about = {"id": MODEL, "pipeline_tag": "feature-extraction", "tags": ["sentence-transformers"]}
            return self.said(200, {**about, "inferenceProviderMapping": {"hf-inference": mapping}})
        answer = super().respond(received, raw, fault)
        if answer.bill is None or fault.usage in ("absent", "null"):
            return answer
        tokens = 0 if fault.usage else answer.bill.tokens
        told = {"x-compute-tokens": str(tokens), "x-compute-characters": "13", "x-total-time": "9"}
        return answer._replace(headers={**answer.headers, **told})

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        texts = received.body["inputs"]
        texts = texts if isinstance(texts, list) else [texts]
        return [] if fault.empty else [vector(text) for text in texts], bill(texts)
