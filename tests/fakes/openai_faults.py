"""OpenAI's errors, and what a spoiled answer of its endpoint says."""

from __future__ import annotations

import json
from typing import NamedTuple

from fakes.faults import Fault
from otel_embed.demo import wire


class Error(NamedTuple):
    type: str
    code: str | None
    message: str


QUOTA = Error(
    "insufficient_quota",
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
)

ERRORS = {
    400: Error("invalid_request_error", None, wire.INVALID_INPUT),
    401: Error(
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: test. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    403: Error("invalid_request_error", None, "You are not allowed to generate embeddings from this model"),
    404: Error(
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    408: Error("timeout", None, "The request timed out."),
    409: Error("invalid_request_error", None, "The resource is locked by another request."),
    429: Error(
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} in organization org-test on requests per min (RPM): Limit 3, Used 3, "
        "Requested 1. Please try again in 20s.",
    ),
    500: Error("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: Error("server_error", None, "The engine is currently overloaded, please try again later"),
}
"""OpenAI's error for each status."""


def refusal(fault: Fault, model: str) -> wire.Refusal | None:
    if fault.status == 200:
        return None
    error = QUOTA if fault.code == QUOTA.code else ERRORS[fault.status]
    return wire.Refusal(fault.status, error.message.format(model=model), type=error.type, code=fault.code or error.code)


def spoiled(raw: bytes, fault: Fault) -> bytes:
    """A successful body that says less than it should."""
    if not (fault.empty or fault.usage or fault.no_model):
        return raw
    body = json.loads(raw)
    if fault.empty:
        body["data"] = []
    if fault.no_model:
        del body["model"]
    if fault.empty or fault.usage:
        body["usage"] = None if fault.usage == "null" else {"prompt_tokens": 0, "total_tokens": 0}
    if fault.usage == "absent":
        del body["usage"]
    return wire.encode(body)
