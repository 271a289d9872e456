"""What can be wrong with an answer, whatever the provider."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from otel_embed.demo.server import Answer


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

    def spoil(self, answer: Answer) -> Answer:
        """The answer with this fault in its headers, its length, its encoding; what it says is the server's to spoil."""
        headers, body = {**answer.headers, **self.headers}, answer.body
        if self.retry_after is not None:
            headers["retry-after-ms"] = str(round(self.retry_after * 1000))
        if self.malformed and answer.status == 200:
            body = body[: len(body) // 2]
        if self.gzip:
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body)
        return answer._replace(headers=headers, body=body, bill=answer.bill if self.delivers else None)
