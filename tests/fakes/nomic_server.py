"""Nomic's Atlas API: ``/v1/embedding/text`` and ``/v1/embedding/image``."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from fakes.api_server import DIMENSIONS, ApiServer, bill, usage, vector
from fakes.faults import Fault
from fakes.server import Received
from otel_embed.demo.ledger import Bill
from otel_embed.demo.server import Answer

_MODEL = re.compile(rb'name="model"\r\n\r\n([^\r]+)')
IMAGE_TOKENS = 197
"""Of any image."""


class NomicServer(ApiServer):
    def error(self, status: int) -> Any:
        return {"detail": f"Error {status}"}

    def respond(self, received: Received, raw: bytes, fault: Fault) -> Answer:
        if received.path.endswith("/image"):  # a form
            model = _MODEL.search(raw)
            fields = parse_qs(raw.decode()) if model is None else {"model": [model[1].decode()]}
            urls = fields.get("urls", [])
            received.body = {"model": fields["model"][0], "images": urls or ["file"] * raw.count(b'; name="images"')}
        return super().respond(received, raw, fault)

    def embeddings(self, received: Received, fault: Fault) -> tuple[Any, Bill]:
        asked = received.body
        entries = asked.get("texts") or asked["images"]
        billed = bill(entries)
        if "images" in asked:
            billed = billed._replace(tokens=IMAGE_TOKENS * len(entries))
        vectors = [vector(entry, asked.get("dimensionality") or DIMENSIONS) for entry in entries]
        counts = {"prompt_tokens": billed.tokens, "total_tokens": billed.tokens}
        told = usage(fault, "usage", **counts)
        return {"embeddings": [] if fault.empty else vectors, "model": asked["model"], **told}, billed
