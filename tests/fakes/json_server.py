"""What the fake servers of providers share that answer in JSON: vectors, tokens, errors, and how they are spoiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fakes.faults import Fault
from fakes.server import FakeHandler, FakeServer, Received
from otel_embed.demo import wire
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer
from otel_embed.demo.vectors import embed, tokenize

DIMENSIONS = 8


class JsonHandler(FakeHandler):
    do_GET = FakeHandler.do_POST


class JsonServer(FakeServer):
    """Answers ``success`` with status 200, ``refusal`` else. Each text costs the tokens that ``tokens`` counts."""

    handler = JsonHandler
    headers: Mapping[str, str] = {}
    """Of a successful answer, with the number of its tokens as ``{tokens}``."""

    @property
    def url(self) -> str:
        return self.origin

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if fault.status != 200:
            return self.answer(fault.status, self.refusal(fault))
        texts = self.texts(received)
        counts = [tokens(text) for text in texts]
        if fault.empty:
            texts, counts = [], []
        vectors = [embed(tokenize(text), self.dimensions(received)).tolist() for text in texts]
        told = counts if fault.usage is None else [] if fault.usage in ("absent", "null") else [0] * len(counts)
        answer = self.answer(200, self.success(received, vectors, told))
        headers = {name: value.format(tokens=sum(told)) for name, value in self.headers.items()} if told else {}
        bill = Bill(1, len(texts), sum(counts))
        return answer._replace(headers={**answer.headers, **headers}, model=self.model(received), bill=bill)

    def answer(self, status: int, body: Any) -> Answer:
        return Answer(status, {"content-type": "application/json"}, wire.encode(body))

    def model(self, received: Received) -> str:
        return received.model

    def dimensions(self, received: Received) -> int:
        return DIMENSIONS

    def texts(self, received: Received) -> list[str]:
        """The texts of a request."""
        raise NotImplementedError

    def success(self, received: Received, vectors: list[list[float]], counts: list[int]) -> Any:
        """The body of an answer; ``counts`` has the tokens of each text, or nothing where they are not to be told."""
        raise NotImplementedError

    def refusal(self, fault: Fault) -> Any:
        raise NotImplementedError


def tokens(text: str) -> int:
    return len(tokenize(text))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
