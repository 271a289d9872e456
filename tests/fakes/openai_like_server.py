"""APIs whose answers have OpenAI's form: Mistral's and Together's."""

from __future__ import annotations

from typing import Any, ClassVar

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill

_ERRORS = {
    400: ("invalid_request_error", "Invalid input"),
    401: ("authentication_error", "Unauthorized"),
    404: ("invalid_model", "Invalid model: nothing"),
    429: ("rate_limited", "Rate limit exceeded"),
    500: ("internal_server_error", "Service unavailable."),
}


class OpenAILikeServer(ApiServer):
    told: ClassVar[dict[str, int]] = {}
    """Further counts of usage."""

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked = received.body
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        dimensions = asked.get("output_dimension") or DIMENSIONS
        packed = "binary" in (asked.get("output_dtype") or "")
        vectors = [[1.0] * (dimensions // 8) if packed else vector(text, dimensions) for text in texts]
        data = [{"object": "embedding", "embedding": each, "index": index} for index, each in enumerate(vectors)]
        billed = bill(texts)
        told = usage(fault, "usage", prompt_tokens=billed.tokens, total_tokens=billed.tokens, **self.told)
        listed = {"id": "1b7c", "object": "list", "data": [] if fault.empty else data, "model": asked["model"]}
        return {**listed, **told}, billed


class MistralServer(OpenAILikeServer):
    headers: ClassVar = {
        "x-ratelimit-remaining-req-minute": "359",
        "x-ratelimit-remaining-tokens-minute": "499997",
        "x-envoy-upstream-service-time": "12",
    }
    told: ClassVar = {"completion_tokens": 0}

    def error(self, status: int) -> Any:
        kind, message = _ERRORS[status]
        return {"object": "error", "message": message, "type": kind, "param": None, "code": "1500"}


class TogetherServer(OpenAILikeServer):
    headers: ClassVar = {"x-ratelimit-remaining": "49", "x-tokenlimit-remaining": "33331"}

    def error(self, status: int) -> Any:
        kind, message = _ERRORS[status]
        return {"id": "1b7c", "error": {"message": message, "type": kind, "param": None, "code": kind}}
