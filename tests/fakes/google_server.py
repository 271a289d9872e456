"""The Gemini API's and Vertex AI's embeddings, as their REST references have them."""

from __future__ import annotations

import re
from typing import Any

from fakes.faults import Fault
from fakes.json_server import JsonServer
from fakes.server import Received

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_REASONS = "type.googleapis.com/google.rpc.ErrorInfo"


class GoogleServer(JsonServer):
    """``images`` have tokens of their own, which are told by modality; ``usage`` says whether any are."""

    image_tokens = 258
    usage = True

    def model(self, received: Received) -> str:
        named = re.search(r"/models/([^/:]+):", received.path)
        return named[1] if named else ""

    def texts(self, received: Received) -> list[str]:
        return [" ".join(part["text"] for part in parts if "text" in part) for parts in self._contents(received)]

    def _contents(self, received: Received) -> list[list[dict[str, Any]]]:
        body = received.body
        if "instances" in body:
            return [[{"text": instance["content"]}] for instance in body["instances"]]
        requests = body.get("requests", [body])
        return [request["content"]["parts"] for request in requests]

    def success(self, received: Received, vectors: list[list[float]], counts: list[int]) -> Any:
        values = [{"values": vector} for vector in vectors]
        if "instances" not in received.body:
            one = received.path.split("?")[0].endswith(":embedContent")
            body = {"embedding": values[0]} if one and values else {"embeddings": values}
            return {**body, "usageMetadata": self._usage(received, counts)} if counts and self.usage else body
        texts, told = self.texts(received), counts or [None] * len(vectors)
        statistics = [{"truncated": False, **({"token_count": count} if counts else {})} for count in told]
        predictions = [{"embeddings": {**value, "statistics": each}} for value, each in zip(values, statistics)]
        billable = sum(len(text.replace(" ", "")) for text in texts)
        return {"predictions": predictions, **({"metadata": {"billableCharacterCount": billable}} if counts else {})}

    def _usage(self, received: Received, counts: list[int]) -> dict[str, Any]:
        images = sum("inlineData" in part for parts in self._contents(received) for part in parts) * self.image_tokens
        details = [{"modality": "TEXT", "tokenCount": sum(counts)}]
        if images:
            details.append({"modality": "IMAGE", "tokenCount": images})
        return {"promptTokenCount": sum(counts) + images, "promptTokensDetails": details}

    def dimensions(self, received: Received) -> int:
        body = received.body
        asked = body.get("parameters") or body.get("embedContentConfig") or body.get("requests", [body])[0]
        return int(asked.get("outputDimensionality") or super().dimensions(received))

    def refusal(self, fault: Fault) -> Any:
        error: dict[str, Any] = {"code": fault.status, "message": "refused", "status": _STATUS[fault.status]}
        if fault.code:
            error["details"] = [{"@type": _REASONS, "reason": fault.code, "domain": "googleapis.com"}]
        return {"error": error}
