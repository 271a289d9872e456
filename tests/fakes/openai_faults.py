"""What can be wrong with an answer of OpenAI's endpoint."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from otel_embed.demo import wire
from otel_embed.demo.server import Answer


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


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer. Fields combine; times are in seconds."""

    status: int = 200
    code: str | None = None
    """Instead of the status's usual error code; ``insufficient_quota`` brings its own message and type."""
    attempts: int | None = None
    """Only this many first attempts of a call, by the client's own count (``x-stainless-retry-count``)."""
    retry_after: float | None = None
    header_delay: float = 0.0
    """Before the first byte."""
    body_delay: float = 0.0
    """Between the head, which has left by then, and the body."""
    drop: Literal["at once", "in header", "in body"] | None = None
    """Where to close the connection."""
    malformed: bool = False
    """The body is cut JSON."""
    empty: bool = False
    """The body holds no embeddings and a usage of zero: a client may take it for a success."""
    usage: Literal["absent", "null", "zeros"] | None = None
    no_model: bool = False
    """The body names no model."""
    gzip: bool = False
    chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to the answer's, or in their place."""

    @property
    def header(self) -> dict[str, str]:
        """A request header that orders this fault for that request, and for its retries."""
        return {"x-fault": json.dumps(asdict(self))}

    @property
    def delivers(self) -> bool:
        """False where the client gets no embeddings, and the provider bills none."""
        return self.status == 200 and not (self.drop or self.malformed or self.empty)

    def refusal(self, model: str) -> wire.Refusal | None:
        if self.status == 200:
            return None
        error = QUOTA if self.code == QUOTA.code else ERRORS[self.status]
        message = error.message.format(model=model)
        return wire.Refusal(self.status, message, type=error.type, code=self.code or error.code)

    def spoil(self, answer: Answer) -> Answer:
        """The answer with this fault in its headers and body."""
        headers = {**answer.headers, **self.headers}
        if self.retry_after is not None:
            headers["retry-after-ms"] = str(round(self.retry_after * 1000))
        body = self._spoil_body(answer.body) if answer.status == 200 else answer.body
        if self.gzip:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body)
        return answer._replace(headers=headers, body=body, bill=answer.bill if self.delivers else None)

    def _spoil_body(self, raw: bytes) -> bytes:
        if self.malformed:
            return raw[: len(raw) // 2]
        if not (self.empty or self.usage or self.no_model):
            return raw
        body = json.loads(raw)
        if self.empty:
            body["data"] = []
        if self.no_model:
            del body["model"]
        if self.empty or self.usage:
            body["usage"] = None if self.usage == "null" else {"prompt_tokens": 0, "total_tokens": 0}
        if self.usage == "absent":
            del body["usage"]
        return wire.encode(body)
