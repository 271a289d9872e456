"""Model Studio's text and multimodal embeddings in its own form."""

from __future__ import annotations

from typing import Any

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer

CODES = {400: "InvalidParameter", 401: "InvalidApiKey", 404: "ModelNotFound", 429: "Throttling.RateQuota"}
IMAGE_TOKENS = 896
"""Of any image."""


class DashScopeServer(ApiServer):
    def error(self, status: int) -> Any:
        return {"code": CODES.get(status, "InternalError"), "message": "refused", "request_id": "1fff"}

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if not fault.code:
            return super().respond(received, raw, fault)
        return self.said(fault.status, {**self.error(fault.status), "code": fault.code})

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked, size = received.body["input"], received.body["parameters"].get("dimension") or DIMENSIONS
        contents = asked.get("contents", [])
        texts = asked.get("texts") or [element["text"] for element in contents if "text" in element]
        billed = bill(texts)
        images = IMAGE_TOKENS * sum("image" in element for element in contents)
        entries = [] if fault.empty else contents or texts
        embeddings = [{"embedding": vector(str(entry), size), "text_index": n} for n, entry in enumerate(entries)]
        counts: dict[str, Any] = {"total_tokens": billed.tokens}
        if contents:
            details = {"text_tokens": billed.tokens, "image_tokens": images}
            counts = {"input_tokens": billed.tokens + images, "input_tokens_details": details}
        return {"output": {"embeddings": embeddings}, **usage(fault, "usage", **counts), "request_id": "1fff"}, billed
