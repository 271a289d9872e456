"""The Gemini API's and Vertex AI's embeddings, as their REST references have them."""

from __future__ import annotations

from typing import Any

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
FILE_TOKENS = 258
"""Of any image or recording."""


class GoogleServer(ApiServer):
    def error(self, status: int) -> Any:
        return {"error": {"code": status, "message": "refused", "status": STATUS[status]}}

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if not fault.code:
            return super().respond(received, raw, fault)
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": fault.code}
        return self.said(fault.status, {"error": {**self.error(fault.status)["error"], "details": [reason]}})

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        method, asked = received.path.split("?")[0].rpartition(":")[2], received.body
        parts = _parts(asked)
        texts = [" ".join(part["text"] for part in each if "text" in part) for each in parts]
        billed = bill(texts)
        options = asked.get("parameters") or asked.get("embedContentConfig") or asked.get("requests", [asked])[0]
        vectors = [{"values": vector(text, options.get("outputDimensionality") or DIMENSIONS)} for text in texts]
        if fault.empty:
            vectors = []
        if method == "predict":
            return _predicted(texts, vectors, fault), billed
        files = [_modality(part["inlineData"]) for each in parts for part in each if "inlineData" in part]
        one = method == "embedContent" and vectors
        body = {"embedding": vectors[0]} if one else {"embeddings": vectors}
        if fault.usage == "zeros":
            return {**body, "usageMetadata": {"promptTokenCount": 0}}, billed
        details = [{"modality": "TEXT", "tokenCount": billed.tokens}]
        details += [{"modality": kind, "tokenCount": FILE_TOKENS} for kind in files]
        counts = {"promptTokenCount": sum(each["tokenCount"] for each in details), "promptTokensDetails": details}
        return {**body, **usage(fault, "usageMetadata", **counts)}, billed


def _parts(asked: Any) -> list[list[dict[str, Any]]]:
    """The parts of each content that is to have a vector."""
    if "instances" in asked:
        return [[{"text": instance["content"]}] for instance in asked["instances"]]
    return [request["content"]["parts"] for request in asked.get("requests", [asked])]


def _modality(file: dict[str, str]) -> str:
    return (file.get("mimeType") or file["mime_type"]).partition("/")[0].upper()


def _predicted(texts: list[str], vectors: list[Any], fault: Fault) -> Any:
    statistics = [{"truncated": False, "token_count": 0 if fault.usage else bill([text]).tokens} for text in texts]
    predictions = [{"embeddings": {**each, "statistics": told}} for each, told in zip(vectors, statistics)]
    characters = sum(len(text.replace(" ", "")) for text in texts)
    return {"predictions": predictions, **usage(fault, "metadata", billableCharacterCount=characters)}
