"""Cohere's API: ``/v1/embed`` and ``/v2/embed``."""

from __future__ import annotations

import base64
from array import array
from typing import Any, ClassVar

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill

MESSAGES = {
    400: "invalid request: valid input_type must be provided with the provided model",
    401: "invalid api token",
    404: "model 'embed-nothing' not found, make sure the correct model ID was used and that you have access to it.",
    429: "You are using a Trial key, which is limited to 100 API calls / minute.",
    500: "internal server error",
}
IMAGE_TOKENS = 1610
"""Of any image."""


class CohereServer(ApiServer):
    headers: ClassVar = {"x-trial-endpoint-call-remaining": "1999", "x-envoy-upstream-service-time": "12"}

    def error(self, status: int) -> Any:
        return {"id": "3fdc", "message": MESSAGES[status]}

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked = received.body
        texts, images = list(asked.get("texts") or ()), list(asked.get("images") or ())
        for entry in asked.get("inputs") or ():
            texts += [part["text"] for part in entry["content"] if part["type"] == "text"]
            images += [part for part in entry["content"] if part["type"] == "image_url"]
        billed = bill(texts)
        vectors = [vector(str(text), asked.get("output_dimension") or DIMENSIONS) for text in (*texts, *images)]
        by_type = "/v2/" in received.path or "embedding_types" in asked
        # API version 1 tells floats alone where no types are asked for.
        forms = {form: [_in_form(each, form) for each in vectors] for form in asked.get("embedding_types", ["float"])}
        units: dict[str, Any] = {"input_tokens": billed.tokens} if texts else {}
        if images:
            by_piece = "v3" in asked["model"]
            units |= {"images": len(images)} if by_piece else {"image_tokens": IMAGE_TOKENS * len(images)}
        if fault.empty:
            vectors, forms = [], {form: [] for form in forms}
        body = {
            "id": "8a1f",
            "texts": texts,
            "embeddings": forms if by_type else vectors,
            "meta": {"api_version": {"version": "2"}, **usage(fault, "billed_units", **units)},
            "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
        }
        return body, billed


def _in_form(numbers: list[float], form: str) -> Any:
    if form == "base64":
        return base64.b64encode(array("f", numbers)).decode()
    if form in ("binary", "ubinary"):
        bits = [number > 0 for number in numbers]
        return [sum(bit << place for place, bit in enumerate(bits[n : n + 8])) for n in range(0, len(bits), 8)]
    return numbers if form == "float" else [int(100 * number) for number in numbers]
