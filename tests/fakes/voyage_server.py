"""Voyage AI's API: ``/v1/embeddings``, ``/v1/contextualizedembeddings`` and ``/v1/multimodalembeddings``."""

from __future__ import annotations

import base64
from array import array
from typing import Any, ClassVar

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill

MESSAGES = {
    400: "The request body is not valid JSON, or some arguments were not specified properly.",
    401: "Provided API key is invalid.",
    404: "Model voyage-nothing is not supported.",
    429: "You have not yet added your payment method in the billing page and will have reduced rate limits of 3 RPM.",
    500: "Internal Server Error",
}
PIXELS = 200_000
"""Of any image or video."""


class VoyageServer(ApiServer):
    headers: ClassVar = {"voyage-processing-ms": "12"}

    def error(self, status: int) -> Any:
        return {"detail": MESSAGES[status]}

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked = received.body
        if "inputs" not in asked:
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            data, pixels = self.listed(asked, texts), 0
        elif "contextualized" in received.path:
            texts = [chunk for document in asked["inputs"] for chunk in document]
            data, pixels = self.listed(asked, asked["inputs"]), 0
            for entry in data:
                entry |= {"object": "list", "data": self.listed(asked, asked["inputs"][entry["index"]])}
                del entry["embedding"]
        else:
            parts = [part for entry in asked["inputs"] for part in entry["content"]]
            texts = [part["text"] for part in parts if part["type"] == "text"]
            data, pixels = self.listed(asked, asked["inputs"]), PIXELS * (len(parts) - len(texts))
        billed = bill(texts)
        counts = {"total_tokens": billed.tokens + pixels // 560}
        if "multimodal" in received.path:
            images = sum(part["type"].startswith("image") for part in parts) * PIXELS
            counts |= {"text_tokens": billed.tokens, "image_pixels": images, "video_pixels": pixels - images}
        told = usage(fault, "usage", **counts)
        return {"object": "list", "data": [] if fault.empty else data, "model": asked["model"], **told}, billed

    def listed(self, asked: Any, entries: list[Any]) -> list[dict[str, Any]]:
        form, dimensions = asked.get("output_dtype") or "float", asked.get("output_dimension") or DIMENSIONS
        return [
            {"object": "embedding", "index": index, "embedding": _in_form(vector(str(entry), dimensions), form, asked)}
            for index, entry in enumerate(entries)
        ]


def _in_form(numbers: list[float], form: str, asked: Any) -> Any:
    if form == "float":
        values = array("f", numbers)
    elif form in ("binary", "ubinary"):  # eight in a number
        values = array("b" if form == "binary" else "B", [1] * (len(numbers) // 8))
    else:
        values = array("b" if form == "int8" else "B", [1] * len(numbers))
    return base64.b64encode(values).decode() if asked.get("encoding_format") == "base64" else values.tolist()
