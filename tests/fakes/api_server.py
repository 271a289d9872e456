"""An embeddings API in JSON. What is a provider's own are the forms of a request, an answer and an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fakes.faults import Fault
from fakes.server import FakeServer, Received
from otel_embed.demo import wire
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer
from otel_embed.demo.vectors import embed, tokenize

DIMENSIONS = 8


class ApiServer(FakeServer):
    headers: ClassVar[Mapping[str, str]] = {}
    """Of each successful answer."""

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        """The body of a successful answer, and what it costs."""
        raise NotImplementedError

    def error(self, status: int) -> Any:
        """The body of an error."""
        raise NotImplementedError

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if fault.status != 200:
            return self.said(fault.status, self.error(fault.status))
        body, bill = self.embeddings(received, fault)
        answer = self.said(200, body)
        return answer._replace(headers={**answer.headers, **self.headers}, model=received.model or "-", bill=bill)

    def said(self, status: int, body: Any) -> Answer:
        return Answer(status, {"content-type": "application/json"}, wire.encode(body))


def bill(texts: Sequence[str]) -> Bill:
    return Bill(1, len(texts), sum(len(tokenize(text)) for text in texts))


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    return embed(tokenize(text), dimensions).tolist()


def usage(fault: Fault, name: str, **counts: Any) -> dict[str, Any]:
    """The field of an answer that says what it cost, as a fault has it."""
    if fault.usage == "absent":
        return {}
    return {name: None if fault.usage == "null" else dict.fromkeys(counts, 0) if fault.usage == "zeros" else counts}
