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
        output: Any = {"embeddings": embeddings}
        if "one-peace" in received.model:
            output = {"embedding": vector(str(entries), size)}
        told = usage(fault, "usage", **_counts(received.model, billed.tokens, images if contents else None))
        return {"output": output, **told, "request_id": "1fff"}, billed


def _counts(model: str, texts: int, images: int | None) -> dict[str, Any]:
    """The tokens of texts, and of images where contents are asked for, in the words of each family of models."""
    if images is None:
        return {"total_tokens": texts}
    if "one-peace" in model:
        return {"total_usage": 1}
    if model.startswith("tongyi"):
        details = {"text_tokens": texts, "image_tokens": images}
        return {"input_tokens": texts + images, "input_tokens_details": details}
    beside = {"image_tokens": images, "image_count": images // IMAGE_TOKENS}
    return {"input_tokens": texts, **beside, "total_tokens": texts + images}
