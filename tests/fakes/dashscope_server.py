"""Model Studio's text and multimodal embeddings in its own form."""

from __future__ import annotations

from typing import Any

from fakes.faults import Fault
from fakes.json_server import JsonServer
from fakes.server import Received

_CODES = {400: "InvalidParameter", 401: "InvalidApiKey", 404: "ModelNotFound", 429: "Throttling.RateQuota"}


class DashScopeServer(JsonServer):
    def texts(self, received: Received) -> list[str]:
        asked = received.body["input"]
        return asked["texts"] if "texts" in asked else [element.get("text", "") for element in asked["contents"]]

    def dimensions(self, received: Received) -> int:
        return int(received.body["parameters"].get("dimension") or super().dimensions(received))

    def success(self, received: Received, vectors: list[list[float]], counts: list[int]) -> Any:
        media = "contents" in received.body["input"]
        embeddings = [{"embedding": vector, "index" if media else "text_index": n} for n, vector in enumerate(vectors)]
        images = sum("image" in element for element in received.body["input"].get("contents", ()))
        usage: dict[str, Any] = {"total_tokens": sum(counts)}
        if media:
            text = sum(counts) - images  # an element without a text costs this server a token
            details = {"text_tokens": text, "image_tokens": 896 * images}
            usage = {"input_tokens": text + 896 * images, "input_tokens_details": details}
        return {"output": {"embeddings": embeddings}, **({"usage": usage} if counts else {}), "request_id": "1fff9502"}

    def refusal(self, fault: Fault) -> Any:
        code = fault.code or _CODES.get(fault.status, "InternalError")
        return {"code": code, "message": "refused", "request_id": "1fff9502"}
