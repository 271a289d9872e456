"""Bedrock's runtime: ``invoke_model`` of Titan's, Cohere's and Nova's embedding models."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from fakes.faults import Fault
from fakes.server import FakeServer, Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer

TOKENS = "x-amzn-bedrock-input-token-count"
CODES = {
    400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException",
    408: "ModelTimeoutException", 424: "ModelErrorException", 429: "ThrottlingException",
    500: "InternalServerException", 503: "ServiceUnavailableException",
}  # fmt: skip


class BedrockServer(FakeServer):
    """Counts a token a word. With ``Fault(usage="absent")`` no header says how many, as behind some gateways."""

    dimensions = 8

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if fault.status != 200:
            return self.refuse(fault.status, fault.code or CODES[fault.status])
        _, _, model, *_ = [*unquote(received.path).split("/"), "", ""]
        body = received.body if isinstance(received.body, dict) else {}
        texts, inputs = texts_and_inputs(body)
        tokens = sum(len(text.split()) for text in texts)
        vectors = [[0.25] * self.dimensions for _ in range(0 if fault.empty else inputs)]
        headers = {"content-type": "application/json", "x-amzn-bedrock-invocation-latency": "12"}
        if fault.usage is None:
            headers[TOKENS] = str(tokens)
        answer = json.dumps(self.answer(body, vectors, tokens, texts)).encode()
        return Answer(200, headers, answer, model, Bill(1, inputs, tokens))

    def answer(self, body: dict[str, Any], vectors: list[Any], tokens: int, texts: list[str]) -> dict[str, Any]:
        if "singleEmbeddingParams" in body:
            return {"embeddings": [{"embeddingType": "TEXT", "embedding": vector} for vector in vectors]}
        if "input_type" in body:
            return {"id": "c1f2", "texts": texts, "embeddings": vectors, "response_type": "embeddings_floats"}
        of_type = {"embeddingsByType": {"float": vectors[0]}} if vectors and "dimensions" in body else {}
        return {"embedding": vectors[0] if vectors else [], **of_type, "inputTextTokenCount": tokens}

    def refuse(self, status: int, code: str) -> Answer:
        headers = {"content-type": "application/json", "x-amzn-errortype": f"{code}:http://internal.amazon.com/"}
        return Answer(status, headers, json.dumps({"message": f"{code} of a test"}).encode())


def texts_and_inputs(body: dict[str, Any]) -> tuple[list[str], int]:
    """The texts of a request, and how many inputs it has."""
    if "inputText" in body or "inputImage" in body:
        return [body.get("inputText") or ""], 1
    if "singleEmbeddingParams" in body:
        return [body["singleEmbeddingParams"].get("text", {}).get("value", "")], 1
    if "inputs" in body:
        parts = [part for each in body["inputs"] for part in each["content"]]
        return [part["text"] for part in parts if part["type"] == "text"], len(body["inputs"])
    return body.get("texts", []), len(body.get("texts") or body.get("images") or [])
