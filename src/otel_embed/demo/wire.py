"""OpenAI's wire format for embeddings: what a request may say, and what an answer looks like."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_DIMENSIONS = 1536
DIMENSIONS = {"text-embedding-3-large": 3072}
FIXED_DIMENSIONS = frozenset({"text-embedding-ada-002"})
RESPONSE_MODELS = {"text-embedding-ada-002": "text-embedding-ada-002-v2"}
MAX_INPUTS = 2048
MAX_TOKENS = 8192
"""The most tokens in one input."""

INVALID_INPUT = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."


class EmbeddingRequest(NamedTuple):
    model: str
    inputs: Sequence[str | Sequence[int]]
    dimensions: int
    base64: bool


class Refusal(Exception):
    """An answer other than 200, in the shape of OpenAI's errors."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = encode({"error": {"message": message, "type": type, "param": param, "code": code}})
        self.headers = dict(headers or {})


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def deployment(path: str) -> str | None:
    """The deployment that an Azure path names: ``/openai/deployments/{name}/embeddings``."""
    parts = urlsplit(path).path.split("/")
    return unquote(parts[-2]) if parts[-3:-2] == ["deployments"] else None


def parse(path: str, raw: bytes, deployments: Mapping[str, str]) -> EmbeddingRequest:
    """Read a request; raises Refusal for what the real endpoint refuses. ``deployments`` gives their models."""
    if not urlsplit(path).path.endswith("/embeddings"):
        raise Refusal(404, f"Invalid URL (POST {urlsplit(path).path})")
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    model = body.get("model") or deployment(path)
    if not isinstance(model, str):
        raise Refusal(400, "you must provide a model parameter")
    model = deployments.get(model, model)
    dimensions = _dimensions(model, body.get("dimensions"))
    return EmbeddingRequest(model, _inputs(body.get("input")), dimensions, _wants_base64(body))


def _inputs(value: Any) -> Sequence[str | Sequence[int]]:
    if isinstance(value, str) or _is_token_ids(value):
        value = [value]
    if not isinstance(value, list) or not value or not all(item and _is_input(item) for item in value):
        raise Refusal(400, INVALID_INPUT)
    if len(value) > MAX_INPUTS:
        message = f"Invalid 'input': array too long. Expected at most {MAX_INPUTS} items, but got {len(value)} instead."
        raise Refusal(400, message, param="input")
    return value


def _is_input(value: Any) -> bool:
    return isinstance(value, str) or _is_token_ids(value)


def _is_token_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _dimensions(model: str, value: Any) -> int:
    largest = DIMENSIONS.get(model, DEFAULT_DIMENSIONS)
    if value is None:
        return largest
    if model in FIXED_DIMENSIONS:
        raise Refusal(400, "This model does not support specifying dimensions.")
    if type(value) is not int or not 0 < value <= largest:
        raise Refusal(400, f"Invalid value for 'dimensions' = {value}. Must be between 1 and {largest}.")
    return value


def _wants_base64(body: dict[str, Any]) -> bool:
    value = body.get("encoding_format") or "float"
    if value not in ("float", "base64"):
        message = f"Invalid value: '{value}'. Supported values are: 'float' and 'base64'."
        raise Refusal(400, message, param="encoding_format")
    return bool(value == "base64")


def check_length(tokens: int) -> None:
    """Refuse an input of more tokens than the model takes."""
    if tokens > MAX_TOKENS:
        raise Refusal(
            400,
            f"This model's maximum context length is {MAX_TOKENS} tokens, however you requested {tokens} tokens "
            f"({tokens} in your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
        )


def response(request: EmbeddingRequest, vectors: Sequence[array[float]], tokens: int) -> bytes:
    """The body of a successful answer; base64 holds 32 bit floats in the machine's order, as the clients read them."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector).decode() if request.base64 else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    model = RESPONSE_MODELS.get(request.model, request.model)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode({"object": "list", "data": data, "model": model, "usage": usage})


def rate_limited(model: str, retry_after: float) -> Refusal:
    """A 429 that says when to try again, in seconds."""
    milliseconds = round(retry_after * 1000)
    message = (
        f"Rate limit reached for {model} in organization org-demo on requests per min (RPM). "
        f"Please try again in {milliseconds}ms. Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    headers = {"retry-after-ms": str(milliseconds), "retry-after": str(ceil(retry_after))}
    return Refusal(429, message, type="requests", code="rate_limit_exceeded", headers=headers)
